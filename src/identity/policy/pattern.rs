//! Topic patterns: variables filled in, and what covers what.
//!
//! What lives here: the form of a pattern, its variables, and the comparison
//! with topics and filters. What does not: who has which pattern (`rights`).
//! Invariant: a variable that is not set, or whose value could change the
//! pattern's meaning, narrows what is allowed and widens what is denied.

use super::Attributes;
use crate::identity::switch::Variable;
use crate::mqtt::{TopicError, TopicFilter, matches};

/// Filters that one pattern may become when a variable has several values.
const MOST: usize = 64;

/// What a pattern is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Whatever does not begin with `$`.
    AllButDollar,
    /// Everything, `$` included.
    Everything,
    /// What this filter covers.
    Filter(Box<str>),
    /// What one of these filters covers.
    OneOf(&'static [&'static str]),
}

impl Pattern {
    pub(super) fn matches_topic(&self, topic: &str) -> bool {
        match self {
            Self::AllButDollar => !topic.starts_with('$'),
            Self::Everything => true,
            Self::Filter(filter) => matches(filter, topic),
            Self::OneOf(filters) => filters.iter().any(|filter| matches(filter, topic)),
        }
    }

    /// Whether every topic of `path` is one of the pattern's.
    pub(super) fn covers_filter(&self, path: &str) -> bool {
        match self {
            Self::AllButDollar => !path.starts_with('$'),
            Self::Everything => true,
            Self::Filter(filter) => covers(filter, path),
            Self::OneOf(filters) => filters.iter().any(|filter| covers(filter, path)),
        }
    }

    /// Whether some topic of `path` is one of the pattern's.
    pub(super) fn touches_filter(&self, path: &str) -> bool {
        match self {
            Self::AllButDollar => !path.starts_with('$'),
            Self::Everything => true,
            Self::Filter(filter) => overlaps(filter, path),
            Self::OneOf(filters) => filters.iter().any(|filter| overlaps(filter, path)),
        }
    }
}

/// Why a configured pattern can never grant anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `%` without a known variable.
    #[error("has a variable that is not known; write %t (tenant), %c (ClientId), %n (CN), %u (user) or %{{NAME}} with one of {}", Variable::NAMES.join(", "))]
    UnknownVariable,
    /// It is no topic filter.
    #[error("{0}")]
    Filter(#[from] TopicError),
    /// Rights are about topics, not about groups.
    #[error("must not be a shared subscription; write the part behind the group")]
    Shared,
}

/// Checks a pattern before any client is there.
///
/// # Errors
/// Says what the pattern lacks.
pub fn check_pattern(pattern: &str) -> Result<(), PatternError> {
    let mut filled = String::with_capacity(pattern.len());
    for part in Parts(pattern) {
        match part? {
            Part::Text(text) => filled.push_str(text),
            Part::Variable(_) => filled.push('v'),
        }
    }
    check_filter(&filled)
}

/// The same for a pattern that is taken literally.
///
/// # Errors
/// Says what the pattern lacks.
pub fn check_filter(filter: &str) -> Result<(), PatternError> {
    match TopicFilter::new(filter)?.share() {
        Some(_) => Err(PatternError::Shared),
        None => Ok(()),
    }
}

enum Part<'p> {
    Text(&'p str),
    Variable(Variable),
}

/// The parts of a pattern, in order.
struct Parts<'p>(&'p str);

impl<'p> Iterator for Parts<'p> {
    type Item = Result<Part<'p>, PatternError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.find('%').unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at_checked(end)?;
        if !text.is_empty() {
            self.0 = rest;
            return Some(Ok(Part::Text(text)));
        }
        let found = variable(rest);
        self.0 = found.map_or("", |(_, rest)| rest);
        Some(found.map(|(variable, _)| Part::Variable(variable)).ok_or(PatternError::UnknownVariable))
    }
}

/// The variable that `text` begins with, and what follows it.
fn variable(text: &str) -> Option<(Variable, &str)> {
    let text = text.strip_prefix('%')?;
    if let Some((name, rest)) = text.strip_prefix('{').and_then(|text| text.split_once('}')) {
        return Some((name.parse().ok()?, rest));
    }
    let mut chars = text.chars();
    let variable = match chars.next()? {
        't' => Variable::Tenant,
        'c' => Variable::ClientId,
        'n' => Variable::CommonName,
        'u' => Variable::User,
        _ => return None,
    };
    Some((variable, chars.as_str()))
}

/// Whether the pattern depends on more than the tenant.
pub(super) fn is_personal(pattern: &str) -> bool {
    Parts(pattern).any(|part| matches!(part, Ok(Part::Variable(variable)) if variable != Variable::Tenant))
}

/// The filters that the pattern allows: one for each value of its variables,
/// none when a variable has no value that is safe to fill in.
pub(super) fn allowed(pattern: &str, who: &Attributes<'_>) -> Vec<String> {
    let mut filled = vec![String::new()];
    for part in Parts(pattern) {
        match part {
            Ok(Part::Text(text)) => filled.iter_mut().for_each(|filter| filter.push_str(text)),
            Ok(Part::Variable(variable)) => {
                let values: Vec<&str> = who.values(variable).filter(|value| is_safe(value)).collect();
                let longer =
                    filled.iter().flat_map(|filter| values.iter().map(move |value| format!("{filter}{value}")));
                filled = longer.take(MOST).collect();
            }
            Err(_) => return Vec::new(),
        }
    }
    filled.retain(|filter| check_filter(filter).is_ok());
    filled
}

/// The filters that the pattern denies. From a level on whose variable has no
/// safe value, everything is denied: a client must not get around a rule by
/// its own name.
pub(super) fn denied(pattern: &str, who: &Attributes<'_>) -> Vec<String> {
    let mut known = String::new();
    for part in Parts(pattern) {
        match part {
            Ok(Part::Text(text)) => known.push_str(text),
            Ok(Part::Variable(variable)) => {
                let (mut values, safe) = (who.values(variable).peekable(), who.values(variable).all(is_safe));
                if values.peek().is_none() || !safe {
                    let level = known.rfind('/').map_or(0, |slash| slash + 1);
                    known.truncate(level);
                    return vec![known + "#"];
                }
                // One value as a rule; several are denied by the level's wildcard.
                match (values.next(), values.next()) {
                    (Some(one), None) => known.push_str(one),
                    _ => {
                        let level = known.rfind('/').map_or(0, |slash| slash + 1);
                        known.truncate(level);
                        return vec![known + "#"];
                    }
                }
            }
            Err(_) => return vec![String::from("#")],
        }
    }
    vec![known]
}

/// A value that is empty, or holds a separator or wildcard, would mean what
/// nobody meant.
fn is_safe(value: &str) -> bool {
    !value.is_empty() && !value.contains(['/', '+', '#', '\0'])
}

/// Whether every topic that the filter `path` matches is matched by
/// `pattern` too.
#[must_use]
pub fn covers(pattern: &str, path: &str) -> bool {
    if path.starts_with('$') && pattern.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = path.split('/');
    for allowed in pattern.split('/') {
        match (allowed, levels.next()) {
            ("#", _) => return true,
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (allowed, Some(level)) if allowed == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether some topic is matched by both filters.
#[must_use]
pub fn overlaps(one: &str, other: &str) -> bool {
    let wild = |filter: &str| filter.starts_with(['+', '#']);
    if (one.starts_with('$') && wild(other)) || (other.starts_with('$') && wild(one)) {
        return false;
    }
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}
