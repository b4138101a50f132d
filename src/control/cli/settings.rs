//! The flags that stand for configuration keys.
//!
//! What lives here: the flags, and turning them into `config::Sources`. What
//! does not: the keys (`config`). Invariant: every key can be set from the
//! command line, if not by a flag of its own then by `--set`.

use std::path::PathBuf;

use crate::config::{Config, Plan, Problems, Sources, load};

/// Which file, and which certificates.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Where {
    /// The configuration file; without it config.toml, if there is one.
    #[arg(long, value_name = "FILE", env = "CERTUS_CONFIG")]
    config: Option<PathBuf>,
    /// Where certificates lie [default: certs].
    #[arg(long, value_name = "DIR")]
    certs_dir: Option<String>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    place: Where,
    /// Where the broker keeps its state [default: data].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Listen here with TLS, once or several times; "off" for nowhere.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_tls: Vec<String>,
    /// Listen here without TLS, once or several times; "off" for nowhere.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_plain: Vec<String>,
    /// Listen here for MQTT over WebSocket, at /mqtt.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_ws: Vec<String>,
    /// Listen here for MQTT over WebSocket with TLS, at /mqtt.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_wss: Vec<String>,
    /// Serve REST over HTTPS here [default: 0.0.0.0:8443]; "off" for nowhere.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_https: Option<String>,
    /// Answer for health and metrics here [default: 127.0.0.1:9090]; "off" for nowhere.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_admin: Option<String>,
    /// off, error, warn, info, debug, trace, or "info,certus::net=debug".
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Set any other key, such as limits.max_connections=500; also as a
    /// variable, such as CERTUS_LIMITS_MAX_CONNECTIONS.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err(String::from("write KEY=VALUE, such as limits.max_connections=500")),
    }
}

impl Where {
    /// What the variables say, for commands that have no flags for it.
    pub(super) fn of_environment() -> Self {
        Self { config: std::env::var_os("CERTUS_CONFIG").map(PathBuf::from), certs_dir: None }
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::new().with_environment();
        if let Some(file) = &self.config {
            sources = sources.with_file(file);
        }
        match &self.certs_dir {
            Some(directory) => sources.with_flag("--certs-dir", "certs_dir", directory),
            None => sources,
        }
    }

    /// The whole configuration. Nothing is made.
    pub(super) fn load(&self) -> Result<Config, Problems> {
        load(&self.sources(), |_| Ok(Vec::new()))
    }

    /// The same, with the state elsewhere.
    pub(super) fn load_beside(&self, state_dir: Option<&str>) -> Result<Config, Problems> {
        let sources = self.sources();
        let sources = match state_dir {
            Some(directory) => sources.with_flag("--state-dir", "state_dir", directory),
            None => sources,
        };
        load(&sources, |_| Ok(Vec::new()))
    }

    /// Only where certificates lie and what the server is called; whether the
    /// anchors are there does not matter.
    pub(super) fn plan(&self) -> Result<Plan, Problems> {
        plan(&self.sources())
    }
}

fn plan(sources: &Sources) -> Result<Plan, Problems> {
    let mut seen = None;
    let loaded = load(sources, |plan| {
        seen = Some(plan.clone());
        Ok(Vec::new())
    });
    match (seen, loaded) {
        (Some(plan), _) => Ok(plan),
        (None, Err(problems)) => Err(problems),
        // The plan is made before anything is loaded.
        (None, Ok(_)) => Err(Problems(Vec::new())),
    }
}

impl Args {
    /// As [`Where::plan`], for work on what lies in `state_dir`: a value that
    /// is wrong there would be another place.
    pub(super) fn plan_of_store(&self) -> Result<Plan, Problems> {
        let sources = self.sources();
        let is_about_it = |key: &str| key.is_empty() || key == "state_dir" || key.starts_with("storage");
        match load(&sources, |_| Ok(Vec::new())) {
            Err(problems) if problems.0.iter().any(|problem| is_about_it(&problem.key)) => Err(problems),
            _ => plan(&sources),
        }
    }

    /// Flags, variables and file, as this process sees them.
    pub(super) fn sources(&self) -> Sources {
        let mut sources = self.place.sources();
        for (key, value) in &self.set {
            sources = sources.with_flag("--set", key, value);
        }
        let lists = [
            ("--listen-tls", "listeners.tls", &self.listen_tls),
            ("--listen-plain", "listeners.plain", &self.listen_plain),
            ("--listen-ws", "listeners.ws", &self.listen_ws),
            ("--listen-wss", "listeners.wss", &self.listen_wss),
        ];
        for (flag, key, list) in lists.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            sources = sources.with_flag(flag, key, list.join(","));
        }
        let flags = [
            ("--state-dir", "state_dir", &self.state_dir),
            ("--listen-https", "listeners.https", &self.listen_https),
            ("--listen-admin", "listeners.admin", &self.listen_admin),
            ("--log-level", "log.level", &self.log_level),
            ("--log-format", "log.format", &self.log_format),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                sources = sources.with_flag(flag, key, value);
            }
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_has_a_key_and_a_value() {
        assert_eq!(assignment("a.b = 1=2"), Ok((String::from("a.b"), String::from("1=2"))));
        assert!(assignment("a.b").is_err() && assignment("=1").is_err());
    }
}
