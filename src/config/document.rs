//! A configuration document that is read key by key.
//!
//! What lives here: [`Scope`], the whole of what is read (file, variables,
//! flags) with the problems found, and [`Reader`], one table of it. What does
//! not: the keys. Invariant: reading never stops at a mistake; a key that
//! nobody asked for is a mistake too.
//!
//! serde would stop at its first error. Here the person who runs the broker
//! sees all of them at once, each with its line.

use std::cell::RefCell;
use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Complaint, Place, Problem};
use super::sources::Sources;

/// Everything that one reading sees, and what it found wrong.
pub(super) struct Scope<'a> {
    name: String,
    text: &'a str,
    sources: &'a Sources,
    problems: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(name: String, text: &'a str, sources: &'a Sources) -> Self {
        Self { name, text, sources, problems: RefCell::default(), known: RefCell::default() }
    }

    pub(super) fn report(&self, place: Place, key: impl Into<String>, complaint: Complaint) {
        self.problems.borrow_mut().push(Problem { place, key: key.into(), complaint });
    }

    /// The place of a byte of the file.
    pub(super) fn place_at(&self, offset: usize) -> Place {
        let before = self.text.as_bytes().iter().take(offset);
        Place::File { name: self.name.clone(), line: 1 + before.filter(|byte| **byte == b'\n').count() }
    }

    /// The file as a whole.
    pub(super) fn place(&self) -> Place {
        Place::File { name: self.name.clone(), line: 0 }
    }

    pub(super) fn sources(&self) -> &'a Sources {
        self.sources
    }

    /// Whether nothing wrong has been found so far.
    pub(super) fn is_sound(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    /// Every key that was asked for.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value as it was written.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// In the file.
    Toml(&'a DeValue<'a>),
    /// As the text of a variable or a flag.
    Text(&'a str),
}

impl<'a> Given<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Toml(DeValue::String(text)) => Some(text),
            Self::Toml(_) => None,
        }
    }

    pub(super) fn whole(self) -> Option<u64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            Self::Toml(_) => None,
        }
    }

    pub(super) fn truth(self) -> Option<bool> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Toml(DeValue::Boolean(truth)) => Some(*truth),
            Self::Toml(_) => None,
        }
    }

    /// The items of a list; a text lists them with commas.
    pub(super) fn items(self) -> Option<Vec<Self>> {
        match self {
            Self::Text(text) => {
                Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Self::Text).collect())
            }
            Self::Toml(DeValue::Array(items)) => Some(items.iter().map(|item| Self::Toml(item.get_ref())).collect()),
            Self::Toml(_) => None,
        }
    }

    /// As it is named in a complaint.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Toml(DeValue::String(text)) => format!("{text:?}"),
            Self::Toml(DeValue::Integer(number)) => number.to_string(),
            Self::Toml(DeValue::Float(number)) => number.to_string(),
            Self::Toml(DeValue::Boolean(truth)) => truth.to_string(),
            Self::Toml(DeValue::Datetime(time)) => time.to_string(),
            Self::Toml(DeValue::Array(_)) => String::from("a list"),
            Self::Toml(DeValue::Table(_)) => String::from("a table"),
        }
    }
}

/// Whether variables and flags can stand in for the keys of a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overrides {
    Taken,
    /// Tables of a list have no name of their own.
    None,
}

/// One table of the document.
pub(super) struct Reader<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// The table's name with that of its parents; empty at the top.
    path: String,
    table: Option<&'a DeTable<'a>>,
    offset: usize,
    overrides: Overrides,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    /// The document itself.
    pub(super) fn top(scope: &'a Scope<'a>, table: &'a DeTable<'a>) -> Self {
        Self::of(scope, String::new(), Some(table), 0, Overrides::Taken)
    }

    fn of(
        scope: &'a Scope<'a>,
        path: String,
        table: Option<&'a DeTable<'a>>,
        offset: usize,
        overrides: Overrides,
    ) -> Self {
        Self { scope, path, table, offset, overrides, asked: RefCell::default() }
    }

    /// The full name of `key`.
    pub(super) fn name_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn ask(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        let entry = self.table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key));
        entry.map(|(_, value)| value)
    }

    /// The value of `key` and where it stands. Flags go before variables, and
    /// variables before the file.
    pub(super) fn find(&self, key: &'static str) -> Option<(Given<'a>, Place)> {
        let name = self.name_of(key);
        let written = self.ask(key);
        let standing_in = match self.overrides {
            Overrides::Taken => self.scope.sources.value_of(&name),
            Overrides::None => None,
        };
        self.scope.known.borrow_mut().insert(name);
        if let Some((text, place)) = standing_in {
            return Some((Given::Text(text), place));
        }
        written.map(|value| (Given::Toml(value.get_ref()), self.scope.place_at(value.span().start)))
    }

    /// Where `key` stands, or else its table.
    pub(super) fn place_of(&self, key: &'static str) -> Place {
        self.find(key).map_or_else(|| self.place(), |(_, place)| place)
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        if self.table.is_some() { self.scope.place_at(self.offset) } else { self.scope.place() }
    }

    /// Reads `key`; without it, or when it is wrong, `default`.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(Given<'a>) -> Result<T, Complaint>,
    ) -> T {
        let Some((given, place)) = self.find(key) else { return default };
        parse(given).unwrap_or_else(|complaint| {
            self.scope.report(place, self.name_of(key), complaint);
            default
        })
    }

    /// Complains about `key` after it was read.
    pub(super) fn complain(&self, key: &'static str, complaint: Complaint) {
        self.scope.report(self.place_of(key), self.name_of(key), complaint);
    }

    /// The table under `key`; an absent one reads as empty.
    pub(super) fn table(&self, key: &'static str) -> Self {
        let name = self.name_of(key);
        let value = self.ask(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        if let Some(value) = value
            && table.is_none()
        {
            let found = Given::Toml(value.get_ref()).shown();
            let complaint =
                Complaint::new(format!("{found} is not a table"), format!("write [{name}] and its keys below"));
            self.scope.report(self.scope.place_at(value.span().start), name.clone(), complaint);
        }
        let offset = value.map_or(self.offset, |value| value.span().start);
        Self::of(self.scope, name, table, offset, self.overrides)
    }

    /// The table under `key`, if the file has one there. Variables and flags
    /// stand in for the whole of it, not for its keys.
    pub(super) fn table_if_any(&self, key: &'static str) -> Option<Self> {
        let value = self.ask(key)?;
        let table = value.get_ref().as_table()?;
        Some(Self::of(self.scope, self.name_of(key), Some(table), value.span().start, Overrides::None))
    }

    /// The tables of the list under `key`; `None` when the key is absent.
    pub(super) fn tables(&self, key: &'static str) -> Option<Vec<Self>> {
        let name = self.name_of(key);
        let value = self.ask(key)?;
        let items = value.get_ref().as_array().map(|items| items.iter().collect::<Vec<_>>()).unwrap_or_default();
        let tables: Vec<Self> = items
            .iter()
            .filter_map(|item| {
                let table = item.get_ref().as_table()?;
                Some(Self::of(self.scope, name.clone(), Some(table), item.span().start, Overrides::None))
            })
            .collect();
        if tables.len() != items.len() || value.get_ref().as_array().is_none() {
            let complaint = Complaint::new("this is not a list of tables", format!("write [[{name}]] before each one"));
            self.scope.report(self.scope.place_at(value.span().start), name, complaint);
        }
        Some(tables)
    }

    /// Reports every key that nobody asked for.
    pub(super) fn close(self) {
        let asked = self.asked.into_inner();
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if asked.contains(name) {
                continue;
            }
            let full = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            let complaint = Complaint::new("no such key", suggestion(name, asked.iter().copied()));
            self.scope.report(self.scope.place_at(key.span().start), full, complaint);
        }
    }
}

/// Names what was probably meant.
pub(super) fn suggestion<'k>(given: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let near = known.clone().map(|key| (distance(given, key), key)).min();
    match near {
        Some((distance, key)) if distance <= 1 + given.len() / 4 => format!("did you mean {key}?"),
        _ if known.clone().count() > 30 => String::from("the config.toml that comes with certus lists every key"),
        _ => format!("known here are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Edits that turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        let mut left = i + 1;
        for (b, (diagonal, above)) in to.chars().zip(row.iter().zip(row.iter().skip(1))) {
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
