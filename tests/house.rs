//! The walls of the house: who may import whom, what may stand where.
//!
//! What lives here: the table of arrows between the rooms of `src/` and the
//! rules for files. What does not: how source is read (`source.rs`), and the
//! bans that clippy and cargo-deny keep (`.clippy.toml`, `.deny.toml`).
//! Invariant: a wall moves in the table below, with its reason, or not at all.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "house/source.rs"]
mod source;

use source::{Source, made_up, sources};

/// What one room may name of another.
enum Part {
    /// All of it.
    Whole(&'static str),
    /// Only these paths below it, and what they hold.
    Only(&'static str, &'static [&'static str]),
    /// Its `Settings` types and the module that holds them, nothing that runs.
    Settings(&'static str),
}
use Part::{Only, Settings, Whole};

/// What proves a right, without what judges certificates.
const PROOFS: &[&str] = &["principal", "policy::Permit", "policy::Publish", "policy::Subscribe"];
/// The contract of the store, without its backends.
const CONTRACT: &[&str] = &[
    "Batch",
    "Load",
    "Op",
    "Position",
    "QueueEntry",
    "Queued",
    "Row",
    "SessionUid",
    "Store",
    "StoreError",
    "StoredMessage",
    "Table",
    "batch",
    "rows",
];
/// Rooms that are pure machines: bytes and `now` in, answers out.
const PURE: &[&str] = &["mqtt", "codec", "session", "router"];
/// The pure half of `identity`.
const PURE_FILES: &[&str] =
    &["account", "acl_file", "crl", "fingerprint", "policy", "principal", "revocation", "rule", "switch", "tenant"];

/// The arrows. The first matching line counts, so a folder or file stands before its room.
#[rustfmt::skip]
const ARROWS: &[(&str, &[Part])] = &[
    ("src/lib.rs",           &[]),
    ("src/main.rs",          &[Whole("control")]),
    ("src/mqtt/",            &[]),
    ("src/codec/",           &[Whole("mqtt")]),
    ("src/session/",         &[Whole("mqtt"), Whole("codec")]),
    ("src/router/",          &[Whole("mqtt")]),
    ("src/identity/account",   &[Whole("mqtt")]),
    ("src/identity/acl_file",  &[Whole("mqtt")]),
    ("src/identity/crl",       &[Whole("mqtt")]),
    ("src/identity/fingerprint", &[Whole("mqtt")]),
    ("src/identity/policy",    &[Whole("mqtt")]),
    ("src/identity/principal", &[Whole("mqtt")]),
    ("src/identity/revocation", &[Whole("mqtt")]),
    ("src/identity/rule",      &[Whole("mqtt")]),
    ("src/identity/switch",    &[Whole("mqtt")]),
    ("src/identity/tenant",    &[Whole("mqtt")]),
    ("src/identity/",        &[Whole("mqtt"), Whole("clock"), Whole("telemetry")]),
    ("src/cluster/",         &[Whole("clock"), Whole("shutdown"), Whole("telemetry")]),
    ("src/store/replicated", &[Whole("mqtt"), Whole("clock"), Whole("telemetry"), Whole("cluster")]),
    ("src/store/",           &[Whole("mqtt"), Whole("clock"), Whole("telemetry")]),
    ("src/delivery/remote",  &[Whole("mqtt"), Whole("router"), Only("store", CONTRACT), Only("identity", PROOFS),
                               Whole("clock"), Whole("shutdown"), Whole("telemetry"), Whole("cluster")]),
    ("src/delivery/",        &[Whole("mqtt"), Whole("router"), Only("store", CONTRACT), Only("identity", PROOFS),
                               Whole("clock"), Whole("shutdown"), Whole("telemetry")]),
    // The driver holds positions and reads stored entries, so it knows the words of the store's contract.
    ("src/net/",             &[Whole("mqtt"), Whole("codec"), Whole("session"), Whole("identity"), Whole("delivery"),
                               Only("store", CONTRACT), Whole("clock"), Whole("shutdown"), Whole("telemetry")]),
    // What is kept of tenants becomes what connections are judged by; uploads are judged by the rules of anchors.
    ("src/ca/",              &[Only("store", CONTRACT), Whole("identity"), Whole("mqtt"), Whole("clock"), Whole("telemetry")]),
    ("src/platform/",        &[Whole("mqtt"), Only("store", CONTRACT), Only("identity", &["principal", "Principal"]), Whole("ca"),
                               Whole("clock"), Whole("telemetry"), Only("broker", &["Handle"])]),
    // The command line is where a process begins: it makes the clock, asks the identity room to explain a
    // chain, and starts the load generator, whose client `pub` and `sub` share.
    ("src/control/cli/",     &[Whole("broker"), Only("control", &["api", "lists"]), Whole("ca"), Whole("platform"), Whole("config"), Whole("telemetry"), Whole("mqtt"),
                               Whole("identity"), Whole("store"), Whole("bench"), Whole("clock"), Whole("shutdown")]),
    // Its connections are tasks like all others; the broker hands out the door that they come through.
    ("src/control/api/",     &[Only("broker", &["Handle", "Answer", "Question", "Checked", "ClientFilter", "Connected", "Explanation", "Guest", "HttpsDoor", "HttpsSettings", "Inquiry", "NotProved", "PemError", "Step",
                               "HttpsStream", "Reason", "Refusal", "RefusalFilter", "Stage", "WebSocketRequest"]), Whole("ca"), Whole("platform"), Whole("config"), Whole("telemetry"), Whole("mqtt"),
                               Whole("shutdown")]),
    ("src/control/",         &[Only("broker", &["Handle"]), Whole("ca"), Whole("platform"), Whole("config"), Whole("telemetry"), Whole("mqtt"),
                               Whole("shutdown")]),
    // A load generator measures time and runs clients of its own.
    ("src/bench/",           &[Whole("mqtt"), Whole("codec"), Whole("telemetry"), Whole("clock"), Whole("shutdown")]),
    // A tenant and its switches are settings: plain data that TOML is mapped onto; an anchor's PEM, accounts and rights are read here.
    // The broker's settings hold enums of their own; format and level of the log are settings too.
    ("src/config/",          &[Whole("mqtt"), Only("broker", &["Durability", "ServerTls", "Settings"]), Settings("ca"),
                               Settings("delivery"), Settings("net"), Settings("platform"), Only("store", &["Level", "Settings"]),
                               Only("telemetry", &["logging", "memory"]), Settings("control"),
                               Only("identity", &["account", "acl_file", "password", "pem", "policy", "switch", "tenant", "AnchorSettings", "Profile", "Switches", "TenantSettings"])]),
    ("src/telemetry/",       &[]),
    ("src/clock.rs",         &[]),
    ("src/shutdown.rs",      &[Whole("telemetry")]),    // a task that panics is counted and logged
    ("src/manual/",          &[]),
    // The composition root sees every room except control.
    ("src/broker",           &[Whole("bench"), Whole("ca"), Whole("clock"), Whole("cluster"), Whole("codec"), Whole("config"),
                               Whole("delivery"), Whole("identity"), Whole("mqtt"), Whole("net"), Whole("platform"), Whole("router"),
                               Whole("session"), Whole("shutdown"), Whole("store"), Whole("telemetry")]),
];

/// Crates and modules of others that are at home in some rooms only: name, where, why.
#[rustfmt::skip]
const AT_HOME: &[(&[&str], &[&str], &str)] = &[
    (&["rustls", "tokio_rustls", "webpki", "rustls_pki_types", "x509_parser", "rcgen"],
        // The command line shakes hands with the API, by settings that `bench::credentials` makes.
        &["src/net/tls", "src/identity/", "src/ca/", "src/bench/", "src/control/cli/remote/client"],
        "TLS and certificates are judged in one room: ask identity for a verdict, net/tls for a stream"),
    // The proof that a WebSocket's request was read is a SHA-1 digest.
    (&["aws_lc_rs"], &["src/net/tls", "src/net/websocket/upgrade", "src/identity/", "src/ca/", "src/bench/"],
        "digests, random numbers and keys belong to the rooms that judge and issue"),
    (&["httparse"], &["src/net/websocket/", "src/control/lists/"], "HTTP is spoken here only to leave it, or to fetch a list"),
    (&["fjall", "async_nats"], &["src/store/", "src/cluster/"], "what is durable goes through Store::append"),
    (&["toml"], &["src/config/"], "configuration has one reader; a part receives its own Settings by value"),
    (&["clap", "clap_complete"], &["src/control/cli/", "src/bench/", "src/main.rs"], "arguments are read on the command line only"),
    (&["sd_notify"], &["src/control/cli/"], "readiness is told where the process begins"),
    (&["socket2"], &["src/net/", "src/bench/"], "sockets belong to net"),
    (&["tikv_jemallocator"], &["src/main.rs"], "the allocator is the binary's choice"),
    (&["serde"], &["src/config/", "src/control/", "src/ca/record/", "src/platform/", "src/bench/"],
        "a domain type is never serialised directly: map it in control/view, store/record or config/raw"),
];

/// What a pure machine must not name.
const IMPURE: &[&str] = &[
    "tokio",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::sync::mpsc",
    "std::time::SystemTime",
    "dashmap",
    "tracing",
    "arc_swap",
    "serde_json",
];

const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "OffsetDateTime::now_utc", "UtcDateTime::now"];
const SPAWNS: &[&str] = &[
    "tokio::spawn",
    "task::spawn",
    "task::spawn_blocking",
    "task::spawn_local",
    "thread::spawn",
    "thread::Builder",
    "thread::scope",
    "JoinSet",
];
const UNBOUNDED: &[&str] =
    &["unbounded_channel", "UnboundedSender", "UnboundedReceiver", "mpsc::channel::<", "std::sync::mpsc::channel"];
const FORBIDDEN_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "types", "misc", "manager"];
const LINES: usize = 500;

/// Fails with every breach at once.
fn expect_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "{} breach(es):\n{}\n", breaches.len(), breaches.join("\n"));
}

fn is_pure(source: &Source) -> bool {
    let pure_file = |name: &&str| {
        let path = format!("src/identity/{name}");
        source.path == format!("{path}.rs") || source.path.starts_with(&format!("{path}/"))
    };
    PURE.contains(&source.room()) || PURE_FILES.iter().any(pure_file)
}

fn permits(part: &Part, room: &str, next: Option<&str>) -> bool {
    match part {
        Whole(name) => *name == room,
        // The room imported by its name: its uses are arrows of their own.
        Only(name, _) | Settings(name) if next.is_none() => *name == room,
        Only(name, paths) => *name == room && next.is_some_and(|next| paths.iter().any(|path| leads_to(next, path))),
        Settings(name) => {
            *name == room
                && next.is_some_and(|next| {
                    leads_to(next, "settings") || next.split("::").any(|name| name.ends_with("Settings"))
                })
        }
    }
}

fn leads_to(next: &str, path: &str) -> bool {
    next.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn breaches_of(source: &Source) -> Vec<String> {
    let Some((_, parts)) = ARROWS.iter().find(|(from, _)| source.path.starts_with(from)) else {
        return vec![format!(
            "{}: this room is not in the table of arrows. Add its line to tests/house.rs, with the reason.",
            source.path
        )];
    };
    let own = source.room();
    let arrows = source.arrows();
    let wrong = arrows.iter().filter(|arrow| {
        arrow.room != own
            && is_room(&arrow.room)
            && !parts.iter().any(|part| permits(part, &arrow.room, arrow.next.as_deref()))
    });
    wrong
        .map(|arrow| {
            let name = arrow.next.as_deref().map_or_else(|| arrow.room.clone(), |next| format!("{}::{next}", arrow.room));
            format!(
                "{}:{}: {own} may not name crate::{name}. Take it as a value or a trait from the caller, or move the wall in ARROWS with its reason.",
                source.path, arrow.line
            )
        })
        .collect()
}

/// Whether `name` is a room; a macro or an item at the crate's root is none.
fn is_room(name: &str) -> bool {
    ARROWS.iter().any(|(from, _)| {
        let room = from.trim_start_matches("src/");
        room.split(['/', '.']).next() == Some(name)
    })
}

/// The lines of product code outside `allowed` that name one of `names`.
fn named_outside(names: &[&str], allowed: &[&str], what_to_do: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in sources("src").iter().filter(|source| !allowed.iter().any(|home| source.path.starts_with(home))) {
        for name in names {
            let lines = source.lines_with(name);
            breaches.extend(lines.iter().map(|line| format!("{}:{line}: {name}: {what_to_do}", source.path)));
        }
    }
    breaches
}

#[test]
fn rooms_import_only_along_the_arrows() {
    let breaches: Vec<String> = sources("src").iter().flat_map(breaches_of).collect();
    expect_none(&breaches);
}

#[test]
fn foreign_crates_stay_in_their_rooms() {
    let breaches: Vec<String> = AT_HOME
        .iter()
        .flat_map(|(names, homes, why)| {
            let paths: Vec<String> = names.iter().map(|name| format!("{name}::")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            named_outside(&paths, homes, &format!("at home only in {}: {why}", homes.join(", ")))
        })
        .collect();
    expect_none(&breaches);
}

#[test]
fn pure_rooms_touch_nothing_of_the_world() {
    let mut breaches = Vec::new();
    for source in sources("src").iter().filter(|source| is_pure(source)) {
        for name in IMPURE {
            let lines = source.lines_with(name);
            breaches.extend(lines.iter().map(|line| {
                format!(
                    "{}:{line}: {name}: a pure machine takes bytes and `now` and answers; move this to its caller",
                    source.path
                )
            }));
        }
    }
    expect_none(&breaches);
}

#[test]
fn only_the_clock_reads_the_time() {
    expect_none(&named_outside(CLOCKS, &["src/clock.rs"], "ask Clock (clock.rs), or take `now` as an argument"));
}

#[test]
fn only_shutdown_starts_tasks_and_threads() {
    expect_none(&named_outside(
        SPAWNS,
        &["src/shutdown.rs"],
        "start it through shutdown::Tasks, which names, counts and awaits it",
    ));
}

#[test]
fn every_channel_has_a_bound() {
    expect_none(&named_outside(UNBOUNDED, &[], "give the queue a bound and a policy for when it is full"));
}

#[test]
fn no_file_is_longer_than_five_hundred_lines() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > LINES)
            .then(|| format!("{}: {lines} lines: find the second noun in it and give that a file", source.path))
    };
    let breaches: Vec<String> = sources("src").iter().filter_map(long).collect();
    expect_none(&breaches);
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let silent = |source: &Source| {
        let head = source.text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
        let speaks = head.is_some_and(|line| line.starts_with("//!"));
        (!speaks)
            .then(|| format!("{}: begin with `//!`: what lives here, what does not, the one invariant", source.path))
    };
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    let breaches: Vec<String> = all.filter_map(|source| silent(&source)).collect();
    expect_none(&breaches);
}

#[test]
fn no_module_has_a_name_that_says_nothing() {
    let empty = |source: &Source| {
        let part = source.path.split(['/', '.']).find(|part| FORBIDDEN_NAMES.contains(part))?;
        Some(format!("{}: `{part}` says nothing about what is inside; name the thing", source.path))
    };
    let breaches: Vec<String> = sources("src").iter().filter_map(empty).collect();
    expect_none(&breaches);
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!", "unimplemented!", "unreachable_unchecked", "dbg!"];
    expect_none(&named_outside(&marks, &[], "finish it, or return an error that says what is missing"));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = include_str!("../Cargo.toml");
    let listed = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with("[lib]"));
    let silent = listed.filter(|line| line.contains(" = ") && !line.contains(" # "));
    let breaches: Vec<String> = silent.map(|line| format!("Cargo.toml: {line}: add ` # what it is for`")).collect();
    expect_none(&breaches);
}

#[test]
fn the_rule_sees_a_wrong_arrow() {
    let wrong = [
        ("src/codec/frame.rs", "use crate::net::Settings;"),
        ("src/session/inbound.rs", "fn f(store: &crate::store::Batch) {}"),
        ("src/delivery/fanout.rs", "use crate::store::{Batch, memory::MemoryStore};"),
        ("src/delivery/fanout.rs", "use crate::identity::verifier::Verifier;"),
        ("src/delivery/fanout.rs", "use crate::identity::policy::{Permit, Rights};"),
        ("src/identity/policy.rs", "use crate::clock::Clock;"),
        ("src/config/check.rs", "use crate::net;\nfn f() { net::listener::start(); }"),
        ("src/net/connection.rs", "use crate::{mqtt::Qos, broker::Handle};"),
        ("src/newroom/mod.rs", ""),
    ];
    for (path, text) in wrong {
        assert_eq!(breaches_of(&made_up(path, text)).len(), 1, "{path}: {text}");
    }
    let right = [
        ("src/delivery/fanout.rs", "use crate::store::{Batch, Store}; use crate::identity::policy::{Permit, Publish};"),
        ("src/config/check.rs", "use crate::net;\nfn f() -> net::Settings {}"),
        ("src/codec/frame.rs", "use crate::codec::Packet; use crate::mqtt::Qos;"),
    ];
    for (path, text) in right {
        assert_eq!(breaches_of(&made_up(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}
