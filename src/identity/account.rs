//! Accounts: names that are proved by a password.
//!
//! What lives here: an account, its role, and the file that lists a tenant's
//! accounts, one a line. What does not: hashing (`password`), when a password
//! is asked for (`credentials`). Invariant: a file is read whole or not at
//! all, and an edit leaves every other line as it was.

use std::collections::BTreeMap;

use super::fingerprint::Fingerprint;
use super::switch::{Role, UnknownValue};

/// A name that is proved by a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, without the tenant.
    pub name: String,
    /// The password's hash as a PHC text, `$argon2id$…`.
    pub hash: String,
    /// What it is for.
    pub role: Role,
    /// Whether it may be used.
    pub enabled: bool,
    /// The certificates that it was given together with, as the account of a
    /// grant: it is of use beside one of them only (CEN-ACC-01). Empty for
    /// every other account.
    pub grant: Vec<Fingerprint>,
}

/// The password of the account that devices without one of their own ask
/// with (C8Y-REG-04). It stands in the configuration as it is, because many
/// devices know it anyway.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapPassword(pub String);

impl std::fmt::Debug for BootstrapPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BootstrapPassword")
    }
}

impl Account {
    /// The account as a line of the file.
    #[must_use]
    pub fn line(&self) -> String {
        let end = if self.enabled { "" } else { ":disabled" };
        format!("{}:{}:{}{end}", self.name, self.hash, self.role)
    }

    fn read(line: &str) -> Result<Self, AccountError> {
        let mut fields = line.split(':');
        let name = fields.next().unwrap_or_default();
        check_name(name)?;
        let hash = fields.next().filter(|hash| hash.starts_with("$argon2id$")).ok_or(AccountError::Hash)?;
        let role = fields.next().map_or(Ok(Role::Device), str::parse)?;
        let enabled = match fields.next() {
            None | Some("enabled") => true,
            Some("disabled") => false,
            Some(other) => return Err(AccountError::Status(other.to_owned())),
        };
        match fields.next() {
            None => Ok(Self { name: name.to_owned(), hash: hash.to_owned(), role, enabled, grant: Vec::new() }),
            Some(_) => Err(AccountError::Fields),
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name cannot be one.
    #[error("{0:?} cannot name an account; use 1 to 128 characters without colon, slash, '+', '#', blanks or controls")]
    Name(String),
    /// No argon2id hash where it is expected.
    #[error("the second field is no argon2id hash; let `certus passwd` write the line")]
    Hash,
    /// An unknown role.
    #[error("the role {0}")]
    Role(#[from] UnknownValue),
    /// Neither enabled nor disabled.
    #[error("the status {0:?} is neither enabled nor disabled; leave it out, or write one of them")]
    Status(String),
    /// Too many fields.
    #[error("more than four fields; write name:hash:role:status")]
    Fields,
    /// A name for the second time.
    #[error("the account {name} stands in line {first} already; remove one of them")]
    Twice {
        /// The name.
        name: String,
        /// Its first line.
        first: usize,
    },
}

/// An error with its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub error: AccountError,
}

/// Checks a name: it stands in user names behind `<tenant>/`, in this file
/// before a colon, and takes the place of `%u` in topics.
///
/// # Errors
/// Says what a name may be.
pub fn check_name(name: &str) -> Result<(), AccountError> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/' | '+' | '#');
    if name.is_empty() || name.len() > 128 || name.contains(bad) {
        return Err(AccountError::Name(name.to_owned()));
    }
    Ok(())
}

/// Reads a file of accounts. Empty lines and lines that begin with `#` say
/// nothing.
///
/// # Errors
/// All mistakes, each with its line.
pub fn read(text: &str) -> Result<Vec<Account>, Vec<LineError>> {
    let (mut accounts, mut errors) = (Vec::new(), Vec::new());
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| says_something(line)) {
        let number = index + 1;
        match Account::read(line.trim()) {
            Err(error) => errors.push(LineError { line: number, error }),
            Ok(account) => match lines.insert(account.name.clone(), number) {
                Some(first) => {
                    let error = AccountError::Twice { name: account.name, first };
                    errors.push(LineError { line: number, error });
                }
                None => accounts.push(account),
            },
        }
    }
    if errors.is_empty() { Ok(accounts) } else { Err(errors) }
}

fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#')
}

/// What to do with one account of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Put it there, in the place of the one of that name.
    Set(&'a Account),
    /// Take it away.
    Remove(&'a str),
}

/// The file's text with one account changed.
#[must_use]
pub fn edited(text: &str, edit: &Edit<'_>) -> String {
    let (name, mut line) = match edit {
        Edit::Set(account) => (account.name.as_str(), Some(account.line())),
        Edit::Remove(name) => (*name, None),
    };
    let mut out = String::with_capacity(text.len() + 160);
    for old in text.lines() {
        if !says_something(old) || old.trim().split(':').next() != Some(name) {
            out.push_str(old);
        } else if let Some(new) = line.take() {
            out.push_str(&new);
        } else {
            continue;
        }
        out.push('\n');
    }
    if let Some(new) = line {
        out.push_str(&new);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# people\n\nbob:$argon2id$x:operator\n  sensor-1:$argon2id$y\nold:$argon2id$z:device:disabled\n";

    #[test]
    fn a_line_is_name_hash_role_and_status_of_which_the_last_two_may_be_missing() {
        let accounts = read(FILE).unwrap();
        let told: Vec<_> = accounts.iter().map(|a| (a.name.as_str(), a.role, a.enabled)).collect();
        assert_eq!(
            told,
            [("bob", Role::Operator, true), ("sensor-1", Role::Device, true), ("old", Role::Device, false)]
        );
        assert_eq!(read(&accounts.iter().map(|a| a.line() + "\n").collect::<String>()).unwrap(), accounts);
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let text = "bob:$argon2id$x\na/b:$argon2id$x\nplain:secret\nx:$argon2id$x:king\nx:$argon2id$x:device:gone\n\
                    y:$argon2id$x:device:enabled:more\nbob:$argon2id$x\n";
        let errors = read(text).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert!(errors.iter().all(|error| !error.error.to_string().contains("secret")), "a password is never repeated");
    }

    #[test]
    fn an_edit_leaves_the_other_lines_as_they_were() {
        let bob = Account {
            name: "bob".into(),
            hash: "$argon2id$n".into(),
            role: Role::Device,
            enabled: true,
            grant: Vec::new(),
        };
        assert_eq!(edited(FILE, &Edit::Set(&bob)), FILE.replace("bob:$argon2id$x:operator", "bob:$argon2id$n:device"));
        assert_eq!(edited(FILE, &Edit::Remove("bob")), FILE.replace("bob:$argon2id$x:operator\n", ""));
        assert_eq!(edited("", &Edit::Set(&bob)), "bob:$argon2id$n:device\n");
        assert_eq!(edited(FILE, &Edit::Remove("nobody")), FILE);
    }
}
