//! A page with tables and charts, for those who decide: ratios first, losses beside wins.

use crate::Result;
use crate::measure::{Outcome, Row};
use crate::stats::Spread;
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
/// The one of which it shows the systems, and where they run.
const SHOWN_WHOLE: (&str, &str) = ("queue-64", "| two cores");

const WIDTH: u32 = 900;
/// Of a bar with the room around it.
const LINE: u32 = 26;
/// For the names, left of the bars.
const NAMES: u32 = 270;
/// As above, where two of them stand together.
const PAIRS: u32 = 480;
/// For the title above and the axis below.
const MARGIN: u32 = 70;
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const DEARER: RGBColor = RGBColor(0xb4, 0x44, 0x1f);
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
    if ratios(&folder.join(RATIOS), outcomes, |_| true)? {
        writeln!(html, "<p><img src=\"{RATIOS}\" alt=\"one ratio of each scenario as a bar\"></p>")?;
    }
    for outcome in outcomes {
        let chart = format!("{}.svg", outcome.scenario.name);
        draw(&folder.join(&chart), outcome, |_| true)?;
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
    let (scenario, place) = SHOWN_WHOLE;
    if let Some(outcome) = outcomes.iter().find(|outcome| outcome.scenario.name == scenario) {
        draw(&folder.join(format!("{scenario}.svg")), outcome, |row| row.system.ends_with(place))?;
    }
    Ok(())
}

/// Draws what ours cost, divided by what it is compared to: the first such row of each scenario. What is dearer is
/// shown like what is cheaper.
fn ratios(path: &Path, outcomes: &[Outcome], is_shown: impl Fn(&str) -> bool) -> Result<bool> {
    let rows: Vec<(String, Spread)> = outcomes
        .iter()
        .filter(|outcome| is_shown(outcome.scenario.name))
        .filter_map(|outcome| {
            let row = outcome.rows.iter().find(|row| is_ours(row) && row.against.is_some())?;
            let (against, ratio) = row.against.as_ref()?;
            let against = against.split(" | ").next().unwrap_or(against);
            Some((format!("{}: {} / {against}", outcome.scenario.name, row.system), *ratio))
        })
        .collect();
    let bars: Vec<Bar<'_>> = rows
        .iter()
        .map(|(name, ratio)| {
            let color = if ratio.median <= 1.0 { OURS } else { DEARER };
            Bar { name, color, from: 1.0, spread: *ratio, digits: 2 }
        })
        .collect();
    if !bars.is_empty() {
        bar_chart(
            path,
            "cost of ours / cost of the other (logarithmic; left of 1 is cheaper)",
            PAIRS,
            &bars,
        )?;
    }
    Ok(!bars.is_empty())
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
            if is_ours(row) { " class=\"ours\"" } else { "" },
            escaped(&row.system),
            escaped(to),
            figure.median,
            figure.min,
            figure.max,
            goals(row),
        )?;
    }
    html.push_str("</table>\n");
    for absent in &outcome.absent {
        writeln!(html, "<p>absent: {}</p>", escaped(absent))?;
    }
    for note in &outcome.notes {
        writeln!(html, "<p>{}</p>", escaped(note))?;
    }
    writeln!(html, "<p><img src=\"{chart}\" alt=\"the medians of {} as bars\"></p>", scenario.name)?;
    Ok(())
}

/// What was aimed at, and whether it was reached.
fn goals(row: &Row) -> String {
    let goals = row.goals.iter().map(|(goal, ratio)| {
        let class = if ratio.median <= goal.at_most { "pass" } else { "miss" };
        let text = format!("{:.2} of {:.2} × {}", ratio.median, goal.at_most, escaped(&goal.against));
        format!("<span class=\"{class}\">{text}</span>")
    });
    goals.collect::<Vec<_>>().join("<br>")
}

fn is_ours(row: &Row) -> bool {
    row.system.starts_with("ours")
}

/// Draws a bar for each system, as long as the logarithm of its median, with its range as a line.
fn draw(path: &Path, outcome: &Outcome, is_shown: impl Fn(&Row) -> bool) -> Result {
    let rows: Vec<&Row> = outcome.rows.iter().filter(|row| is_shown(row)).collect();
    let spreads: Vec<Spread> = rows.iter().map(|row| Spread::of(&row.samples)).collect();
    let least = spreads.iter().map(|spread| spread.min).fold(f64::MAX, f64::min).max(1e-6);
    let bars: Vec<Bar<'_>> = rows
        .iter()
        .zip(&spreads)
        .map(|(row, spread)| Bar {
            name: &row.system,
            color: if is_ours(row) { OURS } else { OTHERS },
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

/// Draws bars below each other, with the names at their left in so much room.
fn bar_chart(path: &Path, caption: &str, room: u32, bars: &[Bar<'_>]) -> Result {
    let least = bars.iter().map(|bar| bar.spread.min.min(bar.from)).fold(f64::MAX, f64::min).max(1e-6);
    let most = bars.iter().map(|bar| bar.spread.max.max(bar.from)).fold(least, f64::max);
    let count = bars.len() as u32;
    let area = SVGBackend::new(path, (WIDTH, count * LINE + MARGIN)).into_drawing_area();
    area.fill(&WHITE)?;
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
    area.present().map_err(|error| format!("write {}: {error}", path.display()))?;
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
        for name in SHOWN.iter().chain([&SHOWN_WHOLE.0]) {
            assert!(scenario::chosen(Some(name)).unwrap().any(|scenario| scenario.name == *name), "{name}");
        }
    }
}
