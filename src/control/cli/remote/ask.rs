//! What is asked at the terminal.
//!
//! What lives here: a token, a new password, and "are you sure?". Invariant:
//! nothing destructive is done because nobody could be asked.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::super::{Outcome, passwd};
use super::Done;

/// The token, without echo.
pub(super) fn token() -> Done<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        let words = "no token: name its file by --token-file, or put it into CERTUS_TOKEN; the first start told one";
        return Err(Outcome::wrong(words));
    }
    let typed = rpassword::prompt_password("Token: ");
    typed.map(Zeroizing::new).map_err(|error| Outcome::wrong(format_args!("no token could be read ({error})")))
}

/// A new password: the first line of a file, or as `certus passwd` asks for it.
pub(super) fn password(name: &str, file: Option<&Path>) -> Done<Zeroizing<String>> {
    let Some(file) = file else { return passwd::ask(name).map_err(Outcome::Wrong) };
    let text = std::fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|error| Outcome::wrong(format_args!("--password-file {}: {error}", file.display())))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Goes on only if somebody says so.
pub(super) fn sure(yes: bool, what: &str) -> Done {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Outcome::wrong(format_args!("{what}? Nobody can be asked here: say --yes; nothing was changed")));
    }
    let mut line = String::new();
    let mut err = io::stderr().lock();
    let asked = write!(err, "{what}? [y/N] ").and_then(|()| err.flush());
    asked.and_then(|()| io::stdin().read_line(&mut line)).map_err(Outcome::failed)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Outcome::failed("nothing was changed")),
    }
}
