//! `certus passwd`: makes and edits a tenant's file of accounts.
//!
//! What lives here: arguments, asking for the password, replacing the file.
//! What does not: the form of the file (`identity::account`), hashing
//! (`identity::password`). Invariant: a password never stands in an argument,
//! and the file is replaced whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::identity::account::{self, Account, Edit};
use crate::identity::password;
use crate::identity::switch::Role;

use super::{Outcome, say, settings};

/// Arguments of `passwd`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus passwd bob --role operator          asks for the password, twice
  certus passwd bob < secret                 or reads its first line
  certus passwd --tenant acme bob --disable  keeps the account, refuses its password
  certus passwd --list

The file is that of the configuration ([tenant.accounts] file), or --file. A
running broker takes it on SIGHUP; clients that the change concerns are closed.")]
pub(super) struct Args {
    /// The account's name, without the tenant.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// The tenant; needed when several have accounts.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Edit this file, whatever the configuration says.
    #[arg(long, value_name = "FILE", conflicts_with = "tenant")]
    file: Option<PathBuf>,
    /// device (rights of the profile; needs a certificate where devices do),
    /// application or operator. Without it a new account is a device.
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// Refuse the account's password from now on.
    #[arg(long, group = "change")]
    disable: bool,
    /// Take the account's password again.
    #[arg(long, group = "change")]
    enable: bool,
    /// Remove the account.
    #[arg(long, group = "change")]
    delete: bool,
    /// List the accounts.
    #[arg(long, group = "change", conflicts_with = "name")]
    list: bool,
    #[command(flatten)]
    place: settings::Where,
}

pub(super) fn run(args: &Args) -> Outcome {
    let file = match args.file.clone().map_or_else(|| configured(args), Ok) {
        Ok(file) => file,
        Err(text) => return Outcome::Wrong(text),
    };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Outcome::failed(format_args!("{}: it cannot be read ({error})", file.display())),
    };
    let accounts = match account::read(&text) {
        Ok(accounts) => accounts,
        Err(errors) => {
            let lines = errors.iter().map(|wrong| format!("{}:{}: {}\n", file.display(), wrong.line, wrong.error));
            return Outcome::Wrong(lines.collect());
        }
    };
    let Some(name) = &args.name else {
        for account in &accounts {
            let status = if account.enabled { "" } else { ", disabled" };
            say(format_args!("{} ({}{status})", account.name, account.role));
        }
        return Outcome::Done;
    };
    if let Err(error) = account::check_name(name) {
        return Outcome::wrong(error);
    }
    let known = accounts.iter().find(|account| account.name == *name);
    match change(args, name, known).and_then(|(edit, done)| {
        replace(&file, &edit(&text))
            .map_err(|error| Outcome::failed(format_args!("{}: it cannot be written ({error})", file.display())))?;
        Ok(done)
    }) {
        Ok(done) => {
            say(format_args!("{done} in {}; a running broker takes it on SIGHUP", file.display()));
            Outcome::Done
        }
        Err(outcome) => outcome,
    }
}

/// From the old text to the new one, and what that is called.
type Change = (Box<dyn Fn(&str) -> String>, String);

fn change(args: &Args, name: &str, known: Option<&Account>) -> Result<Change, Outcome> {
    let missing = || Outcome::wrong(format_args!("there is no account {name}; `certus passwd --list` shows all"));
    if args.delete {
        let name = known.ok_or_else(missing)?.name.clone();
        let done = format!("account {name} removed");
        return Ok((Box::new(move |text| account::edited(text, &Edit::Remove(&name))), done));
    }
    let (account, done) = if args.disable || args.enable {
        let known = known.ok_or_else(missing)?.clone();
        let account = Account { enabled: args.enable, role: args.role.unwrap_or(known.role), ..known };
        (account, format!("account {name} {}", if args.enable { "enabled" } else { "disabled" }))
    } else {
        let password = ask(name).map_err(Outcome::Failed)?;
        let hash = password::hash(password.as_bytes()).map_err(Outcome::failed)?;
        let role = args.role.or(known.map(|known| known.role)).unwrap_or(Role::Device);
        let enabled = known.is_none_or(|known| known.enabled);
        let done = format!("account {name} ({role}) {}", if known.is_some() { "changed" } else { "made" });
        (Account { name: name.to_owned(), hash, role, enabled, grant: Vec::new() }, done)
    };
    Ok((Box::new(move |text| account::edited(text, &Edit::Set(&account))), done))
}

/// The file of the tenant that is meant.
fn configured(args: &Args) -> Result<PathBuf, String> {
    let plan = args.place.plan().map_err(|problems| problems.to_string())?;
    let configured = |tenant: &str, file: &Option<PathBuf>| {
        let remedy = "write file = \"accounts\" below [tenant.accounts] in the configuration, or give --file";
        file.clone().ok_or_else(|| format!("tenant {tenant} has no file of accounts; {remedy}"))
    };
    if let Some(wanted) = &args.tenant {
        let found = plan.accounts.iter().find(|(id, _)| id.as_str() == wanted);
        return match found {
            Some((id, file)) => configured(id.as_str(), file),
            None => {
                let known: Vec<&str> = plan.accounts.iter().map(|(id, _)| id.as_str()).collect();
                Err(format!("there is no tenant {wanted}; configured are {}", known.join(", ")))
            }
        };
    }
    let mut with_file = plan.accounts.iter().filter(|(_, file)| file.is_some());
    match (with_file.next(), with_file.next(), plan.accounts.first()) {
        (Some((id, file)), None, _) => configured(id.as_str(), file),
        (None, _, Some((id, file))) => configured(id.as_str(), file),
        (None, _, None) => Err(String::from("no tenant is configured; add a [[tenant]]")),
        (Some(_), Some(_), _) => Err(String::from("several tenants have accounts; say which with --tenant")),
    }
}

/// The password: typed twice at a terminal, else the first line of standard
/// input.
pub(super) fn ask(name: &str) -> Result<Zeroizing<String>, String> {
    let unread = |error: io::Error| format!("no password could be read ({error})");
    let password = if io::stdin().is_terminal() {
        let first = Zeroizing::new(rpassword::prompt_password(format!("Password for {name}: ")).map_err(unread)?);
        let second = Zeroizing::new(rpassword::prompt_password("Again: ").map_err(unread)?);
        if *first != *second {
            return Err(String::from("the two passwords differ; nothing was changed"));
        }
        first
    } else {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line).map_err(unread)?;
        Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned())
    };
    if password.is_empty() {
        return Err(String::from("the password is empty: clients could not use it; nothing was changed"));
    }
    if password.len() > usize::from(u16::MAX) {
        return Err(String::from("CONNECT holds no password of more than 65,535 bytes; nothing was changed"));
    }
    Ok(password)
}

/// Puts `text` in the place of the file, which keeps its mode; a new one is
/// its owner's alone.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mode = fs::metadata(file).map_or(0o600, |found| found.permissions().mode() & 0o777);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = write(&draft, text, mode).and_then(|()| fs::rename(&draft, file));
    if written.is_err() {
        // A draft that was not moved is of no use to anybody.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn write(draft: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_a_new_one_is_private() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("accounts");
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        replace(&file, "one\n").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&file, "two\n").unwrap();
        assert_eq!((mode(), fs::read_to_string(&file).unwrap().as_str()), (0o640, "two\n"));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no draft is left");
    }
}
