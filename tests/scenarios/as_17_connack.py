"""AS-17: the CONNACK table, but for storage, which is as_17_storage (AUTH-07…11, MQTT-CON-01, MQTT-CON-05, MQTT-CON-07)."""

from support import wire
from support.scenario import NO_TENANT, tenant


def run(t):
    roots = {name: t.pki.root(f"{name}-ca") for name in ("lab", "t2250", "acme", "bolt")}
    oven = t.pki.leaf(roots["lab"], "oven")
    pump = t.pki.leaf(roots["t2250"], "pump-0042")
    long_cn, longer_cn = "p" * 23, "p" * 24
    long, longer = (t.pki.leaf(roots["t2250"], cn, name=f"long{len(cn)}") for cn in (long_cn, longer_cn))
    acme, bolt = t.pki.leaf(roots["acme"], "acme"), t.pki.leaf(roots["bolt"], "bolt")
    config = NO_TENANT.replace('1883"', '1883", default_tenant = "lab"')
    config += tenant("lab", "open", roots["lab"]) + tenant("t2250", "cumulocity", (roots["t2250"], {"auto_registration": True}))
    config += t.accounts(dev=("secret", "device"))[1]
    # One tenant does without passwords, so that ClientIds are judged alone; the other one asks for them.
    config += tenant("acme", "centiloc", roots["acme"], password="ignored", auto_register="yes") + tenant("bolt", "centiloc", roots["bolt"])
    config += t.accounts(grant=("secret", "device"), op=("secret", "operator"))[1]
    broker = t.certus(config)

    rows = [
        ("good", oven, "oven", {}, 0),
        ("level 9", oven, "oven", {"level": 9}, 1),
        ("level 5", oven, "oven", {"level": 5}, 0),
        ("level 3", oven, "oven", {"level": 3}, 0),
        ("a bridge's level", oven, "oven", {"level": 0x84}, 0),
        ("empty ClientId, clean session 1", oven, "", {}, 0),
        ("empty ClientId, clean session 0", oven, "", {"clean": False}, 2),
        ("foreign CN, open", oven, "kiln", {}, 5),
        ("foreign CN, open, 5.0", oven, "kiln", {"level": 5}, 0x87),
        ("a case that differs", oven, "OVEN", {}, 5),
        ("good, cumulocity", pump, "d:pump-0042", {}, 0),
        ("template, cumulocity", pump, "d:pump-0042:gw_v3", {}, 0),
        ("bare, cumulocity", pump, "pump-0042", {}, 0),
        ("foreign CN, cumulocity", pump, "d:pump-9999", {}, 5),
        ("unknown type, cumulocity", pump, "x:pump-0042", {}, 2),
        ("level 3, 23 characters, cumulocity", long, long_cn, {"level": 3}, 0),
        ("level 3, 24 characters, cumulocity", longer, longer_cn, {"level": 3}, 5),
        ("level 4, 24 characters, cumulocity", longer, longer_cn, {}, 0),
        ("good, centiloc", acme, "acme-warehouse-1", {}, 0),
        ("other prefix, centiloc", acme, "other-1", {}, 2),
        ("no password, centiloc", bolt, "bolt-1", {}, 4),
        ("right password, centiloc", bolt, "bolt-1", {"user": "bolt/grant", "password": "secret"}, 0),
        ("right password, no tenant in the user name", bolt, "bolt-1", {"user": "grant", "password": "secret"}, 0),
        ("wrong password, centiloc", bolt, "bolt-1", {"user": "bolt/grant", "password": "wrong"}, 4),
        ("account of another tenant", bolt, "bolt-1", {"user": "t2250/dev", "password": "secret"}, 5),
        ("other prefix, right password", bolt, "other-1", {"user": "bolt/grant", "password": "secret"}, 2),
        ("operator without certificate", None, "op1", {"user": "bolt/op", "password": "secret"}, 0),
        ("grant without certificate", None, "bolt-1", {"user": "bolt/grant", "password": "secret"}, 5),
        ("right password, cumulocity", None, "d:x", {"user": "t2250/dev", "password": "secret"}, 0),
        ("wrong password, cumulocity", None, "d:x", {"user": "t2250/dev", "password": "wrong"}, 4),
        ("wrong password, cumulocity, 5.0", None, "d:x", {"user": "t2250/dev", "password": "wrong", "level": 5}, 0x86),
        ("unknown user, cumulocity", None, "d:x", {"user": "t2250/nobody", "password": "secret"}, 4),
        ("unknown tenant", None, "d:x", {"user": "t9999/dev", "password": "secret"}, 4),
        ("empty password, cumulocity", None, "d:x", {"user": "t2250/dev", "password": ""}, 5),
        ("certificate and any user name, cumulocity", pump, "pump-0042", {"user": "whoever", "password": "wrong"}, 0),
        ("certificate and its tenant as user name", pump, "pump-0042", {"user": "t2250"}, 0),
    ]
    for text, pair, client_id, kind, code in rows:
        t.ok(t.verdict(broker, pair, client_id, **kind), f"CONNACK {code} sp 0", text)
    t.ok(wire.verdict(broker.plain, "", clean=False), "CONNACK 2 sp 0", "empty ClientId, clean session 0, plain")
    t.ok(wire.verdict(broker.plain, ""), "CONNACK 0 sp 0", "empty ClientId, clean session 1, plain")
    t.matches(t.verdict(broker, None, "oven"), r"^(CONNACK 5 sp 0|TLS|CLOSED)", "no certificate where the tenant is not known")

    wrong_name = wire.packet(0x10, wire.text("MQTX") + b"\x04\x02\0\x3c" + wire.text("p-12"))
    two = wire.connect_packet("a") * 2
    for text, raw in (("wrong protocol name", wrong_name), ("PINGREQ before CONNECT", b"\xc0\0"), ("a second CONNECT", two),
                      ("reserved flag of CONNECT", wire.connect_packet("a")[:9] + b"\x03" + wire.connect_packet("a")[10:])):
        open_one = wire.Raw(broker.plain)
        open_one.socket.sendall(raw)
        t.check(open_one.ended_within(3), f"{text}: closed")
    t.ok(wire.verdict(broker.plain, "after"), "CONNACK 0 sp 0", "and the broker is there")
