//! The behaviour of the whole reading: equality, order of sources, mistakes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const SHIPPED: &str = include_str!("../../config.toml");

/// What a start without any file finds, its anchor not yet made.
fn nothing_made(plan: &Plan) -> Result<Vec<PathBuf>, Problem> {
    Ok(vec![plan.certs_dir.join("device-ca.pem")])
}

fn in_file(text: &str) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    std::fs::write(&file, text).unwrap();
    (directory, Sources::new().with_file(file))
}

fn loaded(text: &str) -> Config {
    let (_directory, sources) = in_file(text);
    load(&sources, nothing_made).unwrap()
}

/// The lines of all problems, without the directory of the file.
fn problems(text: &str) -> Vec<String> {
    let (directory, sources) = in_file(text);
    let problems = load(&sources, nothing_made).unwrap_err();
    let prefix = format!("{}/", directory.path().display());
    problems.to_string().lines().map(|line| line.replace(&prefix, "")).collect()
}

/// A line that is a key in a comment.
fn is_key_in_comment(line: &str) -> bool {
    let Some((key, _)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = ")) else { return false };
    key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

#[test]
fn the_shipped_file_says_what_holds_without_it() {
    assert_eq!(format!("{:?}", loaded(SHIPPED)), format!("{:?}", loaded("")));
}

#[test]
fn the_commented_keys_of_the_shipped_file_show_true_values() {
    let optional = [
        "test_clock",
        "slow_store",
        "sealing_key_file",
        "domain",
        "bootstrap_password",
        "name",
        "ws",
        "wss",
        "file",
        "ca",
        "smtp",
        "user",
        "password_file",
        "url",
        "secret_file",
    ];
    let lines = SHIPPED.lines().filter_map(|line| {
        let is_optional = optional.iter().any(|key| line.starts_with(&format!("# {key} =")));
        if is_optional || !is_key_in_comment(line) { Some(line) } else { line.strip_prefix("# ") }
    });
    let text: Vec<&str> = lines.collect();
    assert_eq!(format!("{:?}", loaded(&text.join("\n"))), format!("{:?}", loaded("")));
}

#[test]
fn the_shipped_file_holds_every_key() {
    let (_directory, sources) = in_file(SHIPPED);
    let text = std::fs::read_to_string(sources.file()).unwrap();
    let scope = Scope::new(String::from("c"), &text, &sources);
    let document = DeTable::parse(&text).unwrap();
    let _ = read(&scope, document.get_ref(), true, nothing_made);
    let written: BTreeSet<&str> = SHIPPED
        .lines()
        .map(|line| line.trim_start_matches("# "))
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim())
        .chain(["bind", "default_tenant", "proxy_protocol", "origins", "client_certificates"])
        .collect();
    for key in scope.known() {
        let last = key.rsplit('.').next().unwrap();
        assert!(written.contains(last), "config.toml does not show {key}");
    }
}

#[test]
fn every_mistake_is_reported_at_once_with_its_line_and_a_remedy() {
    let lines = problems(
        r#"certs_dir = 7
[limits]
backlog = "many"
max_conections = 10
handshake_timeout = "10"
[listeners]
tls = [{ bind = "8883" }, { bind = "0.0.0.0:8884", default_tenant = "nowhere" }]
[storage]
durability = "disk"
[[tenant]]
id = "a/b"
profile = "closed"
switches = { max_chain_length = 11, mqtt_levels = [6], acl = { extra_publish = ["a/#/b"] } }
[mystery]
x = 1
"#,
    );
    let expected = [
        "c.toml:1: certs_dir: 7 is not a text; write it in quotes",
        "c.toml:3: limits.backlog: \"many\" is not a whole number; write a whole number from 1 to 1000000",
        "c.toml:4: limits.max_conections: no such key; did you mean max_connections?",
        "c.toml:5: limits.handshake_timeout: \"10\" is not a duration; write a duration from \"1 ms\" to \"1 h\", such as",
        "c.toml:7: listeners.tls.bind: \"8883\" is not an address with a port; write an IP address",
        "c.toml:7: listeners.tls.default_tenant: there is no tenant \"nowhere\"; configured are",
        "c.toml:9: storage.durability: \"disk\" is no level of durability; write \"fsync\", \"os\" or \"memory\"",
        "c.toml:11: tenant.id: \"a/b\" cannot name a tenant; use 1 to 64 letters",
        "c.toml:12: tenant.profile: \"closed\" is no value of this key; write \"open\", \"mindconnect\", \"cumulocity\" or \"centiloc\"",
        "c.toml:13: tenant.switches.max_chain_length: 11 is out of range; write a whole number from 1 to 10",
        "c.toml:13: tenant.switches.mqtt_levels: a list does not name the versions to serve",
        "c.toml:13: tenant.switches.acl.extra_publish: \"a/#/b\" has a wildcard that does not fill its level",
        "c.toml:14: mystery: no such key; known here are",
    ];
    for want in expected {
        assert!(lines.iter().any(|line| line.starts_with(want)), "missing: {want}\nfound:\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), expected.len(), "{}", lines.join("\n"));
}

#[test]
fn text_that_is_no_toml_is_reported_with_its_line() {
    let lines = problems("[limits]\nbacklog = \n");
    assert!(lines[0].starts_with("c.toml:2: this is not TOML"), "{lines:?}");
    let lines = problems("worker_threads = 1\nworker_threads = 2\n");
    assert!(lines[0].starts_with("c.toml:2: "), "{lines:?}");
}

#[test]
fn flags_go_before_variables_and_variables_before_the_file() {
    let (_directory, sources) = in_file("[limits]\nbacklog = 1\nmax_handshakes = 1\nmax_connections = 1\n");
    let variables = [("CERTUS_LIMITS_BACKLOG", "2"), ("CERTUS_LIMITS_MAX_HANDSHAKES", "2"), ("HOME", "/root")];
    let sources = sources.with_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned()))).with_flag(
        "--set limits.backlog",
        "limits.backlog",
        "3",
    );
    let net = load(&sources, nothing_made).unwrap().broker.net;
    assert_eq!((net.backlog, net.max_handshakes, net.max_connections), (3, 2, 1));
}

#[test]
fn a_wrong_variable_or_flag_is_named() {
    let sources = Sources::new()
        .with_file(in_file("").1.file())
        .with_variables([(String::from("CERTUS_LISTENERS_TLS"), String::from("8883"))])
        .with_flag("--set limits.backlogg", "limits.backlogg", "3");
    // The directory of the file is gone, and a named file must exist.
    assert!(load(&sources, nothing_made).unwrap_err().to_string().contains("it cannot be read"));
    let (_directory, file) = in_file("");
    let sources = sources.with_file(file.file());
    let text = load(&sources, nothing_made).unwrap_err().to_string();
    assert!(text.contains("variable CERTUS_LISTENERS_TLS: listeners.tls: \"8883\" is not an address"), "{text}");
    assert!(text.contains("limits.backlogg: no such key; did you mean limits.backlog?"), "{text}");
}

#[test]
fn an_address_that_stands_in_keeps_the_tenant_of_the_file() {
    let text = "[listeners]\ntls = [{ bind = \"0.0.0.0:1\", default_tenant = \"b\" }]\n\
                [[tenant]]\nid = \"a\"\n[[tenant]]\nid = \"b\"\n";
    let (_directory, sources) = in_file(text);
    let sources = sources.with_flag("--listen-tls", "listeners.tls", "127.0.0.1:0, [::1]:0").with_flag(
        "--listen-plain",
        "listeners.plain",
        "off",
    );
    let listeners = load(&sources, nothing_made).unwrap().broker.listeners;
    let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["tls", "tls-2"]);
    assert!(listeners.iter().all(|listener| listener.default_tenant.as_ref().unwrap().as_str() == "b"));
}

#[test]
fn what_the_file_says_beside_an_address_holds_for_the_one_that_stands_in() {
    let text = "[listeners]\nwss = [{ bind = \"0.0.0.0:1\", default_tenant = \"a\", origins = [\"https://a.example\"], \
                proxy_protocol = [\"10.0.0.0/8\"] }]\n[[tenant]]\nid = \"a\"\n";
    let (_directory, sources) = in_file(text);
    let written = load(&sources, nothing_made).unwrap().broker.listeners.pop().unwrap();
    let sources = sources.with_flag("--listen-wss", "listeners.wss", "127.0.0.1:8084");
    let replaced = load(&sources, nothing_made).unwrap().broker.listeners.pop().unwrap();
    assert_eq!((replaced.name.as_str(), replaced.bind.port(), replaced.tls), ("wss", 8084, true));
    assert_eq!((&replaced.websocket, &replaced.proxies), (&written.websocket, &written.proxies));
    assert_eq!(replaced.websocket.unwrap().origins, ["https://a.example"]);
    assert!(replaced.proxies[0].contains("10.9.9.9".parse().unwrap()));
}

#[test]
fn a_network_or_origin_that_is_none_is_named() {
    let lines = problems(
        "[listeners]\nws = [\n{ bind = \"127.0.0.1:1\", proxy_protocol = [\"10.0.0.0/33\"] },\n\
         { bind = \"127.0.0.1:2\", origins = [\"dashboard.example\"] }]\ntls = [{ bind = \"127.0.0.1:3\", origins = [] }]\n",
    );
    assert!(
        lines[0].starts_with("c.toml:3: listeners.ws.proxy_protocol: \"10.0.0.0/33\" is no network; write"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("c.toml:4: listeners.ws.origins: \"dashboard.example\" is no origin; write"),
        "{lines:?}"
    );
    assert!(lines[2].starts_with("c.toml:5: listeners.tls.origins: no such key"), "{lines:?}");
}

#[test]
fn a_variable_for_no_key_is_a_note_and_those_of_kubernetes_are_not_even_that() {
    let (_directory, sources) = in_file("");
    let names = ["CERTUS_LIMIT_BACKLOG", "CERTUS_PORT_8883_TCP", "CERTUS_SERVICE_HOST", "CERTUS_CONFIG"];
    let sources = sources.with_variables(names.map(|name| (name.to_owned(), String::new())));
    let notes = load(&sources, nothing_made).unwrap().notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("CERTUS_LIMIT_BACKLOG"));
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let sources = Sources::new().with_file("/nowhere/c.toml");
    assert!(load(&sources, nothing_made).unwrap_err().to_string().starts_with("/nowhere/c.toml: it cannot be read"));
    assert!(Sources::new().file() == Path::new("config.toml") && !Sources::new().is_file_named());
}

#[test]
fn every_profile_keeps_the_switches_that_are_not_written() {
    for profile in crate::identity::switch::Profile::ALL {
        let text = format!("[[tenant]]\nid = \"t\"\nprofile = \"{profile}\"\nswitches = {{ max_chain_length = 3 }}\n");
        let mut expected = profile.switches();
        expected.max_chain_length = 3;
        assert_eq!(loaded(&text).broker.tenants[0].switches, expected);
    }
}

#[test]
fn configured_anchors_count_against_max_anchors_and_belong_to_one_tenant() {
    let anchor = "[[tenant.anchor]]\nfile = \"device-ca.pem\"\n";
    let text = format!("[[tenant]]\nid = \"t\"\n{anchor}{anchor}{anchor}");
    let lines = problems(&text);
    assert!(lines[0].contains("may have 2 anchors") && lines[0].starts_with("c.toml:8:"), "{lines:?}");
    let unlimited = format!("[[tenant]]\nid = \"t\"\nswitches.max_anchors = 0\n{anchor}{anchor}{anchor}");
    let _ = loaded(&unlimited);
}

#[test]
fn a_missing_anchor_is_named_with_the_directory_that_it_is_sought_in() {
    let lines = problems("certs_dir = \"/nowhere\"\n[[tenant]]\nid = \"t\"\n[[tenant.anchor]]\nfile = \"x.pem\"\n");
    assert!(lines[0].starts_with("c.toml:5: tenant.anchor.file: /nowhere/x.pem cannot be read"), "{lines:?}");
    assert!(lines[0].contains("relative to certs_dir, which is /nowhere"), "{lines:?}");
}

#[test]
fn nothing_is_prepared_for_a_configuration_with_mistakes() {
    let (_directory, sources) = in_file("[limits]\nbacklog = 0\n");
    let problems = load(&sources, |_| panic!("prepared")).unwrap_err();
    assert_eq!(problems.0.len(), 1);
}

#[test]
fn the_development_pki_is_planned_only_for_its_own_names() {
    let planned = |text: &str| {
        let (_directory, sources) = in_file(text);
        let mut seen = None;
        let _ = load(&sources, |plan| {
            seen = Some((plan.server, plan.devices));
            nothing_made(plan)
        });
        seen.unwrap()
    };
    assert_eq!(planned(""), (true, true));
    assert_eq!(planned("server_tls.cert = \"/etc/ssl/me.pem\""), (false, true));
    assert_eq!(planned("[[tenant]]\nid = \"t\""), (true, false));
}

proptest! {
    #[test]
    fn no_text_makes_the_reading_panic(text in "\\PC{0,200}") {
        let sources = Sources::new();
        let scope = Scope::new(String::from("c"), &text, &sources);
        let (document, _) = DeTable::parse_recoverable(&text);
        let _ = read(&scope, document.get_ref(), true, nothing_made);
    }

    #[test]
    fn any_value_under_any_key_is_taken_or_explained(
        key in prop::sample::select(vec![
            "certs_dir", "worker_threads", "log.level", "limits.backlog", "limits.max_connect_bytes", "listeners.tls",
            "listeners", "server_tls.names", "queues.ring_bytes", "storage.durability", "tenant", "session.max_inflight",
        ]),
        value in prop::sample::select(vec![
            "1", "-1", "1.5", "true", "\"\"", "\"x\"", "[]", "[[]]", "[{}]", "{}", "1979-05-27", "[1, \"a\"]", "0x10",
            "\"10 s\"", "\"99999999999999999999\"", "{ a = 1 }", "[{ bind = 5 }]", "[{ id = \"t\", anchor = [{}] }]",
        ]),
    ) {
        let (_directory, sources) = in_file(&format!("{key} = {value}\n"));
        if let Err(problems) = load(&sources, nothing_made) {
            for problem in &problems.0 {
                prop_assert!(!problem.complaint.reason.is_empty() && !problem.complaint.remedy.is_empty());
            }
        }
    }
}

/// A cell of the manual's table as configuration writes it.
fn as_value(switch: &str, cell: &str) -> String {
    let bare = cell.trim_matches('`').split(" (").next().unwrap();
    match switch {
        "mqtt_levels" => format!("[{bare}]"),
        _ if bare.parse::<u64>().is_ok() || bare == "true" || bare == "false" => bare.to_owned(),
        _ => format!("\"{bare}\""),
    }
}

#[test]
fn the_table_of_switches_in_the_manual_is_true() {
    let page = include_str!("../manual/why-defaults.md");
    let (_, table) = page.split_once("## The switches of the profiles").unwrap();
    let mut rows = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
    let head = rows.next().unwrap();
    let rows: Vec<_> = rows.filter(|row| !row[0].starts_with('-')).collect();
    assert_eq!(rows.len(), 26);
    for (column, profile) in head.iter().enumerate().skip(1) {
        let profile = profile.trim_matches('`');
        let line = |row: &Vec<String>| {
            let switch = row[0].trim_matches('`');
            format!("{switch} = {}\n", as_value(switch, &row[column]))
        };
        let switches: String = rows.iter().map(line).collect();
        let start = format!("[[tenant]]\nid = \"t\"\nprofile = \"{profile}\"\n");
        let with = loaded(&format!("{start}[tenant.switches]\n{switches}"));
        assert_eq!(with.broker.tenants, loaded(&start).broker.tenants, "{profile}");
        // Nothing of the table is a slip that happens to read well: another
        // profile's column gives other switches.
        let other = if profile == "open" { "centiloc" } else { "open" };
        let other = loaded(&format!("[[tenant]]\nid = \"t\"\nprofile = \"{other}\"\n[tenant.switches]\n{switches}"));
        assert_eq!(other.broker.tenants[0].switches, with.broker.tenants[0].switches, "{profile}");
    }
}
