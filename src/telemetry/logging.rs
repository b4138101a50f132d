//! Log lines: text for people or JSON for machines, on standard error.
//!
//! What lives here: format, level, and the handle that changes the level of a
//! running broker. What does not: the events. Invariant: a level that cannot be
//! read changes nothing.

use std::fmt;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged: a level (`info`) or directives (`info,certus::net=debug`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level(String);

/// The store's engine tells of every file that it opens, which nobody asked
/// for. A directive of the user's own goes before this one.
const ENGINE: &str = "fjall=warn,lsm_tree=warn,";

impl Level {
    /// The directives as they were written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn filter(&self) -> EnvFilter {
        let says_little = self.0.split(',').any(|part| matches!(part.trim(), "off" | "error" | "warn"));
        let quiet = if says_little { "" } else { ENGINE };
        // The text was checked when it was read.
        EnvFilter::try_new(format!("{quiet}{}", self.0)).unwrap_or_default()
    }
}

impl Default for Level {
    fn default() -> Self {
        Self(String::from("info"))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        // A bare word that is no level would be read as the name of a target.
        let known = |part: &str| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            matches!(level.trim(), "off" | "error" | "warn" | "info" | "debug" | "trace")
        };
        if text.split(',').all(known) && EnvFilter::try_new(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(LevelError(text.to_owned()))
    }
}

/// A text is neither a level nor a list of directives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a log level; write one of off, error, warn, info, debug, trace, or a list such as \"info,certus::net=debug\""
)]
pub struct LevelError(String);

/// Somebody set up the log of this process before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log of this process is set up already")]
pub struct AlreadySetUp;

/// Changes the level of the running log.
#[derive(Clone)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl LogControl {
    /// Logs at `level` from now on.
    pub fn set_level(&self, level: &Level) {
        // Fails only when the subscriber is gone, and then nobody logs.
        let _ = self.filter.reload(level.filter());
    }
}

/// Sets up the log of this process, and makes a panic a log line.
///
/// # Errors
/// It was set up before.
pub fn set_up(format: Format, level: &Level) -> Result<LogControl, AlreadySetUp> {
    let (filter, control) = reload::Layer::new(level.filter());
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| AlreadySetUp)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("(no text)");
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(%place, text, backtrace = %trace, "panic");
    }));
    Ok(LogControl { filter: control })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_word_or_a_list_of_directives() {
        for good in ["info", "off", "warn,certus::net=debug", "certus=trace"] {
            assert_eq!(good.parse::<Level>().unwrap().as_str(), good);
        }
        for bad in ["", "loud", "info,loud", "certus=loud", "info,,warn"] {
            assert!(bad.parse::<Level>().is_err(), "{bad:?}");
        }
    }
}
