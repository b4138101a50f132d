//! What a suite gave, as one HTML page that needs nothing else.
//!
//! What lives here: the page's parts. What does not: plots (`plot`). Invariant: whatever a broker or a command
//! line says is escaped, and every plot has a table beside it.

use std::fmt::Write as _;

use super::figure::Figure;
use super::plot::{self, Group, escaped};
use super::result::{Cell, Row};
use super::table::{goal_text, named};
use super::{Suite, command, generator, notes};

/// Its colours and measures.
const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn page(suite: &Suite<'_>) -> String {
    let title = format!("certus bench suite: {}", suite.labels().join(" and "));
    let title = escaped(&title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    page.push_str(&setting(suite));
    page.push_str(&advantages(suite));
    page.push_str(&overview(suite));
    page.push_str("<h2>Scenarios</h2>\n");
    suite.rows.iter().for_each(|row| page.push_str(&scenario(suite, row)));
    page.push_str("<h2>How to read this</h2>\n<ul>\n");
    for note in notes(suite) {
        let _ = writeln!(page, "<li>{}</li>", escaped(&note));
    }
    page.push_str("<li>A bar is the median of the rounds, the line across its end reaches from the lowest to the highest, each dot is one round. Figures of a plot have a scale each.</li>\n</ul>\n</main>\n</body>\n</html>\n");
    page
}

fn setting(suite: &Suite<'_>) -> String {
    let args = suite.args;
    let mut text = format!("<p class=\"soft\">{}, by {}</p>\n", escaped(&suite.begun_text()), generator());
    text.push_str("<div class=\"wide\"><table>\n<caption>What was measured</caption>\n<tbody>\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>");
    };
    for (rival, label) in suite.rivals.iter().zip(suite.labels()) {
        let process = rival.reach.pid.map_or_else(|| ", process unknown".to_owned(), |pid| format!(", process {pid}"));
        line("Broker", &escaped(&format!("{label}, {}{process}", rival.address(args.plain))));
    }
    line("Machine", &escaped(&suite.machine.text()));
    let rounds = format!("{} of {} s each, after {} s of warming up", args.rounds, args.duration, args.warm_up);
    line("Rounds", &rounds);
    let keys = if args.plain {
        "no TLS"
    } else {
        "mutual TLS unless a scenario says otherwise, a certificate for each client"
    };
    line("Connections", &escaped(&format!("MQTT {} unless a scenario says otherwise; {keys}", args.protocol)));
    line("Command", &format!("<code>{}</code>", escaped(&command())));
    text.push_str("</tbody>\n</table></div>\n");
    text
}

/// How many times better the first broker is, scenario by scenario.
fn advantages(suite: &Suite<'_>) -> String {
    let labels = suite.labels();
    let [first, second] = labels.as_slice() else { return String::new() };
    let each = |row: &Row| {
        let figure = row.scenario.figures.first()?;
        let spread = super::figure::Spread::of(vec![row.advantage(figure)?]);
        Some((row.scenario.name.clone(), spread))
    };
    let bars: Vec<_> = suite.rows.iter().filter_map(each).collect();
    if bars.is_empty() {
        return String::new();
    }
    let title = format!("How many times better {first} is than {second}");
    let group = Group {
        name: "times better, by the first figure of each scenario; below 1 it is worse".to_owned(),
        goal: None,
        bars,
    };
    format!("<h2>{}</h2>\n<div class=\"same\">{}</div>\n", escaped(&title), plot::bars("all", &title, &[group]))
}

fn overview(suite: &Suite<'_>) -> String {
    let mut text = "<h2>All in one table</h2>\n<div class=\"wide\"><table>\n<caption>Medians, with the lowest and the highest of the rounds</caption>\n<thead><tr><th scope=\"col\">Scenario</th><th scope=\"col\">Figure</th>".to_owned();
    for label in suite.labels() {
        let _ = write!(text, "<th scope=\"col\" class=\"n\">{}</th><th scope=\"col\">Faults</th>", escaped(&label));
    }
    if suite.rivals.len() > 1 {
        text.push_str("<th scope=\"col\" class=\"n\">Times better</th>");
    }
    text.push_str("<th scope=\"col\" class=\"n\">Goal</th></tr></thead>\n<tbody>\n");
    for row in &suite.rows {
        let Some((figure, goal)) = row.figures().next() else { continue };
        let name = escaped(&row.scenario.name);
        let title = escaped(&row.scenario.title);
        let _ = write!(
            text,
            "<tr><th scope=\"row\"><a href=\"#{name}\">{title}</a></th><td>{}</td>",
            escaped(&named(figure))
        );
        for cell in &row.cells {
            let _ = write!(text, "<td class=\"n\">{}</td>{}", value(cell, figure), faults(cell));
        }
        if suite.rivals.len() > 1 {
            let _ = write!(
                text,
                "<td class=\"n\">{}</td>",
                row.advantage(figure).map_or_else(|| "–".to_owned(), Figure::text)
            );
        }
        let first = row.cells.first().and_then(|cell| cell.spread(figure)).map(|spread| spread.median);
        let _ = writeln!(text, "<td class=\"n\">{}</td></tr>", goal_text(figure, goal, first));
    }
    text.push_str("</tbody>\n</table></div>\n");
    text
}

fn value(cell: &Cell, figure: &Figure) -> String {
    cell.spread(figure).map_or_else(|| "–".to_owned(), |spread| spread.text())
}

fn faults(cell: &Cell) -> String {
    if !cell.is_measured() {
        return "<td class=\"bad\">not measured</td>".to_owned();
    }
    let class = if cell.is_clean() { "" } else { " class=\"bad\"" };
    format!("<td{class}>{}</td>", cell.faults().text())
}

fn scenario(suite: &Suite<'_>, row: &Row) -> String {
    let (name, labels) = (escaped(&row.scenario.name), suite.labels());
    let mut text = format!(
        "<section aria-labelledby=\"{name}\">\n<h3 id=\"{name}\">{}</h3>\n<p class=\"soft\"><code>certus bench {}</code></p>\n",
        escaped(&row.scenario.title),
        escaped(&row.scenario.line)
    );
    let bars = |figure: &Figure| {
        labels.iter().cloned().zip(row.cells.iter().map(|cell| cell.spread(figure))).collect::<Vec<_>>()
    };
    let groups: Vec<Group> = row
        .figures()
        .map(|(figure, goal)| Group { name: named(figure), goal, bars: bars(figure) })
        .filter(|group| group.bars.iter().any(|(_, spread)| spread.is_some()))
        .collect();
    if !groups.is_empty() {
        text.push_str(&plot::bars(&format!("plot-{name}"), &row.scenario.title, &groups));
    }
    text.push_str(&figures(row, &labels));
    for (label, cell) in labels.iter().zip(&row.cells) {
        for reason in cell.faults().reasons.iter().chain(&cell.left_out) {
            let _ = writeln!(text, "<p class=\"bad\">{}: {}</p>", escaped(label), escaped(reason));
        }
    }
    text.push_str("</section>\n");
    text
}

/// The same as the plot, and the faults, in cells.
fn figures(row: &Row, labels: &[String]) -> String {
    let mut text =
        "<details><summary>In figures</summary><div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">Figure</th>"
            .to_owned();
    for label in labels {
        let _ = write!(text, "<th scope=\"col\" class=\"n\">{}</th>", escaped(label));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for (figure, _) in row.figures() {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(&named(figure)));
        for cell in &row.cells {
            let _ = write!(text, "<td class=\"n\">{}</td>", value(cell, figure));
        }
        text.push_str("</tr>\n");
    }
    let others = |cell: &Cell| cell.others().map_or_else(|| "–".to_owned(), Figure::text);
    text.push_str("<tr><th scope=\"row\">cores that others kept busy, at most</th>");
    row.cells.iter().for_each(|cell| {
        let _ = write!(text, "<td class=\"n\">{}</td>", others(cell));
    });
    text.push_str("</tr>\n<tr><th scope=\"row\">faults</th>");
    row.cells.iter().for_each(|cell| text.push_str(&faults(cell)));
    text.push_str("</tr>\n</tbody>\n</table></div></details>\n");
    text
}
