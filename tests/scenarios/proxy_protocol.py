"""Behind a load balancer: PROXY protocol 2 from listed sources, and from nobody else."""

import socket
import struct
import time

from support import wire
from support.scenario import tenant
from support.web import behind

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LISTENERS = """
[limits]
handshake_timeout = "800 ms"
max_connections_per_address = 2
[listeners]
tls = [{{ bind = "127.0.0.1:1", default_tenant = "lab", proxy_protocol = [{listed}] }}]
plain = [{{ bind = "127.0.0.1:2", default_tenant = "lab", proxy_protocol = [{listed}] }}]
"""


def header(source, port=40001, command=0x21, more=b""):
    """What a balancer says for a client at `source`."""
    if ":" in source:
        family, body = 0x21, socket.inet_pton(socket.AF_INET6, source) * 2
    else:
        family, body = 0x11, socket.inet_aton(source) * 2
    body += struct.pack(">HH", port, 8883) + more
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


def run(t):
    root = t.pki.root("lab-ca")
    oven, kiln, first = (t.pki.leaf(root, name) for name in ("oven", "kiln", "first"))
    lab = tenant("lab", "open", root, plain_listener="on")
    broker = t.certus(LISTENERS.format(listed='"10.0.0.0/8", "127.0.0.1"') + lab)

    def through(says, pair, client_id):
        raw = behind(says, broker.tls, broker.ca, pair.cert, pair.key)
        return raw, raw.connect(client_id)

    before = broker.mark()
    live, said = through(header("203.0.113.9", more=b"\x04\0\x05extra"), first, "first")
    t.ok(said, "CONNACK 0 sp 0", "a client behind the balancer comes in over TLS")
    t.check(broker.said(r'accepted .*"first" from 203\.0\.113\.9:40001', before), "under its own address")
    before = broker.mark()
    t.ok(through(header("2001:db8::7"), oven, "kiln")[1], "CONNACK 5 sp 0", "one behind IPv6 is refused by its ClientId")
    t.check(broker.said(r"cn_mismatch.*2001:db8::7", before), "and the refusal names its address")
    t.ok(through(header("127.0.0.1", command=0x20), kiln, "kiln")[1], "CONNACK 0 sp 0", "LOCAL: the balancer speaks for itself")

    seats = [through(header("198.51.100.1"), pair, pair.name)[1] for pair in (oven, kiln)]
    t.ok(seats, ["CONNACK 0 sp 0"] * 2, "an address has its share")
    held = [behind(header("198.51.100.2"), broker.tls, broker.ca, oven.cert, oven.key) for _ in range(2)]
    before = broker.mark()
    third = behind(header("198.51.100.2"), broker.tls, broker.ca, oven.cert, oven.key)
    t.matches(third.verdict, "NET", "and no more than its share")
    t.check(broker.said(r"too_many_connections.*198\.51\.100\.2", before), "which the log says of the address behind the balancer")
    t.ok(through(header("198.51.100.3"), kiln, "kiln")[1], "CONNACK 0 sp 0", "others behind the same balancer still come in")
    for raw in held:
        raw.close()

    for what, says, why in [
        ("no header", wire.connect_packet("x"), "proxy_header.*no PROXY header"),
        ("version 1", b"PROXY TCP4 203.0.113.9 127.0.0.1 1 2\r\n", "proxy_header.*version 1"),
        ("UDP", header("203.0.113.9").replace(b"\x21\x11", b"\x21\x12", 1), "proxy_header.*0x12"),
        ("a header of 60,000 bytes", SIGNATURE + b"\x21\x11" + struct.pack(">H", 60000), "proxy_header.*60000"),
        ("half a header", header("203.0.113.9")[:20], "timeout.*no PROXY header"),
    ]:
        before = broker.mark()
        raw = wire.Raw(broker.plain)
        raw.socket.sendall(says)
        t.check(raw.ended_within(2), f"{what}: closed")
        t.check(broker.said(why, before), f"{what}: the log says why", broker.log()[before:])
    before = broker.mark()
    socket.create_connection(("127.0.0.1", broker.plain)).close()
    time.sleep(0.2)
    t.ok(broker.log()[before:], [], "a balancer that only looks whether the port is open is not worth a line")
    raw = wire.Raw(broker.plain)
    raw.socket.sendall(header("203.0.113.9") + wire.connect_packet("early"))
    t.ok(raw.read_packet(), (0x20, b"\0\0"), "CONNECT may come with the header")
    t.check(live.alive(), "who came in before is still there")

    other = t.certus(LISTENERS.format(listed='"192.0.2.0/24"') + lab)
    before = other.mark()
    raw = wire.Raw(other.plain)
    raw.socket.sendall(header("203.0.113.9") + wire.connect_packet("x"))
    t.check(raw.ended_within(2), "a header from a source that is not listed is no CONNECT")
    t.check(other.said(r"protocol_error.*127\.0\.0\.1", before), "and nobody believes it")
    t.ok(t.verdict(other, oven, "oven"), "CONNACK 0 sp 0", "without a header such a source comes in")
