"""AS-29: hostile input (SEC-03, MQTT-CON-02/04, TLS-11): refused with its reason, and the broker stays up."""

import contextlib
import random
import socket
import ssl

from support import wire
from support.pki import Pair, openssl
from support.scenario import NO_TENANT, tenant
from support.wire import packet, text

QUICK = '[limits]\nhandshake_timeout = "1500 ms"\nconnect_timeout = "1500 ms"\nmax_refusal_lines = 10000\n'
CONNECT = wire.connect_packet("mallory")
CONNECT5 = wire.connect_packet("mallory", level=5)
HEAD = text("MQTT") + b"\x04"

# In front of CONNECT, or in its place.
STRANGERS = {
    "nothing but zeros": b"\0" * 64,
    "packet type 15 of 3.1.1": b"\xf0\0",
    "PINGREQ": b"\xc0\0",
    "PUBLISH": packet(0x30, text("a") + b"x"),
    "CONNACK": b"\x20\x02\0\0",
    "wrong flags of CONNECT": b"\x11" + CONNECT[1:],
    "a length of five bytes": b"\x10\xff\xff\xff\xff\x01",
    "a length that is too long for its value": b"\x10\x80\x80\x00",
    "another protocol name": packet(0x10, text("MQTX") + b"\x04\x02\0\x3c" + text("a")),
    "no protocol name": packet(0x10, b"\0\0\x04\x02\0\x3c" + text("a")),
    "the reserved flag": packet(0x10, HEAD + b"\x03\0\x3c" + text("a")),
    "will QoS without a will": packet(0x10, HEAD + b"\x0a\0\x3c" + text("a")),
    "will retain without a will": packet(0x10, HEAD + b"\x22\0\x3c" + text("a")),
    "will QoS 3": packet(0x10, HEAD + b"\x1e\0\x3c" + text("a") + text("w") + text("x")),
    "a will topic with a wildcard": wire.connect_packet("a", will=("w/#", "x", 0, False)),
    "a password without a user": packet(0x10, HEAD + b"\x42\0\x3c" + text("a") + text("x")),
    "a ClientId that is cut off": packet(0x10, HEAD + b"\x02\0\x3c\0\x09abc"),
    "bytes behind the ClientId": packet(0x10, HEAD + b"\x02\0\x3c" + text("a") + b"more"),
    "bad UTF-8 as ClientId": packet(0x10, HEAD + b"\x02\0\x3c" + text(b"\xc0\xaf")),
    "a surrogate as ClientId": packet(0x10, HEAD + b"\x02\0\x3c" + text(b"\xed\xa0\x80")),
    "U+0000 in the ClientId": packet(0x10, HEAD + b"\x02\0\x3c" + text(b"a\0b")),
    "an unknown property": wire.connect_packet("a", level=5, properties=b"\x7f\0"),
    "receive maximum 0": wire.connect_packet("a", level=5, properties=b"\x21\0\0"),
    "a property twice": wire.connect_packet("a", level=5, properties=b"\x11\0\0\0\1\x11\0\0\0\1"),
    "more properties than there are": packet(0x10, text("MQTT") + b"\x05\x02\0\x3c\x7f" + text("a")),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
    "a ClientHello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 32,
    "70 KiB of CONNECT": b"\x10\x80\x98\x04" + HEAD + b"\x02\0\x3c" + text("a" * 60000) + b"b" * 10000,
}
# Behind a CONNECT that was accepted.
ROWDIES = {
    "a second CONNECT": CONNECT,
    "a packet of servers": b"\x20\x02\0\0",
    "SUBACK": b"\x90\x03\0\1\0",
    "type 0": b"\0\0",
    "QoS 3": packet(0x36, text("a") + b"\0\1x"),
    "DUP with QoS 0": packet(0x38, text("a") + b"x"),
    "packet id 0": packet(0x32, text("a") + b"\0\0x"),
    "a topic with a wildcard": packet(0x30, text("a/#") + b"x"),
    "an empty topic": packet(0x30, b"\0\0x"),
    "U+0000 in a topic": packet(0x30, text(b"a\0") + b"x"),
    "bad UTF-8 in a topic": packet(0x30, text(b"\xff\xfe") + b"x"),
    "a topic longer than the packet": packet(0x30, b"\0\xffabc"),
    "PUBLISH without packet id": packet(0x32, text("a")),
    "wrong flags of SUBSCRIBE": packet(0x80, b"\0\1" + text("a") + b"\0"),
    "an empty SUBSCRIBE": packet(0x82, b"\0\1"),
    "SUBSCRIBE with packet id 0": packet(0x82, b"\0\0" + text("a") + b"\0"),
    "SUBSCRIBE with QoS 3": packet(0x82, b"\0\1" + text("a") + b"\3"),
    "SUBSCRIBE to an empty filter": packet(0x82, b"\0\1\0\0\0"),
    "SUBSCRIBE to a/#/b": packet(0x82, b"\0\1" + text("a/#/b") + b"\0"),
    "SUBSCRIBE to a+": packet(0x82, b"\0\1" + text("a+") + b"\0"),
    "an empty UNSUBSCRIBE": packet(0xA2, b"\0\1"),
    "wrong flags of PUBREL": b"\x60\x02\0\1",
    "PUBACK of one byte": b"\x40\x01\0",
    "PINGREQ with a body": b"\xc0\x01\0",
    "wrong flags of DISCONNECT": b"\xe1\0",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
}
ROWDIES5 = {
    "a topic alias of 0": packet(0x30, text("a") + b"\3\x23\0\0" + b"x"),
    "a topic alias beyond the maximum": packet(0x30, text("a") + b"\3\x23\xff\xff" + b"x"),
    "a topic alias that was never set": packet(0x30, b"\0\0\3\x23\0\1" + b"x"),
    "a subscription identifier of 0": packet(0x82, b"\0\1\2\x0b\0" + text("a") + b"\0"),
    "reserved bits of the options": packet(0x82, b"\0\1\0" + text("a") + b"\xc0"),
    "no-local on a shared subscription": packet(0x82, b"\0\1\0" + text("$share/g/a") + b"\4"),
    "AUTH out of nowhere": b"\xf0\x02\x18\0",
    "a payload that is not the UTF-8 it claims": packet(0x30, text("a") + b"\2\1\2" + b"\xff"),
}


def packets(t, broker, door):
    """What must close the connection, over each kind of `door`."""
    for level, connect, rows in ((4, CONNECT, ROWDIES), (5, CONNECT5, ROWDIES5)):
        for name, raw in rows.items():
            mark, one = broker.mark(), door()
            one.socket.sendall(connect)
            accepted = one.read_packet()
            t.check(accepted and accepted[:1] == (0x20,) and accepted[1][1] == 0, f"level {level}, {name}: connected")
            one.socket.sendall(raw)
            t.check(one.ended_within(3), f"level {level}, {name}: closed")
            t.check(broker.said(r'WARN .*client_id="mallory".*reason="', mark), f"level {level}, {name}: the log says why", broker.log()[mark:])
    for name, raw in STRANGERS.items():
        mark, one = broker.mark(), door()
        with contextlib.suppress(OSError):  # it may close before it has read all of it
            one.socket.sendall(raw)
        t.check(one.ended_within(3), f"{name}: closed")
        t.check(broker.said(r"refused at \w+: \w+: ", mark), f"{name}: the log says why", broker.log()[mark:])


def noise(t, broker):
    """Packets with a few bytes changed: no answer is expected, only that others are served."""
    chance = random.Random(29)
    good = [CONNECT, CONNECT5, *STRANGERS.values(), *ROWDIES.values(), *ROWDIES5.values()]
    for _ in range(300):
        raw = bytearray(chance.choice((CONNECT, CONNECT5, b"")) + chance.choice(good) + chance.choice(good))
        for _ in range(chance.randrange(4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        with socket.create_connection(("127.0.0.1", broker.plain), 5) as one:
            one.sendall(raw)
    t.ok(wire.verdict(broker.plain, "after-noise"), "CONNACK 0 sp 0", "300 connections of noise later others are served")


def client_hello():
    out = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def half_open(t, broker, pair):
    hello, mark = client_hello(), broker.mark()
    waiting = []
    for what, raw in [("silence", b""), ("half a ClientHello", hello[:50]), ("a ClientHello and silence", hello), ("a head alone", hello[:3])]:
        one = wire.Raw(broker.tls)
        one.socket.sendall(raw)
        waiting.append((what, one))
    crowd = [socket.create_connection(("127.0.0.1", broker.tls), 5) for _ in range(100)]
    for one in crowd[:50]:
        one.sendall(hello[:50])
    t.ok(t.verdict(broker, pair, pair.name), "CONNACK 0 sp 0", "with 100 half-open handshakes a good one gets through")
    shaken = t.live(broker, pair, pair.name, want="CONNACK 0 sp 0")
    mute = wire.Raw(broker.tls, ca=broker.ca, cert=pair.cert, key=pair.key)
    slow = wire.Raw(broker.tls, ca=broker.ca, cert=pair.cert, key=pair.key)
    slow.socket.sendall(CONNECT[:5])
    for what, one in [*waiting, ("TLS without CONNECT", mute), ("TLS and half a CONNECT", slow)]:
        t.check(one.ended_within(4), f"{what}: closed")
    t.check(broker.said(r"refused at handshake: timeout", mark), "the log says timeout for handshakes")
    t.check(broker.said(r"refused at connect: timeout", mark), "and for CONNECT", broker.log()[mark:])
    t.check(shaken.alive(), "who was connected is served all the while")
    for one in crowd:
        one.close()
    for what, raw in [("random bytes", random.Random(7).randbytes(500)), ("HTTP", b"GET / HTTP/1.1\r\n\r\n"), ("MQTT without TLS", CONNECT),
                      ("a ClientHello of SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\1" * 37)]:
        mark, one = broker.mark(), wire.Raw(broker.tls)
        one.socket.sendall(raw)
        t.check(one.ended_within(3), f"{what} on the TLS port: closed")
        t.check(broker.said(r"refused at handshake: (tls|timeout)", mark), f"{what}: the log says why", broker.log()[mark:])


def certificates(t, broker, c8y):
    """What the profile cumulocity must refuse, and the reason in the audit line."""
    pki = t.pki
    chain = [pki.intermediate(c8y, "deep0")]
    for n in range(1, 9):
        chain.insert(0, pki.intermediate(chain[0], f"deep{n}"))
    deep = pki.leaf(chain[0], "deep-pump")
    old = pki.leaf(c8y, "sub-v1", version=1)
    sha1 = pki.leaf(c8y, "sha1-pump")
    openssl("x509", "-req", "-in", pki.directory / "sha1-pump.csr", "-CA", c8y.cert, "-CAkey", c8y.key, "-set_serial", "77", "-days", "9",
            "-sha1", "-extfile", pki.directory / "sha1-pump.ext", "-out", sha1.cert)
    rows = [
        ("a chain of ten certificates", deep, chain[:9], "chain_too_long"),
        ("a CA of version 1 between", pki.leaf(old, "old-pump", version=1), [old], "not_ca|unknown_issuer"),
        ("a SHA-1 signature", sha1, [], "weak_signature"),
        ("RSA of 1024 bits", pki.leaf(c8y, "weak-pump", kind="1024"), [], "weak_key"),
        ("CA:TRUE", pki.intermediate(c8y, "ca-pump"), [], "ca_leaf"),
        ("serverAuth only", pki.leaf(c8y, "server-pump", usage="serverAuth"), [], "eku"),
    ]
    for name, leaf, above, reason in rows:
        mark = broker.mark()
        sent = leaf.chain_with(*above, name=f"{leaf.name}-sent")
        t.matches(t.verdict(broker, leaf, f"d:{leaf.name}", chain=sent), "^TLS", f"{name}: refused in the handshake")
        t.check(broker.said(rf"refused at handshake: ({reason}): .*remedy", mark), f"{name}: {reason}", broker.log()[mark:])
    names = [
        ("a CN with a trailing blank", pki.leaf(c8y, "blank", subject="/CN=blank-pump "), "d:blank-pump", "cn_mismatch"),
        ("two CNs, the first", pki.leaf(c8y, "two", subject="/CN=one-pump/CN=two-pump"), "d:one-pump", "cn_missing|cn_mismatch"),
        ("two CNs, the second", Pair(pki.directory, "two"), "d:two-pump", "cn_missing|cn_mismatch"),
        ("no CN", pki.leaf(c8y, "nobody", subject="/O=Borealis"), "d:nobody", "cn_missing"),
        ("an empty ClientId behind it", Pair(pki.directory, "nobody"), "", "cn_missing|client_id"),
    ]
    for name, leaf, client_id, reason in names:
        mark = broker.mark()
        t.matches(t.verdict(broker, leaf, client_id), r"^(CONNACK [25] sp 0|TLS)", f"{name}: refused")
        t.check(broker.said(rf"refused at \w+: ({reason}): .*remedy", mark), f"{name}: {reason}", broker.log()[mark:])


def a_ca_of_version_1(t):
    pair = Pair(t.pki.directory, "v1-ca")
    t.pki.key(pair.key)
    openssl("req", "-new", "-key", pair.key, "-subj", "/CN=v1-ca", "-out", t.pki.directory / "v1-ca.csr")
    openssl("x509", "-req", "-in", t.pki.directory / "v1-ca.csr", "-signkey", pair.key, "-days", "9", "-sha256", "-out", pair.cert)
    code, said = t.certus(NO_TENANT + tenant("t2250", "cumulocity", pair), start=False).fails()
    t.ok(code, 2, "an anchor of version 1 in cumulocity keeps the broker from starting")
    t.matches(said, r"v1-ca.*version 1|version 1.*v1-ca", "and is named")


def run(t):
    lab, c8y = t.pki.root("lab-ca"), t.pki.root("c8y-ca")
    mallory, oven, pump = t.pki.leaf(lab, "mallory"), t.pki.leaf(lab, "oven"), t.pki.leaf(c8y, "pump-0042")
    config = QUICK + NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open", lab)
    broker = t.certus(config + tenant("t2250", "cumulocity", (c8y, {"auto_registration": True})))

    packets(t, broker, lambda: wire.Raw(broker.plain))
    packets(t, broker, lambda: wire.Raw(broker.tls, ca=broker.ca, cert=mallory.cert, key=mallory.key))
    noise(t, broker)
    half_open(t, broker, oven)
    certificates(t, broker, c8y)
    a_ca_of_version_1(t)

    t.ok(t.verdict(broker, pump, "d:pump-0042"), "CONNACK 0 sp 0", "a good device connects after all this")
    t.check(broker.process.child.poll() is None, "the broker is the same process")
    t.check(not any("panicked" in line for line in broker.log()), "and nothing in it panicked")
