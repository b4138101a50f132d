//! When the slow store becomes durable, and how that is written.
//!
//! What lives here: [`Plan`] and its short text form. What does not: time and
//! threads (`slow`). Invariant: `Plan` reads back what it displays.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// When what was appended becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// `steps:N`: in groups of one to N batches, as the seed wills; the last
    /// ones wait until more come.
    Steps(u64),
    /// `behind:N`: when N more batches have come.
    Behind(u64),
    /// `late:5ms`: all that is there, that long after the first of it; needs
    /// the committer's thread.
    Late(Duration),
    /// `never`: only by hand.
    Never,
    /// `fail-after:N`: at once, but the sync behind the Nth batch fails.
    FailAfter(u64),
    /// `full-after:N`: at once, but there is space for N batches only.
    FullAfter(u64),
}

/// A text that names no [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no plan of the slow store; write steps:7, behind:3, late:5ms, never, fail-after:100 or full-after:100"
)]
pub struct PlanError(String);

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let count = || value.parse().ok();
        let plan = match name {
            "steps" => count().filter(|&most| most > 0).map(Self::Steps),
            "behind" => count().map(Self::Behind),
            "late" => {
                value.strip_suffix("ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis).map(Self::Late)
            }
            "never" => value.is_empty().then_some(Self::Never),
            "fail-after" => count().map(Self::FailAfter),
            "full-after" => count().map(Self::FullAfter),
            _ => None,
        };
        plan.ok_or_else(|| PlanError(text.to_owned()))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(most) => write!(f, "steps:{most}"),
            Self::Behind(batches) => write!(f, "behind:{batches}"),
            Self::Late(delay) => write!(f, "late:{}ms", delay.as_millis()),
            Self::Never => f.write_str("never"),
            Self::FailAfter(batches) => write!(f, "fail-after:{batches}"),
            Self::FullAfter(batches) => write!(f, "full-after:{batches}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back_what_it_displays() {
        for text in ["steps:7", "behind:0", "late:5ms", "never", "fail-after:100", "full-after:2"] {
            assert_eq!(text.parse::<Plan>().unwrap().to_string(), text);
        }
        for text in ["", "steps", "steps:0", "late:5", "late:5s", "never:1", "fail-after:x", "soon"] {
            assert_eq!(text.parse::<Plan>(), Err(PlanError(text.to_owned())));
        }
    }
}
