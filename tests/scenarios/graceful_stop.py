"""SIGTERM (SYS-08): accept no more, say why, publish wills, exit 0 within ten seconds whatever the clients do."""

import signal
import socket
import subprocess
import time

from support import wire
from support.broker import until
from support.scenario import tenant


def stopped(broker, signals=1):
    """(exit code, seconds) of a stop."""
    begun = time.monotonic()
    for _ in range(signals):
        broker.process.child.send_signal(signal.SIGTERM)
    try:
        return broker.process.finish(15), time.monotonic() - begun
    except subprocess.TimeoutExpired:
        return None, 15


def run(t):
    root = t.pki.root("ca")
    sensor, mosquitto = t.pki.leaf(root, "sensor"), t.pki.leaf(root, "mosquitto")
    config = tenant("lab", "open", root)
    said_goodbye(t, t.certus(config), sensor, mosquitto)
    nobody_holds_it_up(t, t.certus(config))
    told_twice(t, t.certus(config))


def said_goodbye(t, broker, sensor, mosquitto):
    new = t.live(broker, sensor, "sensor", level=5)
    old = wire.Raw(broker.plain)
    old.connect("old", will=("wills/old", "gone", 1, False))
    tool = subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", "-d", "-V", "5", "-h", "localhost", "-p", str(broker.tls), "--cafile", broker.ca, "--cert", mosquitto.cert,
         "--key", mosquitto.key, "-i", "mosquitto", "-t", "x"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in tool.stdout:
        if line.startswith("Subscribed"):
            break
    code, seconds = stopped(broker)
    t.ok(code, 0, "the broker exits with 0")
    t.check(seconds < 3, "at once", seconds)
    got = new.read_packet()
    t.check(got and got[0] == 0xE0 and got[1][0] == 0x8B, "a client of 5.0 is told that the server shuts down", got)
    t.check(new.ended_within(1), "and its connection ends")
    t.check(old.ended_within(1), "that of 3.1.1 ends too")
    tool.terminate()
    words = tool.communicate(timeout=5)[0]
    t.matches(words, r"DISCONNECT \(139\)|Server shutting down", "mosquitto_sub understands it")
    t.matches(wire.verdict(broker.plain, "late"), "NET", "nobody is let in any more")
    t.check(broker.said("stopping"), "the log says so")


def nobody_holds_it_up(t, broker):
    """Those who wait, hang, or do not read."""
    silent = socket.create_connection(("127.0.0.1", broker.plain), 5)
    hanging = socket.create_connection(("127.0.0.1", broker.tls), 5)
    hanging.sendall(b"\x16\x03\x01\x01\x00")
    deaf = wire.Raw(broker.plain)
    deaf.connect("deaf")
    deaf.subscribe("flood", 1)
    flood = wire.Raw(broker.plain)
    flood.connect("flood")
    flood.socket.settimeout(0.3)
    piece = wire.packet(0x30, wire.text("flood") + bytes(60_000))
    try:
        for _ in range(400):
            flood.socket.sendall(piece)
    except TimeoutError:
        pass
    asking = socket.create_connection(("127.0.0.1", broker.admin), 5)
    code, seconds = stopped(broker)
    t.ok(code, 0, "with clients that hang the broker exits with 0 as well")
    t.check(seconds < 3, "and at once", seconds)
    for client in (silent, hanging, deaf, flood, asking):
        client.close()


def told_twice(t, broker):
    clients = [wire.Raw(broker.plain) for _ in range(20)]
    for at, client in enumerate(clients):
        client.connect(f"c{at}")
    code, seconds = stopped(broker, signals=2)
    t.check(code in (0, 1) and seconds < 3, "a second signal insists", (code, seconds))
    t.check(until(lambda: all(client.ended_within(1) for client in clients)), "and everybody is gone")
