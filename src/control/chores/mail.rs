//! Sending notices by mail (CEN-EXP-02).
//!
//! What lives here: the mail, and the way to the mail server. What does not:
//! which notices there are (`ca::authority`). Invariant: one mail at a time,
//! each within a bound of time; a password goes over TLS alone.

use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use tokio::net::TcpStream;

use crate::ca::record::NoticeRow;
use crate::control::settings::{MailTls, Secret};

use super::starttls::{self, Encrypted};

/// How long a mail server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where mails go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host of the mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The sender's address.
    pub from: String,
    /// Whether TLS is spoken, and whom it trusts.
    pub tls: MailTls,
    /// User name and password.
    pub login: Option<(String, Secret)>,
}

impl Settings {
    /// Reads `smtp://host:port`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(smtp: &str, from: &str, tls: MailTls, login: Option<(String, Secret)>) -> Result<Self, &'static str> {
        let place = smtp.strip_prefix("smtp://").ok_or("it does not begin with smtp://")?.trim_end_matches('/');
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| "the port is no number")?),
            None => (place, tls.usual_port()),
        };
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err("it names no host");
        }
        from.parse::<Mailbox>().map_err(|_| "the sender is no address")?;
        if login.is_some() && tls == MailTls::None {
            return Err("a password is sent over TLS alone, and tls is \"none\"");
        }
        Ok(Self { host: host.to_owned(), port, from: from.to_owned(), tls, login })
    }

    /// Sends a notice.
    pub(super) async fn send(&self, notice: &NoticeRow) -> Result<(), MailError> {
        let message = self.message(notice).map_err(MailError::NoMail)?;
        let sent = async {
            let mut server = self.connect().await?;
            if let Some((user, password)) = &self.login {
                let password = String::from_utf8_lossy(password.bytes()).into_owned();
                server.auth(&[Mechanism::Plain, Mechanism::Login], &Credentials::new(user.clone(), password)).await?;
            }
            server.send(message.envelope(), &message.formatted()).await?;
            // It was taken: how the goodbye ends does not matter.
            let _ = server.quit().await;
            Ok(())
        };
        tokio::time::timeout(PATIENCE, sent).await.unwrap_or(Err(MailError::Late))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let mut plain = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let stream: Box<dyn AsyncTokioStream> = match &self.tls {
            MailTls::None => Box::new(plain),
            MailTls::StartTls(trust) => {
                starttls::ask(&mut plain).await?;
                Box::new(Encrypted::greeted(trust.connect(&self.host, plain).await?))
            }
            MailTls::Wrapped(trust) => Box::new(Encrypted::new(trust.connect(&self.host, plain).await?)),
        };
        Ok(AsyncSmtpConnection::connect_with_transport(stream, &ClientId::default()).await?)
    }

    fn message(&self, notice: &NoticeRow) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
        let message = Message::builder()
            .from(self.from.parse()?)
            .to(notice.to.parse()?)
            .subject(&notice.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(notice.body.clone())?;
        Ok(message)
    }
}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum MailError {
    #[error("it cannot be made a mail: {0}")]
    NoMail(Box<dyn std::error::Error + Send + Sync>),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Server(#[from] lettre::transport::smtp::Error),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(smtp: &str, from: &str) -> Result<Settings, &'static str> {
        Settings::new(smtp, from, MailTls::None, None)
    }

    #[test]
    fn a_mail_server_is_named_by_host_and_port() {
        let mail = read("smtp://mail.lan", "certs@broker.lan").unwrap();
        assert_eq!((mail.host.as_str(), mail.port), ("mail.lan", 25));
        assert_eq!(read("smtp://mail.lan:2525", "a@b.c").unwrap().port, 2525);
        for (smtp, from) in [("mail.lan", "a@b.c"), ("smtp://", "a@b.c"), ("smtp://x:y", "a@b.c"), ("smtp://x", "a b")]
        {
            assert!(read(smtp, from).is_err(), "{smtp} {from}");
        }
    }

    #[test]
    fn a_password_is_not_sent_in_the_clear_nor_shown() {
        let login = Some(("certus".to_owned(), Secret::new(b"hush".to_vec())));
        assert!(!format!("{login:?}").contains("hush"));
        assert!(Settings::new("smtp://mail.lan", "a@b.c", MailTls::None, login).is_err());
    }
}
