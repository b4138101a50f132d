//! `[mail]`: where notices go through.

use crate::control::chores::mail::Settings;

use super::document::Reader;
use super::error::Complaint;
use super::values;

pub(super) fn mail(top: &Reader<'_>) -> Option<Settings> {
    let table = top.table("mail");
    let smtp = table.read("smtp", None, |given| values::text(given).map(Some));
    let from = table.read("from", "certus@localhost".to_owned(), values::text);
    let settings = smtp.and_then(|smtp| {
        let read = Settings::new(&smtp, &from);
        let complain = |reason: &&str| {
            let remedy = "write smtp = \"smtp://mail.lan:25\" and from = \"certs@broker.lan\"";
            table.complain("smtp", Complaint::new((*reason).to_owned(), remedy));
        };
        read.inspect_err(complain).ok()
    });
    table.close();
    settings
}
