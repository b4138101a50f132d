"""AS-17's storage row: while the store's file system is read-only, a session that would have to last is answered with CONNACK 3."""

from scenarios.disk_full import client, is_answered, readiness
from support import wire
from support.broker import until
from support.scenario import NO_TENANT, tenant

# The session expiry interval of 5.0: an hour.
LASTING = b"\x11\0\0\x0e\x10"


def run(t):
    disk = t.home / "disk"
    disk.mkdir()
    broker = t.certus(NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open"), start=False)
    broker.state = disk / "data"
    probe = f'mount --bind "{disk}" "{disk}" && mount -o remount,ro,bind "{disk}"'
    code, said = t.sh("unshare", "-m", "sh", "-c", probe)
    if code != 0:
        t.check(True, f"skipped: no directory can be made read-only here ({said.strip()})")
        return
    real = broker.command
    broker.command = lambda: ["unshare", "-m", *real()]
    broker.start()

    def remount(*command):
        code, said = t.sh("nsenter", "-t", broker.process.child.pid, "-m", "sh", "-c", " ".join(map(str, command)))
        t.ok(code, 0, f"{command[0]}: {said.strip()}")

    keeper = client(broker, "keeper", clean=False)
    keeper.subscribe("kept/#", 1)
    sender, listener = client(broker, "sender"), client(broker, "listener")
    listener.subscribe("live/#", 0)
    t.ok(sender.publish("kept/1", "before", 1)[:2], b"\0\7", "QoS 1 to a lasting session is acknowledged")
    t.check(keeper.await_packet(3).endswith(b"before"), "and arrives")
    t.ok(wire.verdict(broker.plain, "lasting", clean=False), "CONNACK 0 sp 0", "a lasting session is made")

    remount(probe)
    t.check(until(lambda: readiness(broker)[0] == 503, 10), "readyz is red", readiness(broker))
    t.matches(readiness(broker)[1], r"file system is read-only; mount it for writing", "and says why, and the remedy")
    t.check(broker.said(r"read-only"), "so does the log")
    t.ok(wire.verdict(broker.plain, "lasting", clean=False), "CONNACK 3 sp 0", "AS-17: a session that lasts: CONNACK 3")
    t.ok(wire.verdict(broker.plain, "new", clean=False), "CONNACK 3 sp 0", "also one that would be new")
    t.ok(wire.verdict(broker.plain, "five", level=5, properties=LASTING), "CONNACK 136 sp 0", "in 5.0: server unavailable")
    t.ok(wire.verdict(broker.plain, "passing"), "CONNACK 0 sp 0", "a session that does not last is served")
    t.check(is_answered(sender, "kept/2") in (None, b""), "QoS 1 to a lasting session is not acknowledged")
    sender = client(broker, "sender")
    sender.publish("live/1", "still", 0)
    t.check(listener.await_packet(3).endswith(b"still"), "QoS 0 goes on")
    t.ok(is_answered(sender, "live/2"), b"\0\x09", "so does QoS 1 to who is connected")

    remount("umount", disk)
    t.check(until(lambda: readiness(broker)[0] == 200, 10), "ready again when it is mounted for writing", readiness(broker))
    t.ok(wire.verdict(broker.plain, "lasting", clean=False), "CONNACK 0 sp 1", "the session is there again")
    sender = client(broker, "sender")
    t.ok(sender.publish("kept/3", "after", 1)[:2], b"\0\7", "QoS 1 is acknowledged again")
    broker.stop()
