//! Topic names and topic filters. Source: MQTT 5.0 section 4.7.

use std::fmt;
use std::sync::Arc;

/// Why a text is no topic name or no topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// At least one character is needed [MQTT-4.7.3-1].
    #[error("is empty")]
    Empty,
    /// A shared subscription lacks its group or its filter, or the group
    /// holds `+` or `#` [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    #[error("is not of the form $share/<group>/<filter>")]
    MalformedShare,
    /// `#` not last, or a wildcard that shares its level with other
    /// characters [MQTT-4.7.1-1] [MQTT-4.7.1-2].
    #[error("has a wildcard that does not fill its level, or a # before the end")]
    MisplacedWildcard,
    /// U+0000 is never allowed [MQTT-4.7.3-2].
    #[error("holds the null character")]
    Null,
    /// The length must fit in two bytes [MQTT-4.7.3-3].
    #[error("is longer than 65535 bytes")]
    TooLong,
    /// Wildcards are for filters only [MQTT-4.7.0-1].
    #[error("holds a wildcard")]
    Wildcard,
}

/// A topic that a message is published to: no wildcards, not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `text`.
    ///
    /// # Errors
    /// Names the first rule of section 4.7 that `text` breaks.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > usize::from(u16::MAX) {
            return Err(TopicError::TooLong);
        }
        if is_plain(text.as_bytes()) {
            return Ok(Self(text));
        }
        Err(if text.contains('\0') { TopicError::Null } else { TopicError::Wildcard })
    }

    /// The topic as text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the topic starts with `$` and so is hidden from filters that
    /// start with a wildcard [MQTT-4.7.2-1].
    #[must_use]
    pub fn is_dollar(self) -> bool {
        self.0.starts_with('$')
    }
}

/// Whether `bytes` hold neither U+0000 nor `+` nor `#`: eight bytes at a time,
/// as this runs for every PUBLISH.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let marked = words.iter().fold(0, |marked, word| marked | marks(u64::from_ne_bytes(*word)));
    marked == 0 && !rest.iter().any(|byte| matches!(byte, 0 | b'+' | b'#'))
}

/// Not zero exactly when one of the eight bytes is forbidden: subtracting 1
/// from each byte borrows into the top bit where the byte was 0.
const fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    }
    zeros(word) | zeros(word ^ (ONES * b'+' as u64)) | zeros(word ^ (ONES * b'#' as u64))
}

/// What a client subscribes to: levels, `+`, `#`, and the group when it is
/// a shared subscription.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    whole: Arc<str>,
    /// Where the part to match starts: behind `$share/<group>/`, else 0.
    start: u16,
}

const SHARE: &str = "$share/";

impl TopicFilter {
    /// Checks `text`.
    ///
    /// # Errors
    /// Names the first rule of sections 4.7 and 4.8.2 that `text` breaks.
    pub fn new(text: &str) -> Result<Self, TopicError> {
        let start = path_start(text)?;
        Ok(Self { whole: Arc::from(text), start: u16::try_from(start).unwrap_or(0) })
    }

    /// Checks `text` without keeping it.
    ///
    /// # Errors
    /// As [`TopicFilter::new`].
    pub fn check(text: &str) -> Result<(), TopicError> {
        path_start(text).map(|_| ())
    }

    /// The filter as the client wrote it, `$share/<group>/` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.whole
    }

    /// The part that is matched against topics.
    #[must_use]
    pub fn path(&self) -> &str {
        self.whole.get(usize::from(self.start)..).unwrap_or_default()
    }

    /// The share name, when this is a shared subscription.
    #[must_use]
    pub fn share(&self) -> Option<&str> {
        let end = usize::from(self.start).checked_sub(1)?;
        self.whole.get(SHARE.len()..end)
    }

    /// Whether the path holds `+` or `#`.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.path().bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// The number of levels of the path.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.path().split('/').count()
    }

    /// Whether a message to `topic` is meant by this filter.
    #[must_use]
    pub fn matches(&self, topic: TopicName<'_>) -> bool {
        matches(self.path(), topic.as_str())
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.whole)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.whole)
    }
}

/// Checks a whole filter; gives where its path starts.
fn path_start(text: &str) -> Result<usize, TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    let start = match text.strip_prefix(SHARE) {
        None => 0,
        Some(rest) => SHARE.len() + group_len(rest)? + 1,
    };
    check_levels(text.get(start..).unwrap_or_default())?;
    Ok(start)
}

/// The length of the share name in front of the next `/`.
fn group_len(rest: &str) -> Result<usize, TopicError> {
    let (group, filter) = rest.split_once('/').ok_or(TopicError::MalformedShare)?;
    if group.is_empty() || filter.is_empty() || group.contains(['+', '#']) {
        return Err(TopicError::MalformedShare);
    }
    if group.contains('\0') {
        return Err(TopicError::Null);
    }
    Ok(group.len())
}

fn check_levels(path: &str) -> Result<(), TopicError> {
    if path.is_empty() {
        return Err(TopicError::Empty);
    }
    let mut levels = path.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('\0') {
            return Err(TopicError::Null);
        }
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Err(TopicError::MisplacedWildcard);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::MisplacedWildcard);
        }
    }
    Ok(())
}

/// Whether `topic` matches the path of a filter, level by level: the plain
/// reading of section 4.7, and the yardstick of the router's tests.
#[must_use]
pub fn matches(path: &str, topic: &str) -> bool {
    if topic.starts_with('$') && path.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in path.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [MQTT-4.7.0-1] [MQTT-4.7.3-2]
    #[test]
    fn a_forbidden_character_is_found_at_every_place_of_a_topic() {
        for len in 1..40 {
            let good = "é~\u{1}\"$*,/".chars().cycle().take(len).collect::<String>();
            assert!(TopicName::new(&good).is_ok(), "{good}");
            for (at, _) in good.char_indices() {
                for (bad, error) in [('+', TopicError::Wildcard), ('#', TopicError::Wildcard), ('\0', TopicError::Null)]
                {
                    let mut text = good.clone();
                    text.insert(at, bad);
                    assert_eq!(TopicName::new(&text), Err(error), "{text:?}");
                }
            }
        }
    }

    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT-4.7.3-2]
    #[test]
    fn filters_are_checked_level_by_level() {
        for good in ["#", "+", "/", "a//b", "+/+", "a/#", "/+", "$share/g/#", "$SYS/#"] {
            assert!(TopicFilter::new(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("", TopicError::Empty),
            ("a#", TopicError::MisplacedWildcard),
            ("a/#/b", TopicError::MisplacedWildcard),
            ("a+/b", TopicError::MisplacedWildcard),
            ("a\0", TopicError::Null),
            ("$share/g", TopicError::MalformedShare),
            ("$share//a", TopicError::MalformedShare),
            ("$share/g/", TopicError::MalformedShare),
            ("$share/+/a", TopicError::MalformedShare),
            ("$share/g\0/a", TopicError::Null),
        ] {
            assert_eq!(TopicFilter::new(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn a_shared_filter_knows_its_group_and_its_path() {
        let filter = TopicFilter::new("$share/line/a/+").unwrap();
        assert_eq!((filter.share(), filter.path()), (Some("line"), "a/+"));
        assert_eq!(TopicFilter::new("a/+").unwrap().share(), None);
    }

    /// [MQTT-4.7.2-1] and the examples of section 4.7.1.
    #[test]
    fn matching_follows_the_examples_of_the_standard() {
        for (path, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/x", true),
        ] {
            assert_eq!(matches(path, topic), expected, "{path} {topic}");
        }
    }
}
