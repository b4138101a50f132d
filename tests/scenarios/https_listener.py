"""The HTTPS listener: its certificate, whom it asks for one, its bounds, MQTT over WebSocket, reload and stop (SYS-03)."""

import socket
import ssl

from support import wire
from support.broker import until
from support.scenario import tenant
from support.web import Web

BOUNDS = '[https]\nhead_timeout = "600 ms"\nhandshake_timeout = "600 ms"\nmax_connections_per_address = 4\n'


def context(broker, pair=None):
    tls = ssl.create_default_context(cafile=str(broker.ca))
    if pair:
        tls.load_cert_chain(pair.cert, pair.key)
    return tls


def ask(broker, path, pair=None, host="localhost", method="GET", more="", port=None):
    """(status, fields, body) of one request over TLS."""
    with socket.create_connection(("127.0.0.1", port or broker.https), 5) as plain, \
            context(broker, pair).wrap_socket(plain, server_hostname="localhost") as stream:
        stream.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode())
        said = b""
        while more := stream.recv(65536):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return int(status.split(" ")[1]), dict(line.lower().split(": ", 1) for line in fields), body.decode()


def is_asked(t, broker, *flags):
    """Whether openssl is asked for a certificate, and what names it is given."""
    said = t.sh("openssl", "s_client", "-connect", f"127.0.0.1:{broker.https}", "-CAfile", broker.ca, *flags, stdin=b"")[1]
    if "No client certificate CA names sent" in said and "Requested Signature Algorithms" not in said:
        return []
    return [line.strip() for line in said.split("Acceptable client certificate CA names\n")[-1].split("Requested")[0].splitlines()]


def run(t):
    root, stranger = t.pki.root("ca"), t.pki.root("stranger-ca")
    sensor, other = t.pki.leaf(root, "sensor"), t.pki.leaf(stranger, "other")
    config = BOUNDS + tenant("lab", "open", root)
    broker = t.certus(config)

    t.ok(ask(broker, "/healthz")[::2], (200, "alive\n"), "it is alive, without a certificate")
    t.ok(ask(broker, "/healthz", host="gateway.eu1.example")[0], 200, "under any name")
    for pair, whose in ((sensor, "a good certificate"), (other, "one of a stranger")):
        t.ok(ask(broker, "/healthz", pair)[0], 200, f"with {whose} as well")
    status, fields, text = ask(broker, "/broker-ca.pem")
    t.ok((status, text.replace("\n", "")), (200, broker.ca.read_text().replace("\n", "")), "it hands out the CA that it is verified under")
    t.ok(ask(broker, "/ca-cert.pem")[2], text, "under its other name, too")
    t.ok(ask(broker, "/nothing")[0], 404, "and knows what it has not")
    names = is_asked(t, broker)
    t.check(names and "CN" in names[0], "a tool is asked for a certificate of an anchor", names)

    raw = Web(broker.https, ca=broker.ca, cert=sensor.cert, key=sensor.key)
    t.ok(raw.connect("sensor"), "CONNACK 0 sp 0", "MQTT over WebSocket with a certificate")
    raw.subscribe("a", 1)
    raw.publish("a", "x" * 3000, 1)
    t.check(raw.await_packet(3).endswith(b"x" * 3000), "carries messages")
    t.check("HTTP 4" in str(Web(broker.https, ca=broker.ca, opening=b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n").verdict), "a bare GET is told what is missing")
    for pair, name, want in ((other, "other", "CONNACK 5"), (None, "nobody", "CONNACK 5")):
        files = {"cert": pair.cert, "key": pair.key} if pair else {}
        web = Web(broker.https, ca=broker.ca, **files)
        t.matches(web.connect(name), want, f"{name} gets no session there")
        web.close()
    t.check(broker.said("listener=https.*reason|refused at connect.*listener=https"), "and the log says why")

    # Bounds.
    with socket.create_connection(("127.0.0.1", broker.https), 5) as silent:
        t.ok(silent.recv(1), b"", "who shakes no hands is closed")
    with socket.create_connection(("127.0.0.1", broker.https), 5) as plain, context(broker).wrap_socket(plain, server_hostname="localhost") as half:
        half.sendall(b"GET /healthz HTT")
        half.settimeout(5)
        t.ok(half.recv(100), b"", "half a request is ended")
    with socket.create_connection(("127.0.0.1", broker.https), 5) as plain, context(broker).wrap_socket(plain, server_hostname="localhost") as long:
        long.settimeout(5)
        # Whoever is still writing may see the end of the stream before the answer.
        try:
            sent = 0
            while sent < 1_000_000:
                sent += long.send(b"x" * 1000 if sent else b"GET /")
            said = long.recv(100)
        except OSError:
            said = b"HTTP/1.1 4, unread"
        t.check(b"HTTP/1.1 4" in said and sent < 1_000_000, "an endless request is refused", said)
    raw.close()
    many = [socket.create_connection(("127.0.0.1", broker.https), 5) for _ in range(5)]
    many[4].settimeout(3)
    t.ok(many[4].recv(1), b"", "the fifth connection of one address is closed at once")
    for one in many:
        one.close()

    # Reload: another anchor, then no question.
    broker.reload(BOUNDS + tenant("lab", "open", stranger))
    t.check(until(lambda: any("stranger" in name for name in is_asked(t, broker))), "a reload asks for the new anchor's certificates")
    raw = Web(broker.https, ca=broker.ca, cert=other.cert, key=other.key)
    t.ok(raw.connect("other"), "CONNACK 0 sp 0", "and lets them in")
    https = f'[listeners]\nhttps = {{ bind = "127.0.0.1:{broker.https}", client_certificates = "never" }}\n'
    broker.reload(BOUNDS + https + tenant("lab", "open", stranger))
    t.check(until(lambda: not is_asked(t, broker)), "client_certificates = \"never\" asks nobody")
    broker.reload(BOUNDS + https.replace("never", "tools") + tenant("lab", "open", (stranger, {"status": "disabled"})))
    t.check(broker.said("reloaded") and until(lambda: not is_asked(t, broker)), "without an enabled anchor nobody is asked")
    t.check(until(lambda: raw.ended_within(1)), "and the WebSocket under it was closed")
    before = broker.mark()
    code = broker.stop()
    t.ok(code, 0, "it stops in time")
    t.check(not any("panicked" in line for line in broker.process.err[before:]), "and in order")

    again = t.certus(tenant("lab", "open", root))
    clash = t.certus(tenant("lab", "open", root), start=False)
    clash.https = again.https
    code, said = clash.fails()
    t.matches(f"{code} {said}", r"1 .*https: cannot listen on .*--listen-https", "an address in use is a failed start that says what to do")
    off = t.certus('[listeners]\nhttps = "off"\n' + tenant("lab", "open", root), start=False)
    port, off.https = off.https, None
    off.start()
    t.check(wire.Raw(port).verdict, "off means that nobody listens")
