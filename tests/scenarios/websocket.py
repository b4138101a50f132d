"""MQTT over WebSocket (MQTT-WS-01, MQTT-WS-02, MQTT 5.0 §6, RFC 6455), and AS-26's certificate without a password.

The clients of tests/clients hold whole conversations over ws and wss; here is what they never do.
"""

import time

from support import wire
from support.scenario import NO_TENANT, tenant
from support.web import Web, frame, request

QUICK = '[limits]\nconnect_timeout = "700 ms"\n'


def closes_with(raw, code):
    """Whether the broker ends with this close frame and then the stream."""
    if not raw.ended_within(3):
        return "still open"
    codes = [int.from_bytes(payload[:2], "big") for opcode, payload in raw.socket.control if opcode == 8]
    return f"close {codes}" if codes != [code] else True


def requests(t, broker):
    port = broker.ws
    for what, opening, want in [
        ("another path", request("/"), "HTTP 404 there is nothing at"),
        ("no subprotocol", request(protocol=None), "HTTP 400 .*subprotocol mqtt"),
        ("another subprotocol", request(protocol="stomp"), "HTTP 400 .*subprotocol mqtt"),
        ("a page of another host", request(origin="https://evil.example"), "HTTP 403 .*origins"),
        ("plain HTTP", b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP 426"),
        ("no HTTP", wire.connect_packet("x"), "HTTP 400 .*MQTT without WebSocket"),
        ("a head of 9 KiB", b"GET /mqtt HTTP/1.1\r\nX: " + b"x" * 9000, "HTTP 431"),
    ]:
        before = broker.mark()
        raw = Web(port, opening=opening)
        t.matches(raw.verdict, want, f"{what} is refused")
        t.check(broker.said("websocket_request", before), f"{what}: the log says why")
        raw.close()
    for protocol, chosen in [("mqtt", "mqtt"), ("mqttv3.1", "mqttv3.1"), ("mqttv3.1, mqtt", "mqtt")]:
        raw = Web(port, opening=request(protocol=protocol))
        t.matches(raw.answer.lower(), f"sec-websocket-protocol: {chosen}(\r|$)", f"{protocol}: {chosen} is chosen")
        raw.close()
    raw = Web(port, opening=request("/mqtt?x=1", origin="http://localhost:3000"))
    t.ok(raw.connect("same-host"), "CONNACK 0 sp 0", "a page of the same host may connect")
    raw.close()


def frames(t, broker):
    raw = Web(broker.ws)
    whole = wire.connect_packet("frames") + wire.packet(0x82, b"\0\1" + wire.text("w/#") + b"\0")
    # One packet across frames, a ping between them, and two packets in the last frame.
    raw.socket.stream.sendall(frame(2, whole[:3], last=False) + frame(9, b"are you there") + frame(0, whole[3:], last=True))
    t.ok(raw.read_packet()[0], 0x20, "CONNACK answers a CONNECT that came in two frames")
    t.ok(raw.await_packet(9)[-1], 0, "what followed in the same frame is answered too")
    raw.socket.sendall(wire.packet(0x30, wire.text("w/1") + b"one") + wire.packet(0x30, wire.text("w/2") + b"two"))
    t.check(raw.await_packet(3).endswith(b"one") and raw.await_packet(3).endswith(b"two"), "several packets in one frame")
    both = [wire.packet(0x30, wire.text("w/4") + b"three"), wire.packet(0x30, wire.text("w/5") + b"four")]
    raw.socket.sendall(b"".join(both))
    t.ok([raw.socket.recv(0), raw.socket.recv(0)], both, "what leaves together has a frame for each packet: Paho C reads no second one")
    large = b"x" * 200_000
    raw.socket.sendall(wire.packet(0x30, wire.text("w/3") + large))
    t.check(raw.await_packet(3).endswith(large), "a packet of 200,000 bytes in one frame comes back whole")
    t.check((10, b"are you there") in raw.socket.control, "the ping has its pong", raw.socket.control)
    raw.socket.stream.sendall(frame(8, b"\x03\xe8bye"))
    t.ok(closes_with(raw, 1000), True, "a close frame is answered by one, and the stream ends")

    for what, bytes_, code in [
        ("a text frame", frame(1, b"hello"), 1003),
        ("a frame without a mask", b"\x82\x02\xc0\x00", 1002),
        ("an unknown type", frame(3, b""), 1002),
        ("a frame of 2^40 bytes", b"\x82\xff\0\0\1\0\0\0\0\0" + b"\0" * 4, 1009),
    ]:
        before = broker.mark()
        raw = Web(broker.ws)
        t.ok(raw.connect("breaker", will=("will/breaker", what, 0, False)), "CONNACK 0 sp 0", f"{what}: connected")
        raw.socket.stream.sendall(bytes_)
        t.ok(closes_with(raw, code), True, f"{what} ends the connection with {code}")
        t.check(broker.said("WebSocket|text frame", before), f"{what}: the log says why")
        raw = Web(broker.ws)
        raw.socket.stream.sendall(bytes_)
        t.ok(closes_with(raw, code), True, f"{what} in front of CONNECT does so too")
    raw = Web(broker.ws)
    raw.connect("leaver")
    raw.socket.sendall(b"\xe0\0")
    t.ok(closes_with(raw, 1000), True, "DISCONNECT is followed by a close frame")


def silence(t, broker):
    begun = time.monotonic()
    raw = wire.Raw(broker.ws)
    raw.socket.sendall(request()[:40])
    t.check(raw.ended_within(3), "half a request is not waited for")
    raw = Web(broker.ws)
    while time.monotonic() - begun < 4 and not raw.ended_within(0.2):
        try:
            raw.socket.stream.sendall(frame(9, b""))
        except OSError:
            break
    t.check(time.monotonic() - begun < 4, "pings do not take the place of CONNECT")
    raw = Web(broker.ws)
    raw.connect("pinger", keep_alive=1)
    begun = time.monotonic()
    while time.monotonic() - begun < 4 and not raw.ended_within(0.2):
        try:
            raw.socket.stream.sendall(frame(9, b""))
        except OSError:
            break
    t.check(1 < time.monotonic() - begun < 4, "pings of WebSocket do not keep an MQTT connection alive")


def certificates(t):
    lab, gone, c8y = t.pki.root("lab-ca"), t.pki.root("gone-ca"), t.pki.root("c8y-ca")
    oven, pump, device = t.pki.leaf(lab, "oven"), t.pki.leaf(gone, "pump"), t.pki.leaf(c8y, "device_x")
    # One wss listener knows its tenant; on the other one the chain's end tells it.
    t2250 = tenant("t2250", "cumulocity", (c8y, {"auto_registration": True})) + t.accounts(device_x=("secret", "device"))[1]
    listeners = NO_TENANT + 'wss = [{ bind = "127.0.0.1:1", default_tenant = "t2250" }, { bind = "127.0.0.1:2" }]\n'
    config = listeners + tenant("lab", "open", lab, gone) + t2250
    broker = t.certus(config, web=2)
    known, open_to_all = broker.wss, broker.wss2

    def over(port, pair, client_id, **kind):
        raw = Web(port, ca=broker.ca, cert=pair.cert, key=pair.key)
        return raw, raw.connect(client_id, **kind)

    live_oven, said = over(open_to_all, oven, "oven")
    t.ok(said, "CONNACK 0 sp 0", "wss with a certificate")
    t.ok(over(open_to_all, oven, "kiln")[1], "CONNACK 5 sp 0", "the ClientId is compared with it")
    live_pump, said = over(open_to_all, pump, "pump")
    t.ok(said, "CONNACK 0 sp 0", "another anchor")
    for port, which in ((known, "a listener of the tenant"), (open_to_all, "a listener of nobody")):
        t.ok(over(port, device, "d:device_x")[1], "CONNACK 5 sp 0", f"cumulocity takes no certificate over WebSocket ({which})")
        for pair in (None, device):
            raw = Web(port, ca=broker.ca, **({"cert": pair.cert, "key": pair.key} if pair else {}))
            said = raw.connect("d:device_x", user="t2250/device_x", password="secret")
            raw.socket.sendall(b"\xe0\0")
            raw.close()
            t.ok(said, "CONNACK 0 sp 0", f"it takes a password, {'with' if pair else 'without'} certificate ({which})")
    t.ok(t.verdict(broker, device, "d:device_x"), "CONNACK 0 sp 0", "and takes the certificate over TLS")
    broker.reload(listeners + tenant("lab", "open", lab) + t2250)
    t.check(live_pump.ended_within(1.5), "a connection through a removed anchor ends within a second on wss too")
    t.check(live_oven.alive(), "the others stay")
    broker.reload(listeners + tenant("lab", "open", lab, websocket="password_only") + t2250)
    t.check(live_oven.ended_within(1.5), "until their tenant takes no certificates over WebSocket any more")


def run(t):
    broker = t.certus(web=True)
    requests(t, broker)
    frames(t, broker)
    silence(t, t.certus(QUICK, web=True))
    certificates(t)
