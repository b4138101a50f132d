//! Would this client be allowed that?
//!
//! What lives here: the question of the control plane, asked of the rights
//! that hold now. What does not: rights (`identity::policy`). Invariant: the
//! answer is the one that the data plane would give, by the same code.

use crate::identity::policy::Attributes;
use crate::identity::switch::Variable;
use crate::mqtt::{TopicFilter, TopicName};

use super::Handle;

/// A client and what it wants to do.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its tenant.
    pub tenant: String,
    /// Its ClientId.
    pub client_id: String,
    /// The CN that its certificate would prove.
    pub common_name: Option<String>,
    /// The account whose password it would prove.
    pub account: Option<String>,
    /// What else its certificate would prove, by the names that rules use.
    pub attributes: Vec<(String, String)>,
    /// Whether it publishes; else it subscribes.
    pub publishes: bool,
    /// The topic, or the filter.
    pub topic: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it may.
    pub allowed: bool,
    /// The rule that decides, as it stands in its file or profile.
    pub by: Option<String>,
    /// Why not.
    pub reason: Option<String>,
}

/// What of a question cannot be asked: the field, and why.
pub type Unasked = (&'static str, String);

impl Handle {
    /// Decides as the data plane would.
    ///
    /// # Errors
    /// The field of the question that makes no sense.
    pub fn decide(&self, question: &Question) -> Result<Answer, Unasked> {
        let snapshot = self.node.trust.current();
        let tenant = snapshot.tenant_named(&question.tenant);
        let tenant = tenant.ok_or_else(|| ("tenant", format!("there is no tenant {}", question.tenant)))?;
        let account = match &question.account {
            None => None,
            Some(name) => Some(tenant.account(name).ok_or_else(|| ("account", format!("there is no account {name}")))?),
        };
        let attributes = attributes(&question.attributes)?;
        let rights = tenant.rights.of(&Attributes {
            tenant: tenant.id.as_str(),
            client_id: &question.client_id,
            common_name: question.common_name.as_deref(),
            account: account.map(|account| account.name.as_str()),
            role: account.map(|account| account.role),
            certificate: &attributes,
        });
        let filter;
        let decision = if question.publishes {
            let topic = TopicName::new(&question.topic).map_err(|error| ("topic", error.to_string()))?;
            rights.decide_publish(topic)
        } else {
            filter = TopicFilter::new(&question.topic).map_err(|error| ("topic", error.to_string()))?;
            rights.decide_subscribe(&filter)
        };
        Ok(Answer {
            allowed: decision.outcome.is_ok(),
            by: decision.by.map(ToString::to_string),
            reason: decision.outcome.err().map(|denied| denied.to_string()),
        })
    }
}

fn attributes(given: &[(String, String)]) -> Result<Vec<(Variable, String)>, Unasked> {
    let read = |(name, value): &(String, String)| match name.parse() {
        Ok(Variable::Tenant | Variable::ClientId | Variable::User | Variable::Role | Variable::CommonName) => {
            Err(("attributes", format!("{name} has a field of its own, or none")))
        }
        Ok(variable) => Ok((variable, value.clone())),
        Err(error) => Err(("attributes", format!("{error}"))),
    };
    given.iter().map(read).collect()
}
