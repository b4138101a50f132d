//! What a change of rights does to what was granted before.
//!
//! MQTT knows no way to tell a client that a subscription has ended, so the log
//! does. Invariant: after a change of rights nothing more is entered into the
//! queue of a connected client that it may no longer subscribe to.

use crate::mqtt::TopicFilter;
use crate::telemetry::metrics::Counter;

use super::Connection;

impl Connection {
    /// Ends the subscriptions that the present rights do not allow.
    pub(super) fn review_subscriptions(&mut self) {
        let Some(session) = &mut self.session else { return };
        let rights = &self.parts.admission.rights;
        let held = session.subscriptions().iter().map(|subscription| &subscription.filter);
        let lost: Vec<TopicFilter> = held.filter(|filter| rights.subscribe(filter).is_err()).cloned().collect();
        self.parts.domain.unsubscribe(lost.iter(), &self.parts.mailbox);
        for filter in &lost {
            session.end_subscription(filter);
            Counter::SubscriptionsDenied.one();
            tracing::warn!(
                connection = self.parts.entered.control.id(),
                tenant = self.parts.domain.tenant().as_str(),
                client_id = session.client_id().as_str(),
                filter = filter.as_str(),
                "a subscription ended: the client has no right to it any more"
            );
        }
    }
}
