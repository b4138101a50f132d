//! Topic aliases that the client sets. Source: MQTT 5.0 section 3.3.2.3.4.

use super::Violation;

/// The topics behind the aliases of one connection.
#[derive(Debug)]
pub struct Aliases {
    topics: Vec<Option<Box<str>>>,
    maximum: u16,
}

impl Aliases {
    /// Aliases from 1 to `maximum`; none is set. Space is taken when one is.
    #[must_use]
    pub const fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum }
    }

    pub(super) fn resolve<'a>(&'a mut self, alias: u16, topic: &'a str) -> Result<&'a str, Violation> {
        if alias == 0 || alias > self.maximum {
            return Err(Violation::TopicAlias(alias));
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            return self.topics.get(index).and_then(Option::as_deref).ok_or(Violation::TopicAlias(alias));
        }
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        if let Some(known) = self.topics.get_mut(index)
            && known.as_deref() != Some(topic)
        {
            *known = Some(Box::from(topic));
        }
        Ok(topic)
    }
}
