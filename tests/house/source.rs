//! Reads Rust source far enough to see who names whom.
//!
//! What lives here: a source file without comments, literals and test code, and
//! the paths in it. What does not: what is allowed (`tests/house.rs`). Invariant: a
//! name inside a comment, a string or a test is never reported.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the project.
pub struct Source {
    /// Path from the package's root, with `/`.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text without comments, the contents of literals, and test code. Lines keep their numbers.
    pub code: String,
}

/// A path into the crate: `crate::store::memory::X` is room `store`, next `memory::X`.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Arrow {
    pub line: usize,
    pub room: String,
    /// The path below the room; `None` when the room itself is imported.
    pub next: Option<String>,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let test_file = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code = if path.starts_with("src/") && test_file { String::new() } else { without_tests(&blank(&text)) };
        Self { path, text, code }
    }

    /// The top-level module that the file belongs to: `net` for `src/net/tls/mod.rs`.
    pub fn room(&self) -> &str {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let end = inner.find(['/', '.']).unwrap_or(inner.len());
        &inner[..end]
    }

    /// How many `super` lead from this file to the crate's root.
    fn depth(&self) -> usize {
        let parts = self.path.trim_start_matches("src/").split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Every path from this file to a room of the crate.
    pub fn arrows(&self) -> Vec<Arrow> {
        let mut roots = vec!["crate::".to_owned(), "super::".repeat(self.depth())];
        if self.path == "src/main.rs" {
            roots.push("certus::".to_owned());
        }
        let mut found = Vec::new();
        for root in roots.iter().filter(|root| !root.is_empty()) {
            for (at, _) in self.code.match_indices(root.as_str()) {
                if begins_word(&self.code, at) && !self.code[..at].ends_with("super::") {
                    let line = line_of(&self.code, at);
                    let names = heads(&self.code[at + root.len()..]);
                    found.extend(names.into_iter().map(|(room, next)| Arrow { line, room, next }));
                }
            }
        }
        found.into_iter().flat_map(|arrow| self.spelled_out(arrow)).collect()
    }

    /// A room imported by its name is used as `room::X` further down: one arrow for each `X`.
    fn spelled_out(&self, arrow: Arrow) -> Vec<Arrow> {
        if arrow.next.is_some() {
            return vec![arrow];
        }
        let needle = format!("{}::", arrow.room);
        let uses = self
            .code
            .match_indices(&needle)
            .filter(|(at, _)| begins_word(&self.code, *at) && !self.code[..*at].ends_with("::"));
        let mut all: Vec<Arrow> = uses
            .flat_map(|(at, _)| {
                let line = line_of(&self.code, at);
                paths(&self.code[at + needle.len()..]).into_iter().map(move |next| (line, next))
            })
            .map(|(line, next)| Arrow { line, room: arrow.room.clone(), next: Some(next) })
            .collect();
        all.push(arrow);
        all
    }

    /// The lines in which `name` stands as a whole path prefix or word.
    pub fn lines_with(&self, name: &str) -> Vec<usize> {
        let open_end = name.ends_with(['(', ':', '<']);
        let whole = |at: usize| open_end || !self.code[at + name.len()..].starts_with(is_word);
        let hits = self.code.match_indices(name).filter(|(at, _)| begins_word(&self.code, *at) && whole(*at));
        hits.map(|(at, _)| line_of(&self.code, at)).collect()
    }
}

/// Every `.rs` file below `folder`, in a fixed order.
pub fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        Source::new(name, fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
            collect(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

/// A made-up file, for the tests of this reader.
pub fn made_up(path: &str, text: &str) -> Source {
    Source::new(path.to_owned(), text.to_owned())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn begins_word(code: &str, at: usize) -> bool {
    !code[..at].ends_with(is_word)
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The room and what follows it, of a path or of each path in its `{…}` groups.
fn heads(rest: &str) -> Vec<(String, Option<String>)> {
    let split = |path: String| match path.split_once("::") {
        Some((room, next)) => (room.to_owned(), Some(next.to_owned())),
        None => (path, None),
    };
    paths(rest).into_iter().map(split).collect()
}

/// The paths at the front, groups spelled out: `a::{b, c::D}` is `a::b` and `a::c::D`.
fn paths(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        return members(group).iter().flat_map(|member| paths(member)).collect();
    }
    let (name, rest) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
    if name.is_empty() {
        return Vec::new();
    }
    let deeper = rest.trim_start().strip_prefix("::").map(paths).unwrap_or_default();
    if deeper.is_empty() {
        return vec![name.to_owned()];
    }
    deeper.iter().map(|next| if next == "self" { name.to_owned() } else { format!("{name}::{next}") }).collect()
}

/// The members of a group whose opening brace is already gone.
fn members(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut members = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => members.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                members.last_mut().unwrap().push(c);
            }
        }
    }
    members
}

/// Replaces comments and the contents of literals by blanks, newlines kept.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let taken = literal_or_comment(rest);
        let (hidden, next) = rest.split_at(taken.unwrap_or(0));
        out.extend(hidden.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = next;
        if taken.is_none() {
            // A whole word at once, so that the `r` of `for"` is not taken for a raw string.
            let word = rest.find(|c| !is_word(c)).filter(|end| *end > 0);
            let step = word.unwrap_or_else(|| rest.chars().next().map_or(1, char::len_utf8));
            let step = if rest.starts_with(is_word) && word.is_none() { rest.len() } else { step };
            out.push_str(&rest[..step]);
            rest = &rest[step..];
        }
    }
    out
}

/// The length of the comment or literal at the front, if one begins here.
fn literal_or_comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let body = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if prefix <= 1 && raw[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let start = prefix + 1 + hashes + 1;
            return Some(rest[start..].find(&close).map_or(rest.len(), |end| start + end + close.len()));
        }
    }
    if prefix <= 1 && body.starts_with('"') {
        return Some(prefix + quoted(body));
    }
    character(body).filter(|_| prefix <= 1).map(|end| prefix + end)
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a `"…"` literal with its escapes.
fn quoted(rest: &str) -> usize {
    let mut escaped = true; // the opening quote
    for (at, c) in rest.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            return at + 1;
        }
    }
    rest.len()
}

/// The length of a `'x'` literal; a lifetime has none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        let end = inner[2..].find('\'')?;
        return Some(1 + 2 + end + 1);
    }
    inner[first.len_utf8()..].starts_with('\'').then_some(1 + first.len_utf8() + 1)
}

/// Blanks every item behind `#[cfg(test)]` (attributes between them included).
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = start + item_end(&out[start..]);
        let hidden: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &hidden);
    }
    out
}

/// The length of the item at the front: to the `;` or the closing brace at depth 0.
fn item_end(item: &str) -> usize {
    let (mut braces, mut others) = (0, 0);
    for (at, c) in item.char_indices() {
        match c {
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && others == 0 {
                    return at + 1;
                }
            }
            '(' | '[' => others += 1,
            ')' | ']' => others -= 1,
            ';' if braces == 0 && others == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

#[test]
fn names_in_comments_literals_and_tests_are_not_seen() {
    let text = "//! crate::a\n/* crate::b /* */ */ let s = \"crate::c\\\" crate::d\"; let r = r#\"crate::e \" \"#;\n\
                let q = '\"'; fn f<'a>(x: &'a str) { crate::f::g() }\n#[cfg(test)]\nmod tests { use crate::h::i; }\n";
    let arrows = made_up("src/net/x.rs", text).arrows();
    assert_eq!(arrows, [Arrow { line: 3, room: "f".into(), next: Some("g".into()) }]);
}

#[test]
fn every_member_of_a_group_is_an_arrow() {
    let source = made_up("src/net/x.rs", "use crate::{\n    a::{b, c::d},\n    e,\n};\nfn f() -> e::G {}\n");
    let seen: Vec<_> = source.arrows().into_iter().map(|a| (a.room, a.next.unwrap_or_default())).collect();
    let want = [("a", "b"), ("a", "c::d"), ("e", "G"), ("e", "")];
    assert_eq!(seen, want.map(|(room, next)| (room.to_owned(), next.to_owned())));
}

#[test]
fn a_path_by_super_to_the_root_is_an_arrow() {
    let one = made_up("src/net/mod.rs", "use super::store::Store;").arrows();
    let two =
        made_up("src/net/tls/record.rs", "use super::super::super::store::Store; use super::super::limits;").arrows();
    assert_eq!(one.first().map(|a| a.room.as_str()), Some("store"));
    assert_eq!(two.iter().map(|a| a.room.as_str()).collect::<Vec<_>>(), ["store"]);
}
