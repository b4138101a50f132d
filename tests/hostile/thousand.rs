//! A thousand subscribers that stop reading, and a broker in a process of its
//! own, so that its memory is its own (dataplane.md section 10).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use certus::mqtt::{Qos, Version};

use crate::peer::{Hello, Peer, publish};
use crate::stage::MIB;

const READERS: usize = 1_000;
/// What all queues may hold.
const QUEUED: usize = 128 * MIB;
/// What the allocator keeps for ten seconds after it was freed, and the buffers
/// that worker threads lend: it does not grow with the queues.
const ALLOCATOR: usize = 16 * MIB;

struct Process {
    child: Child,
    plain: SocketAddr,
    admin: SocketAddr,
    _files: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_certus"))
            .args([
                "serve",
                "--listen-tls",
                "off",
                "--listen-plain",
                "127.0.0.1:0",
                "--listen-https",
                "off",
                "--listen-admin",
                "127.0.0.1:0",
            ])
            .args(["--set", &format!("queues.total_bytes={QUEUED}"), "--set", "log.level=error"])
            .args(["--certs-dir", "certs", "--state-dir", "data"])
            .current_dir(files.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut addresses = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            addresses.extend(line.split_whitespace().find_map(|word| word.parse::<SocketAddr>().ok()));
            if line == "ready" {
                break;
            }
        }
        Self { child, plain: addresses[0], admin: addresses[1], _files: files }
    }

    /// The value of a metric.
    fn metric(&self, name: &str) -> usize {
        let mut socket = TcpStream::connect(self.admin).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} in {text}")).parse::<f64>().unwrap() as usize
    }

    /// Resident bytes now, and the most that they ever were.
    fn memory(&self) -> (usize, usize) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = |key| status.lines().find_map(|line: &str| line.strip_prefix(key)).unwrap();
        let kib = |key| value(key).trim().trim_end_matches(" kB").parse::<usize>().unwrap();
        (kib("VmRSS:") * 1024, kib("VmHWM:") * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_thousand_subscribers_that_stop_reading_hold_no_more_than_is_charged_and_a_fifth() {
    let broker = Process::start();
    let mut hears = Peer::connect(broker.plain, &Hello::new("hears"));
    hears.subscribe("witness", Qos::AtLeastOnce);
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            // What the kernel takes is not the broker's, and not bounded by it.
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(&broker.plain.into()).unwrap();
            let mut peer = Peer::over(socket.into());
            peer.greet(&Hello::new(&format!("deaf-{number}")));
            peer.subscribe("deaf", Qos::AtMostOnce);
            peer
        })
        .collect();
    let (before, _) = broker.memory();
    let mut says = Peer::connect(broker.plain, &Hello::new("says"));
    let turn = publish(Version::V5, "deaf", Qos::AtMostOnce, 0, &[3; 1024]).repeat(20);
    let (mut charged, mut most) = (0, 0);
    for round in 0..60_u16 {
        (0..20).for_each(|_| says.send(&turn).unwrap());
        says.publish("witness", Qos::AtLeastOnce, round + 1, b"word");
        says.acknowledgement();
        assert_eq!(hears.message().payload, b"word", "a client that reads is served");
        charged = charged.max(broker.metric("certus_queued_bytes"));
        most = most.max(broker.memory().0);
    }
    let dropped = broker.metric("certus_messages_dropped_total{cause=\"node_full\"}");
    println!(
        "{READERS} stopped readers: charged {} MiB, resident {} MiB more than {} MiB, at most {} MiB; {dropped} dropped",
        charged / MIB,
        (most - before) / MIB,
        before / MIB,
        broker.memory().1 / MIB
    );
    assert!(dropped > 0, "the bound was never met");
    assert!(charged <= QUEUED + QUEUED / 20, "{} MiB are charged", charged / MIB);
    let more = most - before;
    assert!(more <= charged + charged / 5 + ALLOCATOR, "{} MiB for {} MiB charged", more / MIB, charged / MIB);
    drop(readers);
}
