//! Plots as inline SVG: bars with the range and the single rounds.
//!
//! What lives here: shapes, and the same in words for those who do not see them. What does not: which figures are
//! plotted. Invariant: nothing is told by colour alone, and nothing is fetched from elsewhere.

use std::fmt::Write as _;

use super::figure::{Figure, Spread};

/// Width of the whole, in units of the view box.
const WIDTH: f64 = 760.0;
/// Where bars begin.
const LEFT: f64 = 190.0;
/// How long the longest is; the rest is for its value.
const LONGEST: f64 = 400.0;
/// Height of a bar with the room around it.
const STEP: f64 = 22.0;
/// Height of a heading.
const HEADING: f64 = 26.0;

/// The bars of one figure, on a scale of their own.
pub struct Group {
    /// What is measured.
    pub name: String,
    /// What is aimed at.
    pub goal: Option<f64>,
    /// Whose bar, and how long; the first is always of the first broker.
    pub bars: Vec<(String, Option<Spread>)>,
}

/// Draws groups below each other. `id` is unique on its page.
pub fn bars(id: &str, title: &str, groups: &[Group]) -> String {
    let mut body = String::new();
    let mut y = 4.0;
    for group in groups {
        y = draw(&mut body, group, y);
    }
    let words: Vec<String> = groups.iter().map(in_words).collect();
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>\n{body}</svg>\n",
        y + 4.0,
        escaped(title),
        escaped(&words.join(" "))
    )
}

fn draw(body: &mut String, group: &Group, top: f64) -> f64 {
    let most = group.bars.iter().filter_map(|(_, spread)| Some(spread.as_ref()?.max)).chain(group.goal);
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let at = |value: f64| LEFT + LONGEST * (value / most).clamp(0.0, 1.0);
    let _ = writeln!(body, "<text class=\"h\" x=\"0\" y=\"{:.0}\">{}</text>", top + 16.0, escaped(&group.name));
    let mut y = top + HEADING;
    for (number, (label, spread)) in group.bars.iter().enumerate() {
        let _ = writeln!(
            body,
            "<text class=\"l\" x=\"{:.0}\" y=\"{:.0}\">{}</text>",
            LEFT - 8.0,
            y + 12.0,
            escaped(&short(label))
        );
        match spread {
            Some(spread) => bar(body, spread, number, y, &at),
            None => {
                let _ = writeln!(body, "<text class=\"v\" x=\"{LEFT}\" y=\"{:.0}\">not measured</text>", y + 12.0);
            }
        }
        y += STEP;
    }
    if let Some(goal) = group.goal {
        let (x, from) = (at(goal), top + HEADING - 4.0);
        let _ =
            writeln!(body, "<line class=\"goal\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{:.1}\"/>", y - 2.0);
        let _ = writeln!(
            body,
            "<text class=\"g\" x=\"{:.1}\" y=\"{:.0}\">goal {}</text>",
            x + 4.0,
            top + 16.0,
            Figure::text(goal)
        );
    }
    y + 8.0
}

fn bar(body: &mut String, spread: &Spread, number: usize, y: f64, at: &dyn Fn(f64) -> f64) {
    let end = at(spread.median);
    let _ = writeln!(
        body,
        "<rect class=\"b{number}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"15\" rx=\"2\"/>",
        (end - LEFT).max(1.0)
    );
    let mut right = end;
    if spread.values.len() > 1 {
        let (low, high, middle) = (at(spread.min), at(spread.max), y + 7.5);
        let _ = writeln!(
            body,
            "<line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>"
        );
        for value in &spread.values {
            let _ = writeln!(body, "<circle class=\"round\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"2.5\"/>", at(*value));
        }
        right = right.max(high);
    }
    let _ = writeln!(body, "<text class=\"v\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", right + 8.0, y + 12.0, spread.text());
}

fn in_words(group: &Group) -> String {
    let each = group.bars.iter().map(|(label, spread)| {
        let value = spread.as_ref().map_or_else(|| "not measured".to_owned(), Spread::text);
        format!("{label} {value}")
    });
    let goal = group.goal.map_or_else(String::new, |goal| format!("; goal {}", Figure::text(goal)));
    format!("{}: {}{goal}.", group.name, each.collect::<Vec<_>>().join(", "))
}

/// What fits to the left of the bars; the table beside the plot has the whole.
fn short(label: &str) -> String {
    if label.chars().count() <= 26 { label.to_owned() } else { label.chars().take(25).chain(['…']).collect() }
}

/// Text that means itself in HTML, in attributes too.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(values: &[f64]) -> Group {
        let bars = vec![("one".to_owned(), Spread::of(values.to_vec())), ("<two>".to_owned(), None)];
        Group { name: "cost, s".to_owned(), goal: Some(3.0), bars }
    }

    #[test]
    fn a_plot_says_in_words_what_it_shows() {
        let svg = bars("p1", "pairs & more", &[group(&[1.0, 2.0, 4.0])]);
        assert!(svg.contains("cost, s: one 2.00 (1.00–4.00), &lt;two&gt; not measured; goal 3.00."), "{svg}");
        assert!(svg.contains("aria-labelledby=\"p1-t p1-d\"") && svg.contains("pairs &amp; more"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3, "one for each round");
    }

    #[test]
    fn the_longest_bar_has_the_length_of_the_scale() {
        let svg = bars("p", "t", &[group(&[6.0])]);
        assert!(svg.contains("width=\"400.0\""), "{svg}");
        assert!(svg.contains(&format!("x1=\"{:.1}\"", LEFT + LONGEST / 2.0)), "the goal lies at half of it: {svg}");
        assert!(!bars("p", "t", &[group(&[0.0])]).contains("NaN"));
    }
}
