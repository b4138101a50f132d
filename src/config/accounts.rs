//! `[tenant.accounts]`: the names that are proved by a password.
//!
//! What lives here: reading the file. What does not: its form
//! (`identity::account`), who writes it (`certus passwd`). Invariant: no
//! account is taken from a file that has a mistake in it.

use crate::identity::account::{self, Account};
use crate::identity::password;

use super::document::Scope;
use super::error::{Complaint, Place};
use super::tenants::FileEntry;

pub(super) fn read(scope: &Scope<'_>, entry: Option<&FileEntry>) -> Vec<Account> {
    let Some(entry) = entry else { return Vec::new() };
    let name = entry.file.display().to_string();
    let text = match std::fs::read_to_string(&entry.file) {
        Ok(text) => text,
        Err(error) => {
            let complaint =
                Complaint::new(format!("{name} cannot be read ({error})"), "make it with `certus passwd NAME`");
            scope.report(entry.place.clone(), "tenant.accounts.file", complaint);
            return Vec::new();
        }
    };
    let at = |line| Place::File { name: name.clone(), line };
    let told = |what: String| match what.split_once("; ") {
        Some((reason, remedy)) => Complaint::new(reason, remedy),
        None => Complaint::new(what, "let `certus passwd` write the line"),
    };
    match account::read(&text) {
        Err(errors) => {
            errors.into_iter().for_each(|wrong| scope.report(at(wrong.line), "", told(wrong.error.to_string())));
            Vec::new()
        }
        Ok(accounts) => {
            for account in &accounts {
                if let Err(error) = password::check(&account.hash) {
                    scope.report(at(0), account.name.clone(), told(error.to_string()));
                }
            }
            accounts
        }
    }
}
