//! What answers look like: a table, lines, or JSON.
//!
//! What lives here: columns and cells. Invariant: what stands in a certificate
//! cannot move the cursor of whoever looks at it.

use serde_json::Value;

use super::super::say;
use super::Api;

/// A column: its title, and where its value is (a JSON pointer).
pub(super) type Column = (&'static str, &'static str);

/// Shows a list.
pub(super) fn list(api: &Api, items: &[Value], columns: &[Column]) {
    match api.is_json() {
        true => say(format_args!("{:#}", Value::from(items.to_vec()))),
        false if items.is_empty() => say("none"),
        false => say(table(items, columns)),
    }
}

/// Shows one thing, a property a line.
pub(super) fn one(api: &Api, item: &Value, columns: &[Column]) {
    if api.is_json() {
        return say(format_args!("{item:#}"));
    }
    let width = columns.iter().map(|(title, _)| title.len()).max().unwrap_or_default();
    for (title, pointer) in columns {
        let cell = cell(item, pointer);
        if !cell.is_empty() {
            say(format_args!("{:width$}  {cell}", title.to_lowercase()));
        }
    }
}

/// Says that something was done; for programs, what it is now.
pub(super) fn done(api: &Api, item: &Value, words: &str) {
    match api.is_json() {
        true => say(format_args!("{item:#}")),
        false => say(harmless(words)),
    }
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let title: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let cells = items.iter().map(|item| columns.iter().map(|(_, pointer)| cell(item, pointer)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(title).chain(cells).collect();
    let longest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns.len()).map(|column| longest(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cell(item: &Value, pointer: &str) -> String {
    let words = match item.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(","),
        Some(other) => other.to_string(),
    };
    harmless(&words)
}

/// The text without what a terminal would obey.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let escaped = char.is_control().then(|| char.escape_default());
            let plain = (!char.is_control()).then_some(char);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let items =
            [json!({ "a": "é", "b": { "c": true } }), json!({ "a": "long", "b": { "c": ["x", "y"] } }), json!({})];
        let shown = table(&items, &[("A", "/a"), ("C", "/b/c")]);
        assert_eq!(shown, "A     C\né     yes\nlong  x,y\n");
    }

    #[test]
    fn a_certificate_cannot_move_the_cursor() {
        assert_eq!(harmless("CN=\u{1b}[2Ja\u{9b}1mb\r\n"), "CN=\\u{1b}[2Ja\\u{9b}1mb\\r\\n");
        assert_eq!(harmless("CN=Größe"), "CN=Größe");
    }
}
