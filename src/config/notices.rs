//! `[mail]` and `[webhook]`, of all tenants or of one: where notices go.
//!
//! What lives here: the addresses, and the files with secrets and CAs that
//! belong to them. What does not: sending. Invariant: a way is taken whole or
//! not at all, and no secret stands in a complaint.

use crate::control::chores::{mail::Settings as MailSettings, webhook::Settings as WebhookSettings};
use crate::control::settings::{MailTls, NoticeWays, Secret, ServerTrust};

use super::document::{Given, Reader};
use super::error::Complaint;
use super::values;

/// The usual place of the CAs that a system trusts.
const CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The ways that stand in `table`, which is the document or a tenant.
pub(super) fn ways(table: &Reader<'_>) -> NoticeWays {
    NoticeWays { mail: mail(table.table("mail")), webhook: webhook(table.table("webhook")) }
}

/// How TLS is spoken, as a word.
#[derive(Clone, Copy)]
enum Word {
    None,
    StartTls,
    Tls,
}

fn mail(table: Reader<'_>) -> Option<MailSettings> {
    let smtp = table.read("smtp", None, |given| values::text(given).map(Some));
    let from = table.read("from", "certus@localhost".to_owned(), values::text);
    let word = table.read("tls", Word::None, tls);
    let user = table.read("user", None, |given| values::text(given).map(Some));
    let password = secret(&table, "password_file");
    let trust = trust(&table);
    let settings = smtp.and_then(|smtp| {
        let tls = match (word, trust) {
            (Word::None, _) => MailTls::None,
            (Word::StartTls, Some(trust)) => MailTls::StartTls(trust),
            (Word::Tls, Some(trust)) => MailTls::Wrapped(trust),
            (Word::StartTls | Word::Tls, None) => return without_trust(&table),
        };
        let login = match (user, password) {
            (Some(user), Some(password)) => Some((user, password)),
            (Some(_), None) if table.find("password_file").is_none() => {
                table.complain("user", Complaint::new("it has no password", "name a file that holds it: password_file"));
                None
            }
            _ => None,
        };
        let read = MailSettings::new(&smtp, &from, tls, login);
        let complain = |reason: &&str| {
            let remedy = "write smtp = \"smtp://mail.lan:25\" and from = \"certs@broker.lan\"; with a user also tls = \"starttls\" or \"tls\"";
            table.complain("smtp", Complaint::new((*reason).to_owned(), remedy));
        };
        read.inspect_err(complain).ok()
    });
    table.close();
    settings
}

fn tls(given: Given<'_>) -> Result<Word, Complaint> {
    match given.text() {
        Some("none") => Ok(Word::None),
        Some("starttls") => Ok(Word::StartTls),
        Some("tls") => Ok(Word::Tls),
        _ => {
            let remedy = values::one_of(["none", "starttls", "tls"].into_iter());
            Err(Complaint::new(format!("{} is no value of this key", given.shown()), remedy))
        }
    }
}

fn webhook(table: Reader<'_>) -> Option<WebhookSettings> {
    let url = table.read("url", None, |given| values::text(given).map(Some));
    let secret = secret(&table, "secret_file");
    let trust = trust(&table);
    let settings = url.and_then(|url| {
        let Some(trust) = trust else { return without_trust(&table) };
        let Some(secret) = secret else {
            if table.find("secret_file").is_none() {
                let remedy = "name a file with 16 bytes or more, made by `openssl rand -hex 32 > FILE` for instance";
                table.complain("secret_file", Complaint::new("it is missing", remedy));
            }
            return None;
        };
        let complain = |reason: &&str| {
            let remedy = "write url = \"https://HOST/PATH\", and a secret of 16 bytes or more into secret_file";
            table.complain("url", Complaint::new((*reason).to_owned(), remedy));
        };
        WebhookSettings::new(&url, secret, trust).inspect_err(complain).ok()
    });
    table.close();
    settings
}

fn without_trust<T>(table: &Reader<'_>) -> Option<T> {
    // A file that could not be read was complained of.
    if table.find("ca").is_none() {
        let remedy = format!("name a PEM file with the server's CA; a public one is in {CAS}");
        table.complain("ca", Complaint::new("it is missing, and no CA is trusted by itself", remedy));
    }
    None
}

/// The secret in the file that `key` names.
fn secret(table: &Reader<'_>, key: &'static str) -> Option<Secret> {
    let mut text = read_file(table, key)?;
    while text.last().is_some_and(u8::is_ascii_whitespace) {
        text.pop();
    }
    if text.is_empty() {
        table.complain(key, Complaint::new("the file is empty", "write the secret into it"));
        return None;
    }
    Some(Secret::new(text))
}

fn trust(table: &Reader<'_>) -> Option<ServerTrust> {
    let pem = read_file(table, "ca")?;
    let complain = |reason: &&str| {
        table.complain("ca", Complaint::new((*reason).to_owned(), "name a PEM file with the server's CA"));
    };
    ServerTrust::from_pem(&pem).inspect_err(complain).ok()
}

fn read_file(table: &Reader<'_>, key: &'static str) -> Option<Vec<u8>> {
    let file = table.read(key, None, |given| values::path(given).map(Some))?;
    let complain = |error: &std::io::Error| {
        let reason = format!("{} cannot be read ({error})", file.display());
        table.complain(key, Complaint::new(reason, "name a file that the broker may read"));
    };
    std::fs::read(&file).inspect_err(complain).ok()
}
