//! What a change of trust or rights does to a connection that is in.
//!
//! MQTT knows no way to tell a client that a subscription has ended, so the log
//! does. Invariant: after a change of rights nothing more is entered into the
//! queue of a connected client that it may no longer subscribe to.

use std::sync::Arc;

use crate::identity::readmission::{is_untouched, readmit};
use crate::identity::reason::Reason;
use crate::identity::refusal::{Refusal, Stage};
use crate::mqtt::TopicFilter;
use crate::telemetry::metrics::Counter;

use super::{Connection, Ending, Parts};

impl Connection {
    /// Looks at trust again; at time too, if it was `told` to or its own time
    /// has come.
    pub(super) fn recheck(&mut self, told: bool) -> Result<(), Ending> {
        let node = &self.parts.node;
        let snapshot = node.trust.current();
        if !told && is_untouched(&snapshot, &self.parts.admission) {
            self.trust_version = snapshot.version();
            return Ok(());
        }
        match readmit(&snapshot, &self.parts.peer, &self.parts.admission, node.clock.wall()) {
            Ok(admission) => {
                self.trust_version = admission.trust_version;
                let changed = !Arc::ptr_eq(&self.parts.admission.rights, &admission.rights);
                self.parts.admission = Arc::new(admission);
                if let Some(client) = self.parts.entered.control.client() {
                    client.admission.store(Arc::clone(&self.parts.admission));
                }
                if changed {
                    self.slots.iter_mut().for_each(|slots| slots.clear());
                    self.review_subscriptions();
                }
                self.arm();
                Ok(())
            }
            Err(refusal) => Err(Ending::Refused(refusal)),
        }
    }

    pub(super) fn dismissed(&self) -> Ending {
        let why = self.parts.entered.control.why_dismissed();
        Ending::Dismissed(why.unwrap_or_else(|| Arc::from("the connection was ended by whoever runs the broker")))
    }

    /// Records what the client may not do.
    pub(super) fn tell_of_denial(&self, stage: Stage, topic: &str) {
        let Parts { node, peer, admission, .. } = &self.parts;
        let (reason, what) = match stage {
            Stage::Subscribe => (Reason::SubscribeForbidden, "subscribe to all that the filter matches"),
            _ => (Reason::PublishForbidden, "publish to the topic"),
        };
        let now = node.clock.wall();
        node.refusals.deny(reason, peer.address.ip(), now, || {
            let detail = format!("{} may not {what}", admission.principal);
            Refusal::of_denial(stage, topic, detail, admission, peer, now)
        });
    }

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
