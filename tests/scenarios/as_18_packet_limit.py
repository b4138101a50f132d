"""AS-18: the longest packet, counted from its first byte (MQTT-LIM-01)."""

from support import wire
from support.scenario import NO_TENANT, tenant

LIMIT = 16184
TOO_LARGE = 0x95


def publish(topic, length, qos=0, level=4):
    """A PUBLISH whose whole packet is `length` bytes long."""
    head = wire.text(topic) + (b"\0\7" if qos else b"") + (b"\0" if level == 5 else b"")
    whole = wire.packet(0x30 | qos << 1, head + b"x" * (length - 3 - len(head)))
    assert len(whole) == length, len(whole)
    return whole


def run(t):
    c8y, lab = t.pki.root("c8y-ca"), t.pki.root("lab-ca")
    pump, oven, lamp = t.pki.leaf(c8y, "pump-0042"), t.pki.leaf(lab, "oven"), t.pki.leaf(lab, "lamp")
    broker = t.certus(NO_TENANT + tenant("t2250", "cumulocity", (c8y, {"auto_registration": True}))
                      + tenant("lab", "open", lab, max_packet=f"{LIMIT} B"))

    for qos in (0, 1):
        name = f"cumulocity, QoS {qos}"
        device = t.live(broker, pump, "pump-0042")
        device.socket.sendall(publish("s/us", LIMIT, qos))
        if qos:
            t.ok(device.await_packet(4), b"\0\7", f"{name}: {LIMIT} bytes are acknowledged")
        t.check(device.alive(), f"{name}: {LIMIT} bytes leave the connection open")
        mark = broker.mark()
        device.socket.sendall(publish("s/us", LIMIT + 1, qos))
        t.check(device.ended_within(3), f"{name}: {LIMIT + 1} bytes close it")
        t.check(broker.said(rf"{LIMIT + 1}.*{LIMIT}", mark), f"{name}: the log says both numbers", broker.log()[mark:])

    device = t.live(broker, pump, "pump-0042")
    device.socket.sendall(publish("s/us", LIMIT + 1)[:3])
    t.check(device.ended_within(3), "the head alone closes it: the body is not waited for")

    listener = t.live(broker, lamp, "lamp")
    listener.subscribe("s/#")
    for level in (3, 4, 5):
        sender = t.live(broker, oven, "oven", level=level)
        if level == 5:
            t.check(b"\x27" + LIMIT.to_bytes(4, "big") in sender.connack, "5.0: CONNACK names the limit", sender.connack)
        sender.socket.sendall(publish("s/us", LIMIT, level=level))
        t.ok(len(listener.await_packet(3)), LIMIT - 3 - (level == 5), f"level {level}: {LIMIT} bytes come through whole")
        sender.socket.sendall(publish("s/us", LIMIT + 1, level=level)[: LIMIT // 2])
        if level == 5:
            t.ok(sender.await_packet(14)[:1], bytes([TOO_LARGE]), "5.0: DISCONNECT says packet too large")
        t.check(sender.ended_within(3), f"level {level}: {LIMIT + 1} bytes close it")
    sender = t.live(broker, oven, "oven")
    sender.socket.sendall(b"\x30\xff\xff\xff\x7f")
    t.check(sender.ended_within(3), "the longest packet of the standard closes it")
    t.check(listener.alive() and listener.aside == [], "nothing of what was too long came through", listener.aside)
