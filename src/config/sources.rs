//! Where configuration comes from: flags, variables, a file.
//!
//! What lives here: the three sources and which goes first. What does not: the
//! meaning of a key. Invariant: flags go before variables, variables before the
//! file, the file before the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::error::Place;

/// What every variable of ours begins with.
const PREFIX: &str = "CERTUS_";

/// Variables of ours that stand for no key: they choose the file, or belong to
/// the clients of the command line.
const NO_KEYS: [&str; 6] =
    ["CERTUS_CA", "CERTUS_CONFIG", "CERTUS_PASSWORD", "CERTUS_SEALING_KEY", "CERTUS_TOKEN", "CERTUS_URL"];

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "config.toml";

/// A flag that stands for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As it is written, such as `--listen-tls`.
    pub name: String,
    /// The key, such as `listeners.tls`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The sources of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: BTreeMap<String, String>,
    flags: Vec<Flag>,
}

impl Sources {
    /// Nothing but defaults, and [`DEFAULT_FILE`] if there is one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads this file, which must exist.
    #[must_use]
    pub fn with_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Takes the variables that begin with `CERTUS_`.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables.extend(variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)));
        self
    }

    /// Takes the variables of this process. Those that are no text are ours
    /// only if somebody set them by mistake, and are left out.
    #[must_use]
    pub fn with_environment(self) -> Self {
        let texts =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        self.with_variables(texts)
    }

    /// Adds a flag. Of two for one key the last counts.
    #[must_use]
    pub fn with_flag(mut self, name: &str, key: &str, value: impl Into<String>) -> Self {
        self.flags.push(Flag { name: name.to_owned(), key: key.to_owned(), value: value.into() });
        self
    }

    /// The file to read.
    pub fn file(&self) -> &Path {
        self.file.as_deref().unwrap_or_else(|| Path::new(DEFAULT_FILE))
    }

    /// Whether the file was named, and so must exist.
    pub fn is_file_named(&self) -> bool {
        self.file.is_some()
    }

    /// What a flag or a variable sets `key` to.
    pub(super) fn value_of(&self, key: &str) -> Option<(&str, Place)> {
        if let Some(flag) = self.flags.iter().rev().find(|flag| flag.key == key) {
            return Some((&flag.value, Place::Flag(flag.name.clone())));
        }
        let name = variable_for(key);
        self.variables.get(&name).map(|value| (value.as_str(), Place::Variable(name)))
    }

    /// The flags that stand for none of `keys`.
    pub(super) fn flags_beside(&self, keys: &BTreeSet<String>) -> impl Iterator<Item = &Flag> {
        self.flags.iter().filter(|flag| !keys.contains(&flag.key))
    }

    /// The variables that stand for none of `keys`. The address variables that
    /// Kubernetes sets for a service called `certus` are left out.
    pub(super) fn variables_beside(&self, keys: &BTreeSet<String>) -> Vec<&str> {
        let known: BTreeSet<String> = keys.iter().map(|key| variable_for(key)).collect();
        let foreign = |name: &str| name.starts_with("CERTUS_SERVICE_") || name.starts_with("CERTUS_PORT");
        let names = self.variables.keys().map(String::as_str);
        names.filter(|name| !known.contains(*name) && !NO_KEYS.contains(name) && !foreign(name)).collect()
    }
}

/// The variable that stands for a key: `limits.backlog` is
/// `CERTUS_LIMITS_BACKLOG`.
pub fn variable_for(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}
