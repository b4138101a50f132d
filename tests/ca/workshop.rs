//! A directory in which openssl works.
//!
//! What lives here: running it, with its answer. What does not: what is asked.
//! Invariant: it sees no configuration of this machine, and a command that
//! fails says so with all that it printed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{fs, str};

use certus::clock::Clock;

/// A directory that vanishes with the test.
pub struct Workshop(tempfile::TempDir);

impl Workshop {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs openssl here; `command` is split at blanks.
    pub fn try_openssl(&self, command: &str) -> Result<String, String> {
        self.try_openssl_args(&command.split_whitespace().collect::<Vec<_>>())
    }

    pub fn try_openssl_args<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, String> {
        let Output { status, stdout, stderr } = Command::new("openssl")
            .args(args)
            .current_dir(self.0.path())
            .env("OPENSSL_CONF", configuration(self.0.path()))
            .output()
            .expect("openssl runs");
        let said = String::from_utf8_lossy(&stdout).into_owned();
        if status.success() { Ok(said) } else { Err(format!("{said}\n{}", String::from_utf8_lossy(&stderr))) }
    }

    /// The same, where it has to go well.
    pub fn openssl(&self, command: &str) -> String {
        self.try_openssl(command).unwrap_or_else(|said| panic!("openssl {command}\n{said}"))
    }

    /// The DER of the PEM file `name`.
    pub fn der(&self, name: &str) -> Vec<u8> {
        certus::identity::pem::certificates(&self.read(name)).unwrap().remove(0).to_vec()
    }
}

/// The least that `openssl req` wants to find, without any extension.
fn configuration(directory: &Path) -> PathBuf {
    let path = directory.join("openssl.cnf");
    if !path.exists() {
        fs::write(&path, "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
    }
    path
}

/// Now, seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(Clock::system().unix_seconds()).unwrap()
}
