//! A page with tables and charts, for those who decide: ratios first, losses beside wins.

use super::absences;
use crate::Result;
use crate::measure::{Outcome, Row};
use crate::peer::is_peer;
use crate::stats::Spread;
use crate::steal::Ticks;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The chart with a ratio of each scenario.
const RATIOS: &str = "ratios.svg";

/// Where the charts are that the README shows.
const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/figures");
/// The scenarios of which it shows a ratio, losses among them.
const SHOWN: &[&str] = &[
    "spawn",
    "forkserver",
    "lock",
    "lock-contended",
    "event",
    "queue-64",
    "queue-2-2",
    "ping-asleep",
    "ping",
    "pipe-64",
    "copy-1mib",
    "handover-64mib",
    "pool-tasks",
    "pool-one",
    "pool-map",
    "pool-1mib",
    "manager-call",
];
/// What the names of systems hold that do less than ours: they have no other process, or start another program.
const LESS: &[&str] = &["threads", "no other process", "/bin/true"];
/// The one of which it shows the systems.
const SHOWN_WHOLE: &str = "queue-64";

const WIDTH: u32 = 900;
/// Of a bar with the room around it.
const LINE: u32 = 26;
/// For the names, left of the bars.
const NAMES: u32 = 270;
/// As above, where two of them stand together.
const PAIRS: u32 = 530;
/// For the title above and the axis below.
const MARGIN: u32 = 70;
/// For what is said below the axis.
const NOTE: u32 = 24;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const DEARER: RGBColor = RGBColor(0xb4, 0x44, 0x1f);
/// Than a floor, which nobody is below.
const ABOVE_FLOOR: RGBColor = RGBColor(0xd9, 0xa4, 0x41);
const OTHERS: RGBColor = RGBColor(0xa9, 0xb4, 0xbe);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .7rem;text-align:right}\
    td:first-child,th:first-child{text-align:left}tr.ours{font-weight:600}.miss{color:#b4441f}.pass{color:#2b7a3d}\
    img{max-width:100%}";

/// Writes `index.html`, a chart of the ratios and one for each scenario into a folder.
pub(crate) fn write(folder: &Path, legend: &str, outcomes: &[Outcome]) -> Result {
    fs::create_dir_all(folder).map_err(|error| format!("create {}: {error}", folder.display()))?;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>multiproc: figures</title>\n\
         <style>{STYLE}</style>\n<h1>multiproc {}: figures</h1>\n<p>{}</p>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(legend),
    );
    if let Some(stolen) = stolen(outcomes) {
        writeln!(html, "<p>In the whole run {}.</p>", escaped(&stolen))?;
    }
    if ratios(&folder.join(RATIOS), outcomes, |_| true)? {
        writeln!(html, "<p><img src=\"{RATIOS}\" alt=\"ours beside the best other one, bar by bar\"></p>")?;
    }
    for outcome in outcomes {
        let chart = format!("{}.svg", outcome.scenario.name);
        draw(&folder.join(&chart), outcome)?;
        section(&mut html, outcome, &chart)?;
    }
    let page = folder.join("index.html");
    fs::write(&page, html).map_err(|error| format!("write {}: {error}", page.display()))?;
    Ok(())
}

/// Writes the charts that the README shows.
pub(crate) fn figures(outcomes: &[Outcome]) -> Result {
    let folder = Path::new(FIGURES);
    fs::create_dir_all(folder).map_err(|error| format!("create {}: {error}", folder.display()))?;
    ratios(&folder.join(RATIOS), outcomes, |scenario| SHOWN.contains(&scenario))?;
    match outcomes.iter().find(|outcome| outcome.scenario.name == SHOWN_WHOLE) {
        Some(outcome) => draw(&folder.join(format!("{SHOWN_WHOLE}.svg")), outcome),
        None => Ok(()),
    }
}

/// What the host took in all of them, where that is worth a word.
fn stolen(outcomes: &[Outcome]) -> Option<String> {
    outcomes.iter().map(|outcome| outcome.ticks).sum::<Ticks>().told()
}

/// Draws what ours cost, divided by what the best other one does, in each scenario and wherever the ends are placed:
/// what is dearer is shown like what is cheaper.
fn ratios(path: &Path, outcomes: &[Outcome], is_shown: impl Fn(&str) -> bool) -> Result<bool> {
    let mut pairs = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| is_shown(outcome.scenario.name)) {
        for (ours, best) in beside_the_best(&outcome.rows) {
            let (other, _) = best.system.split_once(" | ").unwrap_or((&best.system, ""));
            let name = format!("{}: {} / {other}", outcome.scenario.name, ours.system);
            pairs.push((name, is_peer(&best.system), Spread::of_ratios(&ours.samples, &best.samples)));
        }
    }
    let bars: Vec<Bar<'_>> = pairs
        .iter()
        .map(|(name, is_peer, ratio)| {
            let dearer = if *is_peer { DEARER } else { ABOVE_FLOOR };
            let color = if ratio.median <= 1.0 { OURS } else { dearer };
            Bar { name, color, from: 1.0, spread: *ratio, digits: 2 }
        })
        .collect();
    if !bars.is_empty() {
        bar_chart(
            path,
            "cost of ours / cost of the cheapest other between processes (left of 1 is cheaper; yellow: than a floor)",
            PAIRS,
            &bars,
            stolen(outcomes).as_deref(),
        )?;
    }
    Ok(!bars.is_empty())
}

/// The first of ours of each place, or whatever else tells rows apart that are compared with each other, and the
/// cheapest of the others there that do the same, if there is one: threads and a bare copy do less.
fn beside_the_best(rows: &[Row]) -> Vec<(&Row, &Row)> {
    // Who is compared to nobody, and nobody to it, stands beside all.
    let is_anywhere =
        |row: &Row| row.group.is_none() && rows.iter().all(|other| other.group.as_ref() != Some(&row.system));
    let mut seen: Vec<Option<&str>> = Vec::new();
    let mut pairs = Vec::new();
    for ours in rows.iter().filter(|row| row.is_ours) {
        let group = ours.group.as_deref();
        if seen.contains(&group) {
            continue;
        }
        let is_beside = |row: &&Row| {
            let is_named = Some(row.system.as_str()) == group
                || ours.goals.iter().any(|(goal, _)| goal.against == row.system);
            !row.is_ours
                && (is_named || group.is_some() && (row.group.as_deref() == group || is_anywhere(row)))
        };
        let cost = |row: &Row| Spread::of(&row.samples).median;
        let others = rows.iter().filter(is_beside);
        let less = |row: &Row| LESS.iter().any(|word| row.system.contains(word));
        let best = others.min_by(|a, b| less(a).cmp(&less(b)).then(cost(a).total_cmp(&cost(b))));
        if let Some(best) = best {
            seen.push(group);
            pairs.push((ours, best));
        }
    }
    pairs
}

fn section(html: &mut String, outcome: &Outcome, chart: &str) -> Result {
    let scenario = outcome.scenario;
    writeln!(html, "<h2 id=\"{0}\">{0}</h2>\n<p>{1}.</p>", scenario.name, escaped(scenario.sentence))?;
    writeln!(html, "<table>\n<tr><th>system<th>ratio<th>to<th>{}<th>min<th>max<th>goal</tr>", scenario.unit)?;
    for row in &outcome.rows {
        let (ratio, to) = match &row.against {
            Some((against, ratio)) => (format!("{:.2}", ratio.median), against.as_str()),
            None => (String::new(), ""),
        };
        let figure = Spread::of(&row.samples);
        writeln!(
            html,
            "<tr{}><td>{}<td>{ratio}<td>{}<td>{:.1}<td>{:.1}<td>{:.1}<td>{}</tr>",
            if row.is_ours { " class=\"ours\"" } else { "" },
            escaped(&row.system),
            escaped(to),
            figure.median,
            figure.min,
            figure.max,
            goals(row, scenario.unit),
        )?;
    }
    html.push_str("</table>\n");
    for absent in absences(&outcome.absent) {
        writeln!(html, "<p>absent: {}</p>", escaped(&absent))?;
    }
    for note in outcome.notes.iter().cloned().chain(outcome.ticks.told()) {
        writeln!(html, "<p>{}</p>", escaped(&note))?;
    }
    writeln!(html, "<p><img src=\"{chart}\" alt=\"the medians of {} as bars\"></p>", scenario.name)?;
    Ok(())
}

/// What was aimed at, and whether it was reached.
fn goals(row: &Row, unit: &str) -> String {
    let told = |found: f64, at_most: f64, of: &str| {
        let class = if found <= at_most { "pass" } else { "miss" };
        format!("<span class=\"{class}\">{found:.2} of {of}</span>")
    };
    let ratios = row.goals.iter().map(|(goal, ratio)| {
        let of = format!("{:.2} × {}", goal.at_most, escaped(&goal.against));
        told(ratio.median, goal.at_most, &of)
    });
    let figure = Spread::of(&row.samples).median;
    let limit = row.limit.map(|limit| told(figure, limit, &format!("{limit} {unit}")));
    ratios.chain(limit).collect::<Vec<_>>().join("<br>")
}

/// Draws a bar for each system, as long as the logarithm of its median, with its range as a line.
fn draw(path: &Path, outcome: &Outcome) -> Result {
    let spreads: Vec<Spread> = outcome.rows.iter().map(|row| Spread::of(&row.samples)).collect();
    let least = spreads.iter().map(|spread| spread.min).fold(f64::MAX, f64::min).max(1e-6);
    let bars: Vec<Bar<'_>> = outcome
        .rows
        .iter()
        .zip(&spreads)
        .map(|(row, spread)| Bar {
            name: &row.system,
            color: if row.is_ours { OURS } else { OTHERS },
            from: least / 2.0,
            spread: *spread,
            digits: usize::from(spread.median < 10.0) + 1,
        })
        .collect();
    bar_chart(
        path,
        &format!("{} ({}, logarithmic)", outcome.scenario.name, outcome.scenario.unit),
        NAMES,
        &bars,
        outcome.ticks.told().as_deref(),
    )
}

/// A line of a chart.
struct Bar<'a> {
    name: &'a str,
    color: RGBColor,
    /// Where it begins.
    from: f64,
    /// It goes to the median.
    spread: Spread,
    digits: usize,
}

/// Draws bars below each other, with the names at their left in so much room, and a note below them.
fn bar_chart(path: &Path, caption: &str, room: u32, bars: &[Bar<'_>], note: Option<&str>) -> Result {
    let least = bars.iter().map(|bar| bar.spread.min.min(bar.from)).fold(f64::MAX, f64::min).max(1e-6);
    let most = bars.iter().map(|bar| bar.spread.max.max(bar.from)).fold(least, f64::max);
    let count = bars.len() as u32;
    let height = count * LINE + MARGIN;
    let whole = (WIDTH, height + note.map_or(0, |_| NOTE));
    let whole = SVGBackend::new(path, whole).into_drawing_area();
    whole.fill(&WHITE)?;
    let (area, below) = whole.split_vertically(height);
    let title = ("sans-serif", 17).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&area)
        .caption(caption, title)
        .margin_right(20)
        .x_label_area_size(30)
        .y_label_area_size(room)
        .build_cartesian_2d((least..most * 2.5).log_scale(), 0.0..f64::from(count))?;
    chart.configure_mesh().disable_y_mesh().disable_y_axis().light_line_style(WHITE).draw()?;
    let names = TextStyle::from(("sans-serif", 14).into_font()).color(&INK);
    let right = names.pos(Pos::new(HPos::Right, VPos::Center));
    let left = names.pos(Pos::new(HPos::Left, VPos::Center));
    for (index, bar) in bars.iter().enumerate() {
        let (middle, spread) = (f64::from(count) - index as f64 - 0.5, &bar.spread);
        let ends = [(bar.from, middle - 0.32), (spread.median, middle + 0.32)];
        chart.draw_series([Rectangle::new(ends, bar.color.filled())])?;
        let whisker = vec![(spread.min, middle), (spread.max, middle)];
        chart.draw_series([PathElement::new(whisker, INK.stroke_width(1))])?;
        let figure = format!(" {:.*}", bar.digits, spread.median);
        chart.draw_series([Text::new(figure, (spread.max.max(bar.from), middle), left.clone())])?;
        let (_, y) = chart.backend_coord(&(least, middle));
        area.draw(&Text::new(bar.name.to_owned(), (room as i32 - 8, y), right.clone()))?;
    }
    if let Some(note) = note {
        below.draw(&Text::new(note.to_owned(), (8, NOTE as i32 / 2), left))?;
    }
    whole.present().map_err(|error| format!("write {}: {error}", path.display()))?;
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn what_the_readme_shows_is_there() {
        for name in SHOWN.iter().chain([&SHOWN_WHOLE]) {
            assert!(scenario::chosen(Some(name)).unwrap().any(|scenario| scenario.name == *name), "{name}");
        }
    }

    fn row(system: &str, group: Option<&str>, cost: f64) -> Row {
        Row {
            system: system.to_owned(),
            is_ours: system.starts_with("ours"),
            samples: vec![cost],
            group: group.map(str::to_owned),
            against: None,
            goals: Vec::new(),
            limit: None,
        }
    }

    #[test]
    fn each_place_has_a_bar_beside_the_best_there() {
        let (two, one) = (Some("Boost | two cores"), Some("Boost | one core"));
        let rows = [
            row("ours | two cores", two, 3.0),
            row("ours, spsc | two cores", two, 2.0),
            row("Boost | two cores", None, 6.0),
            row("ring | two cores", two, 1.0),
            row("ours | one core", one, 3.0),
            row("ring | one core", one, 5.0),
            row("Boost | one core", None, 4.0),
        ];
        let pairs = beside_the_best(&rows);
        let names: Vec<(&str, &str)> =
            pairs.iter().map(|(ours, best)| (ours.system.as_str(), best.system.as_str())).collect();
        assert_eq!(
            names,
            [("ours | two cores", "ring | two cores"), ("ours | one core", "Boost | one core")]
        );
        assert!(beside_the_best(&[row("ours", None, 1.0), row("other", None, 1.0)]).is_empty());
        let rows =
            [row("ours, map", Some("CPython"), 3.0), row("rayon", None, 1.0), row("CPython", None, 9.0)];
        assert_eq!(beside_the_best(&rows)[0].1.system, "rayon");
    }

    #[test]
    fn goals_in_units_are_shown() {
        let mut row = row("ours", None, 7.0);
        row.limit = Some(5.0);
        assert_eq!(goals(&row, "ms"), "<span class=\"miss\">7.00 of 5 ms</span>");
    }
}
