//! What a start prints: where the broker listens, whom it trusts, and how to
//! connect.
//!
//! What lives here: the text. What does not: the facts in it. Invariant: a
//! command that is printed works as it is pasted, from any directory.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::broker;
use crate::config::Config;
use crate::identity::switch::{AnchorState, ClientCert, IdentityRule, Profile};
use crate::identity::tenant::TenantSettings;
use crate::store::Level;

/// The sample devices of the development PKI.
const SUBSCRIBER: &str = "dashboard-1";
const PUBLISHER: &str = "sensor-1";

/// A running broker, as it is described.
pub(super) struct Welcome<'a> {
    pub(super) config: &'a Config,
    /// Listeners by name, with the addresses that they got.
    pub(super) listening: &'a [(String, SocketAddr)],
    /// Where health and metrics are asked for.
    pub(super) admin: Option<SocketAddr>,
    /// One line for each trusted anchor.
    pub(super) trusted: &'a [String],
    /// Files that this start has made.
    pub(super) made: usize,
    /// The administrator's token, when it is told.
    pub(super) token: Option<&'a str>,
}

/// How a client reaches the broker with a certificate.
struct Door {
    host: String,
    port: u16,
    certs: PathBuf,
}

/// What an acknowledgement is worth.
fn keeping(durability: &broker::Durability) -> String {
    match durability {
        broker::Durability::Memory => "keeping everything in memory (durability = \"memory\"): sessions and messages \
                                       last until the process ends"
            .to_owned(),
        broker::Durability::Disk { directory, settings } => {
            let (level, lasts) = match settings.level {
                Level::Fsync => ("fsync", "a power cut"),
                Level::Os => ("os", "the end of the process"),
            };
            let place = shown(directory);
            format!(
                "keeping sessions and messages in {place} (durability = \"{level}\"): what was acknowledged survives {lasts}"
            )
        }
    }
}

impl Welcome<'_> {
    /// All of it, without a line break at the end.
    pub(super) fn text(&self) -> String {
        let mut text = format!("Certus {}\n", env!("CARGO_PKG_VERSION"));
        if self.made > 0 {
            let _ = writeln!(text, "\nmade {} files of a development PKI in {}", self.made, shown(&self.certs_dir()));
        }
        self.listening(&mut text);
        self.trusting(&mut text);
        let _ = writeln!(text, "\n{}", keeping(&self.config.broker.durability));
        if let Some(token) = self.token {
            let _ = writeln!(text, "\nto administer it over HTTPS, keep this token; it is told this once\n  {token}");
        }
        for note in &self.config.notes {
            let _ = writeln!(text, "\nnote: {note}");
        }
        if let Some(door) = self.door() {
            door.commands(&mut text);
            door.mqttx(&mut text);
        }
        text.trim_end().to_owned()
    }

    fn listening(&self, text: &mut String) {
        let _ = writeln!(text, "\nlistening on");
        for (name, address) in self.listening {
            if name == "https" {
                let _ = writeln!(text, "  {address:<22} REST over HTTPS, WebSocket at /mqtt");
                continue;
            }
            let settings = self.config.broker.listeners.iter().find(|listener| listener.name == *name);
            let tenant = settings.and_then(|listener| listener.default_tenant.as_ref());
            let tenant = self.config.broker.tenants.iter().find(|known| Some(&known.id) == tenant);
            let asks = tenant.map_or(ClientCert::Optional, |tenant| tenant.switches.client_cert);
            let kind = match (settings.is_some_and(|listener| listener.tls), asks) {
                (true, ClientCert::Required) => "mutual TLS",
                (true, ClientCert::Optional) => "TLS, with or without client certificate",
                (true, ClientCert::Off) => "TLS without client certificates",
                (false, _) if address.ip().is_loopback() => "no TLS, this machine only",
                (false, _) => "no TLS",
            };
            let tenant = tenant.map(|tenant| format!(", tenant {}", tenant.id)).unwrap_or_default();
            let is_web = settings.is_some_and(|listener| listener.websocket.is_some());
            let web = if is_web { "WebSocket at /mqtt, " } else { "" };
            let _ = writeln!(text, "  {address:<22} {web}{kind}{tenant}");
        }
        if let Some(admin) = self.admin {
            let _ = writeln!(text, "  {:<22} /healthz, /readyz and /metrics over HTTP", admin.to_string());
        }
    }

    fn trusting(&self, text: &mut String) {
        let _ = writeln!(text, "\ntrusting client certificates that lead to");
        for line in self.trusted {
            let _ = writeln!(text, "  {line}");
        }
        if self.trusted.is_empty() {
            let _ = writeln!(text, "  nobody: add [[tenant.anchor]] to the configuration");
        }
    }

    fn certs_dir(&self) -> PathBuf {
        std::path::absolute(&self.config.certs_dir).unwrap_or_else(|_| self.config.certs_dir.clone())
    }

    /// The way in for the sample devices, if this configuration lets them in
    /// with their names as ClientIds and any topic.
    fn door(&self) -> Option<Door> {
        let certs = self.certs_dir();
        let has = |file: &str| certs.join(file).is_file();
        let samples = [SUBSCRIBER, PUBLISHER];
        let has_samples = samples.iter().all(|name| has(&format!("{name}.pem")) && has(&format!("{name}.key")));
        if !has("server-ca.pem") || !has_samples || !self.config.broker.tenants.iter().any(|tenant| self.admits(tenant))
        {
            return None;
        }
        let listeners = &self.config.broker.listeners;
        let is_tls = |name: &str| {
            listeners.iter().any(|listener| listener.tls && listener.websocket.is_none() && listener.name == name)
        };
        let (_, address) = self.listening.iter().find(|(name, _)| is_tls(name))?;
        Some(Door { host: host(address.ip()), port: address.port(), certs })
    }

    fn admits(&self, tenant: &TenantSettings) -> bool {
        let device_ca = self.config.certs_dir.join("device-ca.pem").display().to_string();
        let has_anchor =
            tenant.anchors.iter().any(|anchor| anchor.state == AnchorState::Enabled && anchor.source == device_ca);
        let rule = matches!(tenant.switches.identity_rule, IdentityRule::ExactCn | IdentityRule::Any);
        has_anchor && rule && tenant.profile == Profile::Open
    }
}

impl Door {
    fn commands(&self, text: &mut String) {
        let file = |name: &str| quoted(&self.certs.join(name));
        let common = |name: &str| {
            let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
            let (host, port, ca) = (&self.host, self.port, file("server-ca.pem"));
            format!("-h {host} -p {port} --cafile {ca} --cert {cert} --key {key} -i {name} -q 1")
        };
        let _ = writeln!(text, "\nto see a message over mutual TLS, paste this into one terminal");
        let _ = writeln!(text, "  mosquitto_sub {} -v -t 'plant/#'", common(SUBSCRIBER));
        let _ = writeln!(text, "and this into another");
        let _ = writeln!(text, "  mosquitto_pub {} -t plant/temperature -m 21.5", common(PUBLISHER));
        let own = std::env::current_exe().map_or_else(|_| String::from("certus"), |path| quoted(&path));
        let _ = writeln!(text, "without mosquitto, begin with {own} sub and {own} pub");
    }

    fn mqttx(&self, text: &mut String) {
        let file = |name: &str| shown(&self.certs.join(name));
        let fields = [
            ("Name", String::from("Certus")),
            ("Client ID", SUBSCRIBER.to_owned()),
            ("Host", format!("mqtts://  {}", self.host)),
            ("Port", self.port.to_string()),
            ("Username, Password", String::from("(empty)")),
            ("SSL/TLS", String::from("on, SSL Secure on")),
            ("Certificate", String::from("CA or Self signed certificates")),
            ("CA File", file("server-ca.pem")),
            ("Client Certificate File", file(&format!("{SUBSCRIBER}.pem"))),
            ("Client key file", file(&format!("{SUBSCRIBER}.key"))),
        ];
        let _ = writeln!(
            text,
            "\nin MQTTX, in the place of mosquitto_sub (one ClientId has one connection), make a connection with"
        );
        for (field, value) in fields {
            let _ = writeln!(text, "  {field:<24} {value}");
        }
    }
}

/// The name to connect to. An address that is not loopback is in the server's
/// certificate because it was bound when that was made.
fn host(bound: IpAddr) -> String {
    if bound.is_loopback() || bound.is_unspecified() { String::from("localhost") } else { bound.to_string() }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// As a shell reads it.
fn quoted(path: &Path) -> String {
    let text = shown(path);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problem, Sources, load};
    use crate::{ca, clock::Clock};

    /// What a first start with this file prints.
    fn printed(file: &str) -> String {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("config.toml");
        std::fs::write(&path, format!("certs_dir = {:?}\n{file}", home.path().join("certs"))).unwrap();
        let config = load(&Sources::new().with_file(path), |plan| {
            let wanted = ca::Wanted { server: plan.server, devices: plan.devices, server_names: &plan.server_names };
            ca::ensure(&plan.certs_dir, &wanted, Clock::system().wall()).map_err(Problem::told)?;
            Ok(Vec::new())
        });
        let config = config.unwrap();
        let listening: Vec<_> = config
            .broker
            .listeners
            .iter()
            .map(|listener| (listener.name.clone(), SocketAddr::new(listener.bind.ip(), 40_001)))
            .collect();
        Welcome { config: &config, listening: &listening, admin: None, trusted: &[], made: 10, token: None }.text()
    }

    #[test]
    fn the_commands_name_the_port_that_was_bound_and_files_that_exist() {
        let text = printed("");
        let commands: Vec<&str> = text.lines().filter(|line| line.starts_with("  mosquitto_")).collect();
        assert_eq!(commands.len(), 2, "{text}");
        for command in commands {
            assert!(command.contains("-h localhost -p 40001 "), "{command}");
            let files: Vec<&str> =
                command.split(' ').filter(|word| word.contains(".pem") || word.contains(".key")).collect();
            assert!(files.len() == 3 && files.iter().all(|file| file.starts_with('/')), "{files:?}");
        }
    }

    #[test]
    fn no_command_is_printed_that_another_configuration_would_refuse() {
        let anchor = "[[tenant.anchor]]\nfile = \"device-ca.pem\"\n";
        let other_rule = format!("[[tenant]]\nid = \"t\"\nswitches.identity_rule = \"tenant_cn\"\n{anchor}");
        let other_profile = format!("[[tenant]]\nid = \"t\"\nprofile = \"centiloc\"\n{anchor}");
        let disabled = format!("[[tenant]]\nid = \"t\"\n{anchor}status = \"disabled\"\n");
        for file in [other_rule, other_profile, disabled] {
            let text = printed(&file);
            assert!(!text.contains("mosquitto_pub"), "{file}\n{text}");
        }
    }

    #[test]
    fn a_listener_says_whether_it_asks_for_certificates() {
        let web = printed("[listeners]\nwss = [{ bind = \"0.0.0.0:8084\", default_tenant = \"lab\" }]\n");
        assert!(web.contains("WebSocket at /mqtt, mutual TLS, tenant lab"), "{web}");
        assert!(printed("").contains("mutual TLS, tenant lab"));
        let optional = printed("[[tenant]]\nid = \"t\"\nprofile = \"cumulocity\"\n");
        assert!(optional.contains("TLS, with or without client certificate, tenant t"), "{optional}");
    }

    #[test]
    fn a_path_with_blanks_and_quotes_stays_one_word() {
        assert_eq!(quoted(Path::new("/a/b-1.pem")), "/a/b-1.pem");
        assert_eq!(quoted(Path::new("/my certs/o'neil")), r"'/my certs/o'\''neil'");
    }

    #[test]
    fn whoever_listens_everywhere_is_reached_as_localhost() {
        assert_eq!(host("0.0.0.0".parse().unwrap()), "localhost");
        assert_eq!(host("::1".parse().unwrap()), "localhost");
        assert_eq!(host("192.0.2.7".parse().unwrap()), "192.0.2.7");
    }
}
