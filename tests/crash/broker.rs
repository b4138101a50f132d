//! The broker as a process that is killed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::chance::Chance;

/// A directory with a configuration, and the process that serves it.
pub struct Broker {
    binary: PathBuf,
    home: PathBuf,
    pub port: u16,
    child: Option<Child>,
}

impl Broker {
    /// A broker that is not started yet; `queue` is how much a connected
    /// client's queue holds in memory before the store has the rest. Some of
    /// what is retained is in memory, the rest in the store only.
    pub fn new(binary: &Path, home: &Path, level: &str, queue: u64, chance: &mut Chance) -> Self {
        let config = format!(
            "[storage]\ndurability = \"{level}\"\nmin_free = \"1 MiB\"\n\
             [queues]\nring_messages = {queue}\noffline_messages = 1000000\noffline_bytes = \"1 GiB\"\n\
             retained_memory = \"2 KiB\"\n"
        );
        fs::write(home.join("config.toml"), config).unwrap();
        Self { binary: binary.to_owned(), home: home.to_owned(), port: free_port(chance), child: None }
    }

    /// Starts it, and waits until it is ready.
    pub fn start(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(self.home.join("log")).unwrap();
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--config").arg(self.home.join("config.toml"));
        command.arg("--certs-dir").arg(self.home.join("certs")).arg("--state-dir").arg(self.home.join("data"));
        command.args(["--listen-tls", "off", "--listen-https", "off", "--listen-admin", "off", "--listen-plain"]);
        command.arg(format!("127.0.0.1:{}", self.port)).env("NO_COLOR", "1");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().map_err(|e| e.to_string())?;
        let said =
            BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).any(|line| line == "ready");
        self.child = Some(child);
        if said { Ok(()) } else { Err(format!("the broker did not become ready:\n{}", self.last_words())) }
    }

    /// SIGKILL, and the end of it. An end that came before is a defect.
    pub fn kill(&mut self) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the broker ended by itself, {status}:\n{}", self.last_words()));
        }
        child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
    }

    fn last_words(&self) -> String {
        let log = File::open(self.home.join("log")).map(BufReader::new).unwrap();
        let lines: Vec<_> = log.lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A port below the range that outgoing connections take theirs from.
fn free_port(chance: &mut Chance) -> u16 {
    loop {
        let port = 20_000 + u16::try_from(chance.below(12_000)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
