"""A disk that is full: what an acknowledgement would promise is not taken, all else goes on, and it heals by itself."""

import json
import os
import urllib.error
import urllib.request

from support import wire
from support.broker import until
from support.scenario import NO_TENANT, tenant

# Big enough for a new store, small enough to be filled at once.
SIZE = "300m"
FREE = 48 << 20


def readiness(broker):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{broker.admin}/readyz", timeout=5) as answer:
            return answer.status, json.load(answer)["reasons"]
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)["reasons"]


def is_answered(raw, topic, seconds=1.5):
    """The answer to a PUBLISH of QoS 1: its body, None when there is none in time, b"" when the broker closes."""
    head = wire.text(topic) + b"\0\x09" + (b"\0" if raw.level == 5 else b"")
    raw.socket.sendall(wire.packet(0x32, head + b"kept"))
    raw.socket.settimeout(seconds)
    try:
        return raw.await_packet(4)
    except TimeoutError:
        return None
    except OSError:
        return b""
    finally:
        raw.socket.settimeout(5)


def client(broker, name, **more):
    raw = wire.Raw(broker.plain)
    raw.connect(name, **more)
    return raw


def run(t):
    disk = t.home / "disk"
    disk.mkdir()
    code, said = t.sh("unshare", "-m", "mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", disk)
    if code != 0:
        t.check(True, f"skipped: no small disk can be mounted here ({said.strip()})")
        return
    config = f'[storage]\nmin_free = "{FREE}B"\n' + NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open")
    broker = t.certus(config, start=False)
    broker.state = disk / "data"
    real = broker.command
    mount = f'mount -t tmpfs -o size={SIZE} none "{disk}" && exec "$@"'
    broker.command = lambda: ["unshare", "-m", "sh", "-c", mount, "sh", *real()]
    broker.start()
    # The disk as the broker sees it; its own name space is gone with it.
    seen = f"/proc/{broker.process.child.pid}/root{disk}"

    keeper = client(broker, "keeper", clean=False)
    keeper.subscribe("kept/#", 1)
    keeper.socket.sendall(b"\xe0\0")
    keeper.ended_within(2)
    sender, five, listener = client(broker, "sender"), client(broker, "five", level=5), client(broker, "listener")
    listener.subscribe("live/#", 0)
    t.ok(sender.publish("kept/1", "before", 1)[:2], b"\0\7", "QoS 1 to a lasting session is acknowledged")
    t.ok(readiness(broker), (200, []), "ready")

    ballast = os.path.join(seen, "ballast")
    with open(ballast, "wb", buffering=0) as file:
        # The broker takes space for its next file meanwhile: look again before each piece.
        while (room := os.statvfs(seen)).f_bavail * room.f_frsize > FREE // 2:
            file.write(bytes(min(1 << 20, room.f_bavail * room.f_frsize - FREE // 2)))
    mark = broker.mark()
    red = until(lambda: readiness(broker)[0] == 503, 10)
    t.check(red, "readyz is red", readiness(broker))
    t.matches(readiness(broker)[1], r"store is full.*free space", "and says why")
    t.check(broker.said(r"store is full"), "so does the log", mark)
    t.check(is_answered(sender, "kept/2") in (None, b""), "QoS 1 to a lasting session is not acknowledged")
    refused = is_answered(five, "kept/3")
    t.check(refused in (None, b"") or refused[2] >= 0x80, "in 5.0 not, or negatively", refused)
    sender = client(broker, "sender")
    sender.publish("live/1", "still", 0)
    t.check(sender.alive() and listener.await_packet(3).endswith(b"still"), "QoS 0 goes on")
    t.ok(is_answered(sender, "live/2"), b"\0\x09", "so does QoS 1 to who is connected")
    returned = client(broker, "keeper", clean=False)
    t.check(returned.await_packet(3).endswith(b"before"), "and what is stored is read")
    returned.close()

    os.truncate(ballast, 0)
    t.check(until(lambda: readiness(broker)[0] == 200, 10), "ready again when there is space", readiness(broker))
    sender = client(broker, "sender")
    t.ok(sender.publish("kept/4", "after", 1)[:2], b"\0\7", "QoS 1 is acknowledged again")
    broker.stop()
