//! Sending notices by mail (CEN-EXP-02).
//!
//! What lives here: the mail, and the way to the mail server. What does not:
//! which notices there are (`ca::authority`). Invariant: one mail at a time,
//! each within a bound of time; what cannot be sent stays in the outbox.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::ca::authority::Tried;
use crate::ca::record::NoticeRow;

/// How long a mail server may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a mail is tried.
const TRIES: u32 = 60;

/// Where mails go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender's address.
    pub from: String,
}

impl Settings {
    /// Reads `smtp://host:port`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(smtp: &str, from: &str) -> Result<Self, &'static str> {
        let place = smtp.strip_prefix("smtp://").ok_or("it does not begin with smtp://")?.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| "the port is no number")?),
            None => (place, 25),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err("it names no host");
        }
        from.parse::<Mailbox>().map_err(|_| "the sender is no address")?;
        Ok(Self { host: host.to_owned(), port, from: from.to_owned() })
    }
}

/// Brings notices to the mail server.
pub(super) struct Postman {
    settings: Settings,
    /// Whether the last mail could not be sent: it is said once.
    failing: bool,
}

impl Postman {
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings, failing: false }
    }

    /// Tries to send a notice.
    pub(super) async fn deliver(&mut self, notice: &NoticeRow) -> Tried {
        let message = match self.message(notice) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(notice = notice.id, %error, "a notice cannot be made a mail; it stays in the outbox");
                return Tried::GivenUp;
            }
        };
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&self.settings.host)
            .port(self.settings.port)
            .timeout(Some(PATIENCE))
            .build();
        match server.send(message).await {
            Ok(_) => {
                self.failing = false;
                Tried::Sent
            }
            Err(error) if notice.attempts >= TRIES => {
                tracing::warn!(notice = notice.id, %error, "a notice was given up; it stays in the outbox");
                Tried::GivenUp
            }
            Err(error) => {
                if !self.failing {
                    let (host, port) = (&self.settings.host, self.settings.port);
                    tracing::warn!(host, port, %error, "mails cannot be sent; they wait in the outbox");
                }
                self.failing = true;
                Tried::Failed
            }
        }
    }

    fn message(&self, notice: &NoticeRow) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
        let message = Message::builder()
            .from(self.settings.from.parse()?)
            .to(notice.to.parse()?)
            .subject(&notice.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(notice.body.clone())?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_named_by_host_and_port() {
        let read = Settings::new("smtp://mail.lan", "certs@broker.lan").unwrap();
        assert_eq!((read.host.as_str(), read.port), ("mail.lan", 25));
        assert_eq!(Settings::new("smtp://mail.lan:2525", "a@b.c").unwrap().port, 2525);
        for (smtp, from) in [("mail.lan", "a@b.c"), ("smtp://", "a@b.c"), ("smtp://x:y", "a@b.c"), ("smtp://x", "a b")]
        {
            assert!(Settings::new(smtp, from).is_err(), "{smtp} {from}");
        }
    }
}
