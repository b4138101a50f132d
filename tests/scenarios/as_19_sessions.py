"""AS-19: sessions that last, and the policies for them (MQTT-SES-01…05, MQTT-QOS-02/03), for as long as the process lives."""

import time
import urllib.request

from support import wire
from support.scenario import NO_TENANT, tenant

PLAIN = "-h", "127.0.0.1", "-V", "mqttv311"
BOUNDS = "[queues]\noffline_messages = 5\n"


def on(config, switches, bounds=""):
    return bounds + NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open", config, **switches)


def lasting(broker, client_id, want="CONNACK 0 sp 0", t=None, clean=False, **more):
    raw = wire.Raw(broker.plain)
    t.ok(raw.connect(client_id, clean=clean, **more), want, f"{client_id}: {want}")
    return raw


def leave(raw):
    raw.socket.sendall(b"\xe0\0")
    raw.ended_within(2)


def missed(raw, count):
    """(topic, payload, QoS, DUP, packet id) of the next messages; QoS 1 and 2 are not answered."""
    got = []
    for _ in range(count):
        first, body = raw.read_packet()
        length = int.from_bytes(body[:2], "big")
        topic, rest, qos = body[2 : 2 + length].decode(), body[2 + length :], first >> 1 & 3
        got.append((topic, rest[2 if qos else 0 :].decode(), qos, bool(first & 8), rest[:2] if qos else b""))
    return got


def as_it_is_written(t, broker):
    base = (*PLAIN, "-p", broker.plain)
    keep = ("mosquitto_sub", *base, "-i", "keep1", "-c", "-q", "2", "-t", "k/#")
    code, said = t.sh("timeout", "2", *keep)
    t.ok((code, said), (124, ""), "a subscriber comes and goes")
    for n in "123":
        t.sh("mosquitto_pub", *base, "-q", "2", "-t", f"k/{n}", "-m", n)
    code, said = t.sh(*keep, "-W", "5", "-C", "3")
    t.ok((code, said.split()), (0, ["1", "2", "3"]), "the missed messages, in order")
    code, said = t.sh("timeout", "2", *keep)
    t.ok(said, "", "and none of them twice")


def what_is_kept(t, broker):
    keeper, sender = lasting(broker, "keeper", t=t), wire.Raw(broker.plain)
    sender.connect("sender")
    t.ok(keeper.subscribe("m/#", 2), 2, "QoS 2 is granted")
    leave(keeper)
    sender.publish("m/0", "lost", 0)
    sender.publish("m/1", "first", 1)
    sender.publish("n/1", "not asked for", 1)
    sender.publish("m/2", "second", 1)
    keeper = lasting(broker, "keeper", "CONNACK 0 sp 1", t=t)
    got = missed(keeper, 2)
    t.ok([m[:4] for m in got], [("m/1", "first", 1, False), ("m/2", "second", 1, False)], "QoS 1 is kept, QoS 0 and others' are not")
    keeper.socket.sendall(wire.packet(0x40, got[0][4]))
    keeper.alive()
    keeper.close()
    keeper = lasting(broker, "keeper", "CONNACK 0 sp 1", t=t)
    again = missed(keeper, 1)
    t.ok(again, [(*got[1][:3], True, got[1][4])], "what was not acknowledged comes again, with DUP and its packet id")
    keeper.socket.sendall(wire.packet(0x40, again[0][4]))
    t.check(keeper.alive() and keeper.aside == [], "what was acknowledged does not", keeper.aside)
    leave(keeper)
    clean = lasting(broker, "keeper", clean=True, t=t)
    sender.publish("m/3", "third", 1)
    t.check(clean.alive() and clean.aside == [], "clean session 1 has forgotten the subscription", clean.aside)
    leave(clean)
    leave(lasting(broker, "keeper", t=t))


def once_and_only_once(t, broker):
    keeper = lasting(broker, "twice", t=t)
    watcher = wire.Raw(broker.plain)
    watcher.connect("watcher")
    watcher.subscribe("q/#", 2)
    said = wire.packet(0x34, wire.text("q/1") + b"\0\x09" + b"once")
    for dup in (0, 8):
        keeper.socket.sendall(bytes([said[0] | dup]) + said[1:])
        t.ok(keeper.await_packet(5), b"\0\x09", "PUBLISH of QoS 2 is answered by PUBREC")
    keeper.close()
    keeper = lasting(broker, "twice", "CONNACK 0 sp 1", t=t)
    keeper.socket.sendall(bytes([said[0] | 8]) + said[1:])
    t.ok(keeper.await_packet(5), b"\0\x09", "also when it comes again over the next connection")
    for text in ("PUBREL is answered by PUBCOMP", "and one for an unknown id as well"):
        keeper.socket.sendall(b"\x62\x02\0\x09")
        t.ok(keeper.await_packet(7), b"\0\x09", text)
    got = missed(watcher, 1)
    t.ok(got[0][:4], ("q/1", "once", 2, False), "it was passed on")
    t.check(watcher.alive() and watcher.aside == [], "once", watcher.aside)

    keeper.subscribe("r/1", 2)
    sender = wire.Raw(broker.plain)
    sender.connect("sender2")
    sender.publish("r/1", "down", 1)
    keeper.socket.sendall(wire.packet(0x40, missed(keeper, 1)[0][4]))
    sender.socket.sendall(wire.packet(0x34, wire.text("r/1") + b"\0\x0a" + b"exactly"))
    first = missed(keeper, 1)[0]
    t.ok(first[:4], ("r/1", "exactly", 2, False), "QoS 2 on its way down")
    keeper.socket.sendall(wire.packet(0x50, first[4]))
    t.ok(keeper.await_packet(6), first[4], "PUBREC is answered by PUBREL")
    keeper.close()
    keeper = lasting(broker, "twice", "CONNACK 0 sp 1", t=t)
    t.ok(keeper.await_packet(6), first[4], "which comes again over the next connection")
    t.ok(keeper.aside, [], "and the message does not")
    keeper.socket.sendall(wire.packet(0x70, first[4]))
    t.check(keeper.alive(), "PUBCOMP ends it")


def full(t, root, policy, kept, together):
    broker = t.certus(on(root, {"queue_overflow": policy}, BOUNDS))
    keeper, sender = lasting(broker, "keeper", t=t), wire.Raw(broker.plain)
    keeper.subscribe("f", 1)
    leave(keeper)
    sender.connect("sender")
    if together:  # in one turn of the broker, more than the queue holds
        sender.socket.sendall(b"".join(wire.packet(0x32, wire.text("f") + bytes([0, n + 1]) + b"%d" % n) for n in range(8)))
        for _ in range(8):
            sender.await_packet(4)
    else:
        for n in range(8):
            sender.publish("f", str(n), 1)
    keeper = lasting(broker, "keeper", "CONNACK 0 sp 1", t=t)
    t.ok([m[1] for m in missed(keeper, 5)], kept, f"{policy}: five of eight are left")
    t.check(keeper.alive() and keeper.aside == [], f"{policy}: and no more", keeper.aside)
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.admin}/metrics", timeout=5) as numbers:
        t.matches(numbers.read().decode(), r'certus_messages_dropped_total\{cause="queue_full"\} 3\b', f"{policy}: the three are counted")


def expiry(t, root):
    broker = t.certus(on(root, {"session_expiry": "3 s"}))
    leave(lasting(broker, "short", t=t))
    leave(lasting(broker, "short", "CONNACK 0 sp 1", t=t))
    time.sleep(4)
    leave(lasting(broker, "short", "CONNACK 0 sp 0", t=t))


def policies(t, root):
    broker = t.certus(on(root, {"clean_session_policy": "force_clean"}))
    forced = lasting(broker, "forced", t=t)
    forced.subscribe("p", 1)
    leave(forced)
    sender = wire.Raw(broker.plain)
    sender.connect("sender")
    sender.publish("p", "missed", 1)
    forced = lasting(broker, "forced", "CONNACK 0 sp 0", t=t)
    t.check(forced.alive() and forced.aside == [], "force_clean: nothing is delivered", forced.aside)

    broker = t.certus(on(root, {"clean_session_policy": "reject_persistent"}))
    mark = broker.mark()
    lasting(broker, "rejected", "CONNACK 5 sp 0", t=t)
    t.check(broker.said("rejected", mark), "reject_persistent: the log says so")
    lasting(broker, "rejected", "CONNACK 0 sp 0", t=t, clean=True)
    lasting(broker, "rejected5", "CONNACK 135 sp 0", t=t, level=5, clean=False, properties=b"\x11\0\0\0\x3c")


def run(t):
    root = t.pki.root("lab-ca")
    broker = t.certus(on(root, {}))
    as_it_is_written(t, broker)
    what_is_kept(t, broker)
    once_and_only_once(t, broker)
    for together in (False, True):
        full(t, root, "drop_oldest", list("34567"), together)
        full(t, root, "drop_newest", list("01234"), together)
    expiry(t, root)
    policies(t, root)
