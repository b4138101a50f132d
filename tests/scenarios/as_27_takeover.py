"""AS-27: take-over and isolation (MQTT-CON-03, ACL-01, AUTH-15)."""

from support import wire
from support.scenario import NO_TENANT, tenant


def run(t):
    roots = {name: t.pki.root(f"{name}-ca") for name in ("a", "b", "c8y")}
    pumps = {name: t.pki.leaf(root, "pump-0042", name=f"{name}-pump") for name, root in roots.items()}
    config = NO_TENANT.replace('1883"', '1883", default_tenant = "a"') + tenant("a", "open", roots["a"]) + tenant("b", "open", roots["b"])
    broker = t.certus(config + tenant("c8y", "cumulocity", (roots["c8y"], {"auto_registration": True})))

    first = t.live(broker, pumps["c8y"], "pump-0042")
    second = t.live(broker, pumps["c8y"], "d:pump-0042")
    t.check(first.ended_within(2), "pump-0042 ends when d:pump-0042 comes")
    t.check(second.alive(), "the newer one goes on")

    in_a, in_b = t.live(broker, pumps["a"], "pump-0042"), t.live(broker, pumps["b"], "pump-0042")
    t.check(in_a.alive() and in_b.alive() and second.alive(), "the same ClientId lives in three tenants")

    stranger = wire.Raw(broker.plain)
    t.ok(stranger.connect("pump-0042"), "CONNACK 2 sp 0", "a client without certificate does not take the session over")
    t.check(in_a.alive(), "and its owner stays")
    t.ok(wire.verdict(broker.plain, "pump-0042", level=5), "CONNACK 133 sp 0", "the same in 5.0")

    in_b.subscribe("#", 1)
    in_a.subscribe("#", 1)
    in_a.publish("plant/x", "secret of a", 1)
    in_a.publish("plant/kept", "kept by a", 1, retain=True)
    t.matches(in_a.await_packet(3), "secret of a", "tenant a sees its message")
    in_b.publish("plant/y", "of b", 1)
    got = in_b.await_packet(3)
    t.matches(got, "of b", "tenant b sees only its own, even for #")
    t.check(in_b.alive() and in_b.aside == [], "and nothing else comes")
    other = t.live(broker, pumps["b"], "pump-0042")
    other.subscribe("plant/kept", 1)
    t.check(other.alive() and other.aside == [], "a retained message of a does not show in b")
    t.check(in_b.ended_within(2), "the older connection of b ended at the take-over")
    come_back_at_once(t, broker)


def come_back_at_once(t, broker):
    """A command line in a loop lost a message now and then: the next process's CONNECT took the session over before the
    last PUBLISH and DISCONNECT of the one before it were read, so they were thrown away and its will was published."""
    watcher = wire.Raw(broker.plain)
    watcher.connect("watcher")
    watcher.subscribe("loop/#", 0)
    times = 200
    for n in range(times):
        hasty = wire.Raw(broker.plain)
        hasty.connect("hasty", will=("loop/will", "gone", 0, False))
        hasty.socket.sendall(wire.packet(0x30, wire.text("loop/n") + str(n).encode()) + b"\xe0\0")
        hasty.close()
    wire.verdict(broker.plain, "end", will=("loop/end", "end", 0, False))
    got = []
    while not got or b"loop/end" not in got[-1]:
        got.append(watcher.await_packet(3))
    t.ok(sum(b"loop/n" in body for body in got), times, "nobody's last message is lost by coming back at once")
    t.ok(sum(b"loop/will" in body for body in got), 0, "and nobody's DISCONNECT")
