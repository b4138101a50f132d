"""Topic rights (ACL-05, ACL-06): a mosquitto ACL file, rules that see the certificate, reload, and the offline answer."""

import signal

from support import wire
from support.broker import until
from support.scenario import tenant

RULES = """[tenant.switches]
identity_rule = "any"
client_cert = "optional"
on_forbidden_publish = "close"
[tenant.switches.acl]
file = "{file}"
[[tenant.switches.acl.rule]]
name = "halls"
action = "publish"
topics = ["hall/%{{dns}}/%n/#"]
who = {{ issuer = "*plant-ca*" }}
[[tenant.switches.acl.rule]]
name = "no secrets"
effect = "deny"
topics = ["hall/+/+/secret"]
"""


def run(t):
    root = t.pki.root("plant-ca")
    press = t.pki.leaf(root, "press", more="subjectAltName=DNS:north\n")
    acl = t.home / "acl"
    acl.write_text("topic read public/#\nuser bob\ntopic write public/#\ntopic read orders/+\npattern readwrite own/%u/%c\n")
    file, accounts = t.accounts(bob=("secret", "device"))
    broker = t.certus(tenant("lab", "open", root).rstrip("\n").replace("[[tenant.anchor]]", RULES.format(file=acl) + "[[tenant.anchor]]") + "\n" + accounts)
    bob = {"user": "bob", "password": "secret"}

    def subscribe(raw, topic):
        raw.socket.sendall(wire.packet(0x82, b"\0\1" + wire.text(topic) + b"\0"))
        return raw.read_packet()[1][2]

    def connected(client_id, **more):
        raw = wire.Raw(broker.plain)
        t.ok(raw.connect(client_id, **more), "CONNACK 0 sp 0", f"{client_id} connects")
        return raw

    nobody, known = connected("n"), connected("b1", **bob)
    t.ok([subscribe(nobody, topic) for topic in ("public/#", "public/x", "orders/1", "#", "own/n/n")], [0, 0, 128, 128, 128], "the file's rights of nobody")
    t.ok([subscribe(known, topic) for topic in ("orders/+", "orders/#", "public/x", "own/bob/b1", "own/bob/b2")], [0, 128, 128, 0, 128], "and of bob")
    known.socket.sendall(wire.packet(0x30, wire.text("public/x") + b"hello"))
    t.ok(nobody.read_packet(), (0x30, wire.text("public/x") + b"hello"), "what bob may write, nobody reads")
    nobody.socket.sendall(wire.packet(0x30, wire.text("public/x") + b"no"))
    t.check(nobody.ended_within(3), "what nobody may write closes the connection")
    t.ok(wire.verdict(broker.plain, "b2", will=("orders/1", "x", 0, False), **bob), "CONNACK 5 sp 0", "a forbidden will is refused at CONNECT")
    t.ok(wire.verdict(broker.plain, "b2", will=("public/w", "x", 0, False), **bob), "CONNACK 0 sp 0", "an allowed one is not")

    def ask(*question):
        return t.sh(t.binary, "acl", "test", *question, "--config", broker.file, "--certs-dir", broker.certs)

    t.ok(ask("publish", "public/x", "--user", "bob"), (0, f"allowed by {acl}:3: topic write public/#\n"), "acl test names file and line")
    t.ok(ask("publish", "public/x")[0], 1, "and denies where no rule allows")
    t.matches(ask("publish", "hall/north/press/1", "--attribute", "cn=press", "--attribute", "dns=north", "--attribute", "issuer=CN=plant-ca")[1], "allowed by halls", "attributes of a certificate")
    t.matches(ask("publish", "hall/north/press/secret", "--attribute", "cn=press", "--attribute", "dns=north", "--attribute", "issuer=CN=plant-ca")[1], "denied by no secrets", "a denial goes first")
    t.matches(ask("publish", "hall/north/press/1", "--cert", press.cert)[1], "allowed by halls", "the certificate itself")
    ours = ["-t", "hall/north/press/1", "-m", "x", "-q", "1"]
    t.ok(t.mosquitto_pub(broker, press, "p1", *ours)[0], 0, "mosquitto publishes what its certificate allows")
    other = t.live(broker, press, "p1")
    other.socket.sendall(wire.packet(0x32, wire.text("hall/south/press/1") + b"\0\1x"))
    t.check(other.ended_within(3), "and nothing else: the connection is closed without a PUBACK")

    acl.write_text("user bob\ntopic read other\n")
    mark = len(broker.process.err)
    broker.process.child.send_signal(signal.SIGHUP)
    ended = lambda client, topic: [line for line in broker.process.err[mark:] if "a subscription ended" in line and f'"{client}"' in line and f'"{topic}"' in line]
    t.check(until(lambda: ended("b1", "orders/+") and ended("b1", "own/bob/b1"), 3), "a reload ends what was granted and is allowed no more", broker.process.err[mark:])
    t.check(until(lambda: subscribe(known, "other") == 0, 3), "a reload gives a live connection its new rights")
    t.ok(subscribe(known, "orders/+"), 128, "and takes the old ones")
    acl.write_text("user bob\ntopics x\n")
    mark = len(broker.process.err)
    broker.process.child.send_signal(signal.SIGHUP)
    t.check(until(lambda: [line for line in broker.process.err[mark:] if f"{acl}:2" in line], 3), "a broken file is told with its line", broker.process.err[mark:])
    t.ok(subscribe(known, "other"), 0, "and changes nothing")
