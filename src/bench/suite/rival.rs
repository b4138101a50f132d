//! A broker that takes part: where it is, and what it is called.
//!
//! What lives here: the first broker and the second, and the version that it tells. What does not: load.
//! Invariant: a broker that does not tell its name still has one.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::args::Reach;
use super::super::error::Error;
use super::super::on_threads;
use super::super::process::Process;
use super::super::shape::Field;
use super::args::SuiteArgs;
use super::catalogue::Scenario;
use crate::clock::Clock;
use crate::codec::Packet;
use crate::mqtt::Qos;

/// Where brokers tell their version.
const VERSION: &str = "$SYS/broker/version";
/// How long one may take to tell it.
const PATIENCE: Duration = Duration::from_millis(700);

/// A broker that takes part.
pub struct Rival {
    /// What it is called in the report.
    pub label: String,
    /// How it is reached.
    pub reach: Reach,
    /// Where scenarios without TLS find it.
    plain_port: Option<u16>,
    /// The null broker of the generator, started anew for each run.
    pub is_null: bool,
}

impl Rival {
    /// The brokers of a suite: one, or two.
    ///
    /// # Errors
    /// `--vs` that is no address.
    pub fn all(args: &SuiteArgs, clock: &Clock) -> Result<Vec<Self>, Error> {
        let plain = |port: Option<u16>, own: Option<u16>| port.or(own.filter(|_| args.plain));
        let mut first = Self {
            label: String::new(),
            plain_port: plain(args.plain_port, args.reach.port),
            reach: args.reach.clone(),
            is_null: false,
        };
        first.label = args.label.clone().unwrap_or_else(|| first.name(args, clock));
        let mut all = vec![first];
        if let Some(vs) = &args.vs {
            let mut second = Self::second(args, vs)?;
            second.label = args.vs_label.clone().unwrap_or_else(|| second.name(args, clock));
            all.push(second);
        }
        Ok(all)
    }

    fn second(args: &SuiteArgs, vs: &str) -> Result<Self, Error> {
        let reach = args.reach.clone();
        let mut this = Self { label: String::new(), plain_port: args.vs_plain_port, is_null: vs == "null", reach };
        this.reach.pid = args.vs_pid;
        if let Some(file) = &args.vs_cafile {
            this.reach.cafile.clone_from(file);
        }
        if !this.is_null {
            let (host, port) = address(vs).ok_or_else(|| {
                Error::Usage(format!("--vs {vs}: not HOST:PORT, such as 127.0.0.1:8884 or [::1]:8884"))
            })?;
            (this.reach.host, this.reach.port) = (host, Some(port));
            this.plain_port = this.plain_port.or(Some(port).filter(|_| args.plain));
        }
        Ok(this)
    }

    /// How `scenario` reaches it; `None` when nobody has said where it listens without TLS.
    pub fn reach(&self, scenario: &Scenario) -> Option<Reach> {
        let mut reach = self.reach.clone();
        if scenario.is_plain() && !self.is_null {
            reach.port = Some(self.plain_port?);
        }
        Some(reach)
    }

    /// Its address, in words.
    pub fn address(&self, plain: bool) -> String {
        if self.is_null {
            return "a process of its own".to_owned();
        }
        let port = self.reach.port.unwrap_or(if plain { 1883 } else { 8883 });
        format!("{}:{port}", self.reach.host)
    }

    fn name(&self, args: &SuiteArgs, clock: &Clock) -> String {
        if self.is_null {
            return "null broker".to_owned();
        }
        let told = told_version(self, args, clock);
        let process = self.reach.pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
        let process = process.map(|name| name.trim().to_owned());
        told.or(process).unwrap_or_else(|| self.address(args.plain))
    }

    /// Its CPU time, if it is watched.
    pub fn process(&self) -> Option<Process> {
        self.reach.pid.map(Process)
    }

    /// For programs.
    pub fn json(&self, plain: bool) -> Value {
        json!({ "label": self.label, "address": self.address(plain), "pid": self.reach.pid, "null": self.is_null })
    }
}

/// Host and port of `HOST:PORT` or `[HOST]:PORT`.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

/// What the broker says of itself, if it does; a broker that cannot be reached is noticed by its first scenario.
fn told_version(rival: &Rival, suite: &SuiteArgs, clock: &Clock) -> Option<String> {
    let scenario = super::catalogue::all().into_iter().next()?;
    let mut args = suite.run_of(&scenario, rival.reach(&scenario)?).ok()?;
    args.reach.prefix.push_str("version-");
    on_threads(1, async { Ok(tokio::time::timeout(PATIENCE, ask(args, clock)).await.ok().flatten()) }).ok().flatten()
}

async fn ask(args: super::super::args::Args, clock: &Clock) -> Option<String> {
    let field = Field::new(&args, clock, None).await.ok()?;
    let caller = field.caller("v", 0).ok()?;
    let mut link = super::super::dial::dial(&field.target, &caller).await.ok()?;
    link.subscribe(&[VERSION], Qos::AtMostOnce).await.ok()?;
    loop {
        let told = link.next(|packet| match packet {
            Packet::Publish(message) => Ok(Some(String::from_utf8_lossy(message.payload).into_owned())),
            _ => Ok(None),
        });
        if let Some(version) = told.await.ok()? {
            link.leave().await;
            return Some(version.chars().filter(|letter| !letter.is_control()).take(60).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let parts = |text| address(text).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(parts("localhost:8884").as_deref(), Some("localhost 8884"));
        assert_eq!(parts("[::1]:8884").as_deref(), Some("::1 8884"));
        for bad in ["localhost", ":8884", "localhost:", "localhost:88840", "[::1:8884"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
