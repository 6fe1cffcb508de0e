//! What people and programs read.

mod page;

pub(crate) use page::{figures, write as page};

use crate::measure::{Absent, Outcome};
use crate::peer::peer_version;
use crate::scenario::Context;
use crate::stats::Spread;
use serde_json::json;

/// Says once what the columns are.
pub(crate) fn legend(context: &Context) {
    println!("{}", text(context));
}

pub(crate) fn text(context: &Context) -> String {
    let place = context.place.iter().map(|told| format!("\n{told}")).collect::<String>();
    format!(
        "{} rounds in turns. Each figure is the median of the rounds [min..max]; a ratio is the median of the \
         round-by-round ratios [min..max].{place}",
        context.rounds
    )
}

/// Prints a scenario as a table.
pub(crate) fn table(outcome: &Outcome) {
    let scenario = outcome.scenario;
    println!("\n{}: {}", scenario.name, scenario.sentence);
    let width = outcome.rows.iter().map(|row| row.system.chars().count()).max().unwrap_or(0);
    for row in &outcome.rows {
        let figure = Spread::of(&row.samples);
        let ratio = match &row.against {
            Some((against, ratio)) => format!("{:>20} x {against}", spread(ratio, 2)),
            None => String::new(),
        };
        println!(
            "  {:<width$} {:>2}  {:>28} {}",
            row.system,
            scenario.unit,
            spread(&figure, if figure.median < 10.0 { 2 } else { 1 }),
            ratio
        );
    }
    for row in &outcome.rows {
        for (goal, ratio) in &row.goals {
            println!(
                "  goal: {} <= {:.2} x {}: {} {}",
                row.system,
                goal.at_most,
                goal.against,
                spread(ratio, 2),
                verdict(goal.at_most, ratio)
            );
        }
        if let Some(limit) = row.limit {
            let figure = Spread::of(&row.samples);
            println!(
                "  goal: {} <= {limit} {}: {} {}",
                row.system,
                scenario.unit,
                spread(&figure, 4),
                verdict(limit, &figure)
            );
        }
    }
    for absent in absences(&outcome.absent) {
        println!("  absent: {absent}");
    }
    for note in outcome.notes.iter().cloned().chain(outcome.ticks.told()) {
        println!("  {note}");
    }
}

/// Who is absent for the same reason, in one line each.
fn absences(absent: &[Absent]) -> Vec<String> {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for Absent { system, why } in absent {
        match lines.iter_mut().find(|(_, reason)| reason == why) {
            Some((systems, _)) => {
                systems.push_str("; ");
                systems.push_str(system);
            }
            None => lines.push((system.clone(), why)),
        }
    }
    lines.into_iter().map(|(systems, why)| format!("{systems}: {why}")).collect()
}

/// Prints a scenario as one JSON object per system and line, those that are absent, too.
pub(crate) fn json(outcome: &Outcome) {
    for row in &outcome.rows {
        let figure = Spread::of(&row.samples);
        let goals: Vec<_> = row
            .goals
            .iter()
            .map(|(goal, ratio)| {
                json!({
                    "against": goal.against, "at_most": goal.at_most,
                    "ratio": ratio.median, "ratio_min": ratio.min, "ratio_max": ratio.max,
                    "verdict": verdict(goal.at_most, ratio),
                })
            })
            .collect();
        let against = row.against.as_ref();
        println!(
            "{}",
            json!({
                "version": peer_version(&row.system).unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
                "scenario": outcome.scenario.name, "system": row.system, "unit": outcome.scenario.unit,
                "median": figure.median, "min": figure.min, "max": figure.max,
                "rounds": row.samples.len(), "samples": row.samples,
                "against": against.map(|(name, _)| name),
                "ratio": against.map(|(_, ratio)| ratio.median),
                "ratio_min": against.map(|(_, ratio)| ratio.min),
                "ratio_max": against.map(|(_, ratio)| ratio.max),
                "goals": goals, "limit": row.limit, "notes": outcome.notes, "stolen": outcome.ticks.share(),
            })
        );
    }
    for Absent { system, why } in &outcome.absent {
        println!("{}", json!({"scenario": outcome.scenario.name, "system": system, "absent": why}));
    }
}

fn verdict(at_most: f64, ratio: &Spread) -> &'static str {
    if ratio.median <= at_most { "PASS" } else { "MISS" }
}

fn spread(spread: &Spread, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}..{:.digits$}]", spread.median, spread.min, spread.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_absent_for_the_same_reason_shares_a_line() {
        let absent = ["a: no x", "b: no y: at all", "c: no x", "nothing was counted"];
        let absent: Vec<Absent> = absent.into_iter().map(|text| Absent::from(text.to_owned())).collect();
        assert_eq!(absences(&absent), ["a; c: no x", "b: no y: at all", "all: nothing was counted"]);
    }
}
