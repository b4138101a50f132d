//! Subscriptions and sessions that have nothing to do with the load.
//!
//! What lives here: making many of them, and having the broker forget them. What does not: the load. Invariant:
//! none of their filters matches a topic that anybody publishes to, except that of the sleeper.

use super::beside::What;
use super::dial::{Caller, Link};
use super::error::Error;
use super::queue::visit;
use super::shape::{Field, Roles};
use crate::mqtt::Qos;

/// Subscriptions of one client, the usual bound of brokers.
pub const EACH: usize = 1000;
/// Filters in one SUBSCRIBE.
const TOGETHER: usize = 100;
/// Sessions that are made at the same time.
pub const BLOCK: usize = 2000;

/// What was added.
pub struct Growth {
    what: What,
    many: usize,
    /// Those who hold subscriptions: these end with them.
    holders: Vec<Link>,
}

impl Growth {
    /// Adds `--many` of them.
    ///
    /// # Errors
    /// A client cannot connect, or the broker refuses a subscription.
    pub async fn plant(field: &Field, roles: &Roles, what: What) -> Result<Self, Error> {
        let many = usize::try_from(field.args.many()).unwrap_or(usize::MAX);
        let mut this = Self { what, many, holders: Vec::new() };
        match what {
            What::Subscriptions | What::Wildcards => this.holders = hold(field, what, many).await?,
            _ => this.lay_to_sleep(field, roles).await?,
        }
        Ok(this)
    }

    /// Has the broker forget them.
    ///
    /// # Errors
    /// A client cannot connect.
    pub async fn clear(self, field: &Field) -> Result<(), Error> {
        for link in self.holders {
            link.leave().await;
        }
        if matches!(self.what, What::Sleeper | What::Sleeping) {
            for from in (0..self.many).step_by(BLOCK) {
                visit(field, block(field, from, self.many, false)?, Vec::new()).await?;
            }
        }
        Ok(())
    }

    async fn lay_to_sleep(&self, field: &Field, roles: &Roles) -> Result<(), Error> {
        let wanted = roles.filters.first();
        for from in (0..self.many).step_by(BLOCK) {
            let sleepers = block(field, from, self.many, true)?;
            let filter = |at: usize| match (self.what, wanted) {
                (What::Sleeper, Some(filter)) => filter.clone(),
                _ => format!("grown/{}/temperature", from + at),
            };
            let filters = (0..sleepers.len()).map(filter).collect();
            visit(field, sleepers, filters).await?;
        }
        Ok(())
    }
}

/// The sleepers from `from` on, as many as are made at the same time.
fn block(field: &Field, from: usize, many: usize, persistent: bool) -> Result<Vec<Caller>, Error> {
    let all = from..many.min(from + BLOCK);
    all.map(|index| Ok(Caller { persistent, ..field.caller("g", index)? })).collect()
}

/// Clients that hold `many` subscriptions among them.
async fn hold(field: &Field, what: What, many: usize) -> Result<Vec<Link>, Error> {
    let holders = field.callers("h", many.div_ceil(EACH))?;
    let mut links = field.connect(holders, Vec::new(), Qos::AtLeastOnce).await?;
    for (holder, link) in links.iter_mut().enumerate() {
        let own: Vec<String> =
            (holder * EACH..many.min((holder + 1) * EACH)).map(|index| filter(what, index)).collect();
        for together in own.chunks(TOGETHER) {
            let filters: Vec<&str> = together.iter().map(String::as_str).collect();
            link.subscribe(&filters, Qos::AtLeastOnce).await?;
        }
    }
    Ok(links)
}

fn filter(what: What, index: usize) -> String {
    let (line, pump) = (index / 100, index % 100);
    match what {
        What::Wildcards if index.is_multiple_of(2) => format!("grown/{line}/+/{pump}"),
        What::Wildcards => format!("grown/{line}/{pump}/#"),
        _ => format!("grown/{line}/{pump}/temperature"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_filters_are_the_same_and_none_wants_the_load() {
        for what in [What::Subscriptions, What::Wildcards] {
            let mut filters: Vec<String> = (0..5_000).map(|index| filter(what, index)).collect();
            for topic in ["b/0", "b/0/v", "b/all", "noise/flood"] {
                assert!(!filters.iter().any(|filter| crate::mqtt::matches(filter, topic)), "{topic}");
            }
            filters.sort();
            filters.dedup();
            assert_eq!(filters.len(), 5_000, "{what:?}");
        }
    }
}
