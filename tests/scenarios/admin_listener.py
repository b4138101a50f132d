"""Health, readiness and metrics over HTTP (OPS-01): what is counted is what happened."""

import json
import re
import socket
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

from support import wire
from support.broker import until
from support.scenario import tenant


def ask(broker, path):
    """(status, body) of a GET."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.admin}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def numbers(broker):
    lines = (line.rsplit(" ", 1) for line in ask(broker, "/metrics")[1].splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def run(t):
    root, stranger = t.pki.root("ca"), t.pki.root("stranger-ca")
    sensor, other = t.pki.leaf(root, "sensor"), t.pki.leaf(stranger, "other")
    broker = t.certus("[queues]\noffline_messages = 5\n" + tenant("lab", "open", root))

    t.ok(ask(broker, "/healthz"), (200, "alive\n"), "it is alive")
    status, body = ask(broker, "/readyz")
    ready = json.loads(body)
    t.ok((status, ready["ready"], ready["reasons"]), (200, True, []), "it is ready")
    t.ok({entry["name"]: entry["address"] for entry in ready["listeners"]},
         {"tls": f"127.0.0.1:{broker.tls}", "plain": f"127.0.0.1:{broker.plain}", "https": f"127.0.0.1:{broker.https}"}, "it says where it listens")
    t.ok(ask(broker, "/nothing")[0], 404, "there is nothing else")

    text = ask(broker, "/metrics")[1]
    described = re.findall(r"^# TYPE (\S+)", text, re.M)
    t.ok(len(described), len(set(described)), "every family is described once")
    families = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if not line.startswith("#")}
    t.ok(families - set(described), set(), "and every number belongs to one")

    complete = tomllib.loads((Path(__file__).parents[2] / "config.toml").read_text())
    keys = {f"{table}.{key}" for table in ("limits", "session", "queues", "https") for key in complete[table]}
    t.ok(keys - set(re.findall(r'^certus_bound{key="(.+)"}', text, re.M)), set(), "every bound of config.toml is shown")

    live = t.live(broker, sensor, "sensor")
    reader = wire.Raw(broker.plain)
    reader.connect("reader")
    reader.subscribe("a/#", 1)
    now = numbers(broker)
    t.ok(now['certus_clients{tenant="lab",listener="tls"}'], 1, "one client over TLS")
    t.ok(now['certus_clients{tenant="lab",listener="plain"}'], 1, "one without")
    t.ok(now['certus_handshakes_total{verdict="full"}'], 1, "one full handshake")
    live.publish("a/b", "one", 1)
    live.publish("a/b", "two", 0)
    reader.await_packet(3), reader.await_packet(3)
    now = numbers(broker)
    t.ok([now[f'certus_messages_received_total{{qos="{qos}"}}'] for qos in (0, 1, 2)], [1, 1, 0], "messages in by QoS")
    t.ok([now[f'certus_messages_sent_total{{qos="{qos}"}}'] for qos in (0, 1, 2)], [1, 1, 0], "messages out by QoS")

    t.verdict(broker, other, "other")
    wire.verdict(broker.tls, "nobody", ca=broker.ca)
    now = numbers(broker)
    t.ok(now['certus_refusals_total{reason="unknown_issuer"}'], 1, "a refusal by its reason")
    t.ok(now['certus_handshakes_total{verdict="failed"}'], 2, "and two handshakes that failed")

    keeper = wire.Raw(broker.plain)
    keeper.connect("keeper", clean=False)
    keeper.subscribe("kept", 1)
    keeper.socket.sendall(b"\xe0\0")
    keeper.ended_within(2)
    for _ in range(8):
        live.publish("kept", "x", 1)
    now = numbers(broker)
    t.ok(now['certus_queue_messages{place="store"}'], 5, "what waits for a client that is away")
    t.ok(now['certus_messages_dropped_total{cause="queue_full"}'], 3, "and what its queue had no room for")
    t.ok(now['certus_bound{key="queues.offline_messages"}'], 5, "the bound stands beside it")

    keeper = wire.Raw(broker.plain)
    keeper.connect("keeper", clean=True)
    for client in (keeper, live, reader):
        client.socket.sendall(b"\xe0\0")
        client.ended_within(2)
    rest = {f'certus_queue_{unit}{{place="{place}"}}': 0 for unit in ("messages", "bytes") for place in ("ring", "store")}
    rest |= dict.fromkeys(("certus_connections", "certus_sessions", "certus_subscriptions", "certus_parcel_bytes", "certus_handshakes_in_progress"), 0)
    left = lambda: {name: value for name, value in numbers(broker).items() if name in rest and value}  # noqa: E731
    t.check(until(lambda: not left(), 3), "when everybody is gone nothing is left in any gauge", left())
    now = numbers(broker)
    t.ok(now["certus_connections_accepted_total"], now["certus_connections_closed_total"], "every connection was closed")

    with socket.create_connection(("127.0.0.1", broker.admin), 5) as long:
        long.sendall(b"GET /" + b"x" * 40_000)
        t.check(b"HTTP/1.1 4" in long.recv(100), "an endless request is refused")
    with socket.create_connection(("127.0.0.1", broker.admin), 5) as post:
        post.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        t.check(b"405" in post.recv(100), "nothing can be changed here")

    off = t.certus(tenant("lab", "open", root), start=False)
    port, off.admin = off.admin, None
    off.start()
    t.check(wire.Raw(port).verdict, "off means that nobody listens")
    again = t.certus(tenant("lab", "open", root), start=False)
    again.admin = broker.admin
    code, said = again.fails()
    t.ok(code, 1, "an address in use is a failed start")
    t.matches(said, r"admin: cannot listen on .*--listen-admin", "that says what to do")

    # A disk that fails: only a debug build has that double; `tests/run slow` comes by with one.
    latched = t.certus('[storage]\nslow_store = "fail-after:1"\n' + tenant("lab", "open", root), start=False)
    if "test double of debug builds" in t.sh(t.binary, "check-config", "--config", latched.file, "--certs-dir", latched.certs)[1]:
        return
    latched.start()
    client = wire.Raw(latched.plain)
    client.connect("c")
    client.publish("a", "x", 0, retain=True)
    client.publish("a", "y", 0, retain=True)
    client.publish("a", "z", 0, retain=True)
    client.alive()
    status, body = ask(latched, "/readyz")
    t.ok((status, json.loads(body)["ready"]), (503, False), "a store that failed makes the broker unready")
    t.matches(body, "failed sync", "and that is the reason given")
