"""`certus store` beside a broker that was killed: what is looked at is not changed, what is gone is named, an export moves it all."""

import hashlib

from scenarios.disk_full import client
from support.scenario import NO_TENANT, tenant

CONFIG = NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open")
MESSAGES = 20


def bytes_of(directory):
    """Every file with its time and its content."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files}


def kill(broker):
    broker.process.child.kill()
    broker.process.finish()


def run(t):
    def store(command, *more, of):
        code, said = t.sh(t.binary, "store", command, *more, "--state-dir", of.state, "--config", of.file, stdin=b"")
        return f"{code} {said}"

    broker = t.certus(CONFIG)
    keeper = client(broker, "keeper", clean=False)
    keeper.subscribe("kept/#", 1)
    keeper.socket.sendall(b"\xe0\0")
    keeper.ended_within(2)
    sender = client(broker, "sender")
    for number in range(MESSAGES):
        sender.publish(f"kept/{number}", str(number), 1)
    t.matches(store("check", of=broker), r"^2 .*in use by process \d+", "the store of a running broker is left alone")
    kill(broker)

    before = bytes_of(broker.state)
    t.matches(store("check", of=broker), rf"^0 .*1 queues with {MESSAGES} entries.*good", "a check counts what a killed broker left")
    t.matches(store("export", t.home / "moved.certus", of=broker), r"^0 \d+ records", "an export takes it")
    t.check(bytes_of(broker.state) == before, "neither changed a byte or a name of it")

    moved = t.certus(CONFIG, start=False, home="moved")
    t.matches(store("import", t.home / "moved.certus", of=moved), r"^0 \d+ records imported", "an import fills another store")
    moved.start()
    keeper = client(moved, "keeper", clean=False)
    got = [keeper.await_packet(3)[-1:] for _ in range(MESSAGES)]
    t.ok(got, [str(number)[-1:].encode() for number in range(MESSAGES)], "which serves what the first had acknowledged")
    moved.stop()

    log = next((broker.state / "store/log").glob("*.log"))
    log.write_bytes(b"")
    before = bytes_of(broker.state)
    t.matches(store("check", of=broker), rf"^1 .*lacks what {log.name} held.*may be lost", "a file of the log that was emptied is named")
    t.check(bytes_of(broker.state) == before, "and nothing is changed")
    broker.start()
    t.check(broker.said(rf"lacks what {log.name} held"), "the broker starts, and says so too")
    broker.stop()
