"""Trust changes while the broker runs (TRUST-11, TRUST-12, TLS-09, OPS): reload, resumption, expiry, a bad reload.

A second is promised from the moment that the broker has read the change; the clock here starts at the signal.
"""

import subprocess
import threading
import time

from support import wire
from support.broker import until
from support.scenario import tenant

SECOND = 1.5  # one second, and half of one for this machine to read the file and for us to see it


def resume(t, broker, pair, version, file, client_id):
    """One s_client conversation: (what TLS said, the CONNACK code or None). Saves its session, and takes up one that is there."""
    more = ["-sess_in", file] if file.exists() else []
    child = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"localhost:{broker.tls}", "-CAfile", broker.ca, "-cert", pair.cert, "-key", pair.key,
         version, "-ign_eof", "-sess_out", file, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = bytearray()
    reader = threading.Thread(target=read_into, args=(said, child.stdout), daemon=True)
    reader.start()
    try:
        child.stdin.write(wire.connect_packet(client_id))
        child.stdin.flush()
        until(lambda: b"\x20\x02" in bytes(said) or child.poll() is not None, 8)
        time.sleep(0.1)  # a ticket of TLS 1.3 comes behind the handshake
        child.stdin.write(b"\xe0\0")
        child.stdin.close()
    except BrokenPipeError:
        pass
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    reader.join(2)
    at = bytes(said).find(b"\x20\x02")
    return bytes(said).decode(errors="replace"), said[at + 3] if at >= 0 and len(said) > at + 3 else None


def read_into(said, stream):
    while chunk := stream.read1(65536):
        said.extend(chunk)


def run(t):
    kept, gone = t.pki.root("kept"), t.pki.root("gone")
    stays, goes = t.pki.leaf(kept, "stays"), t.pki.leaf(gone, "goes")
    both, one = tenant("lab", "open", kept, gone), tenant("lab", "open", kept)
    broker = t.certus(both)
    versions = {"-tls1_2": t.home / "session-12", "-tls1_3": t.home / "session-13"}

    for version, file in versions.items():
        _, code = resume(t, broker, goes, version, file, "goes")
        t.ok(code, 0, f"{version}: the first connection is admitted")
        said, code = resume(t, broker, goes, version, file, "goes")
        t.check("Reused, " in said, f"{version}: the second one resumes the session", said[:200])
        t.ok(code, 0, f"{version}: and is admitted")

    live_goes = t.live(broker, goes, "goes", will=("will/goes", "trust taken away", 1, False))
    live_stays = t.live(broker, stays, "stays")
    live_stays.subscribe("will/goes", 1)
    bad = broker.reload(both + "nonsense = true\n")
    t.matches(broker.said(r"nonsense", bad), r"config\.toml", "a bad file is refused, and the log names it and the key")
    t.check(live_goes.alive() and live_stays.alive(), "nobody is dropped by it")
    t.ok(t.verdict(broker, goes, "goes2"), "CONNACK 5 sp 0", "and the trust is what it was")

    broker.reload(one)
    t.check(live_goes.ended_within(SECOND), "a connection through the removed anchor ends within a second")
    t.check(live_stays.alive(), "the others stay")
    t.matches(live_stays.await_packet(3), "trust taken away", "its will is published")
    t.matches(t.verdict(broker, goes, "goes"), "^TLS", "a new connection is refused")
    for version, file in versions.items():
        said, code = resume(t, broker, goes, version, file, "goes")
        t.check(code != 0, f"{version}: a resumed session is refused", said[-300:])

    # A saved session of an admitted device goes on working across the change.
    broker.reload(both)
    t.check(until(lambda: t.verdict(broker, goes, "goes") == "CONNACK 0 sp 0"), "trusted again after another reload")

    disabled = tenant("lab", "open", kept, (gone, {"status": "disabled"}))
    live_goes = t.live(broker, goes, "goes")
    before = broker.reload(disabled)
    t.check(live_goes.ended_within(SECOND), "a connection through a disabled anchor ends within a second")
    t.matches(t.verdict(broker, goes, "goes"), "^TLS", "and is refused again")
    t.check(broker.said(r"anchor_disabled", before), "the log says that the anchor is disabled")

    renew(t, broker, live_stays, disabled)
    expire(t)


def renew(t, broker, live, config):
    """The server's certificate is exchanged without dropping anybody."""
    fingerprint = lambda: t.sh("openssl", "s_client", "-connect", f"localhost:{broker.tls}", stdin=b"")[1].split("BEGIN CERTIFICATE")[-1][:200]
    old = fingerprint()
    other = t.pki.root("server-root")
    server = t.pki.leaf(other, "localhost", name="new-server", usage="serverAuth", more="subjectAltName=DNS:localhost\n")
    (broker.certs / "server.pem").write_bytes(server.cert.read_bytes())
    (broker.certs / "server.key").write_bytes(server.key.read_bytes())
    broker.reload(config)
    t.check(until(lambda: fingerprint() != old, 3), "a reload shows the new server certificate")
    t.check(live.alive(), "and drops nobody")


def expire(t):
    """A certificate of two days, and a clock that is moved by three."""
    ca = t.pki.root("clock-root")
    short, long = t.pki.leaf(ca, "short", days=2), t.pki.leaf(ca, "long", days=30)
    clock = t.home / "offset"
    clock.write_text("0")
    broker = t.certus(f'test_clock = "{clock}"\n' + tenant("lab", "open", ca))
    live_short, live_long = t.live(broker, short, "short"), t.live(broker, long, "long")
    before = broker.mark()
    clock.write_text(str(3 * 86400))
    t.check(live_short.ended_within(4), "a connection ends when its certificate does")
    t.check(live_long.alive(), "one whose certificate lasts stays")
    t.matches(t.verdict(broker, short, "short"), "^TLS .*EXPIRED", "an expired certificate is refused with its alert")
    t.check(broker.said(r"\bexpired\b", before), "and the log names the reason")
