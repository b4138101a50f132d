//! What is wrong with a configuration, and what would be right.
//!
//! What lives here: one [`Problem`] a mistake, and [`Problems`], which holds
//! all of them. What does not: finding them. Invariant: every problem names its
//! place, its key, the reason and a remedy, in one line.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file; line 0 stands for the whole of it.
    File {
        /// As it was named.
        name: String,
        /// From 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// Nowhere: a default.
    Default,
    /// The reason names it, and the remedy too.
    Told,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line: 0 } => f.write_str(name),
            Self::File { name, line } => write!(f, "{name}:{line}"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("default"),
            Self::Told => Ok(()),
        }
    }
}

/// What is wrong with a value and what would work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Complaint {
    /// A complaint in these words.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The key with its tables, such as `limits.backlog`; empty for a file
    /// that cannot be read at all.
    pub key: String,
    /// What, and what instead.
    pub complaint: Complaint,
}

impl Problem {
    /// What another room has found, in its own words.
    pub fn told(error: impl fmt::Display) -> Self {
        Self { place: Place::Told, key: String::new(), complaint: Complaint::new(error.to_string(), "") }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place == Place::Told {
            return f.write_str(&self.complaint.reason);
        }
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.complaint.reason, self.complaint.remedy)
    }
}

/// All mistakes of a configuration, in the order of their places. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}
