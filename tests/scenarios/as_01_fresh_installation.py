"""AS-01: mutual TLS by the card, plain on loopback (SYS-01, SYS-02, TLS-02, TRUST-02, AUTH-06, MQTT-QOS-01…03)."""

import subprocess

from support import wire
from support.broker import until
from support.scenario import tenant


def run(t):
    anchor = t.pki.root("lab-ca", kind="2048")
    # Version 1, as `openssl x509 -req` makes it without an extension file.
    oven = t.pki.leaf(anchor, "oven", version=1, kind="2048")
    other = t.pki.root("second-ca")
    lamp = t.pki.leaf(other, "lamp")
    broker = t.certus(tenant("lab", "open", anchor, other))

    t.ok(t.verdict(broker, oven, "oven"), "CONNACK 0 sp 0", "CN equals ClientId")
    t.ok(t.verdict(broker, oven, "oven", version="1.2"), "CONNACK 0 sp 0", "CN equals ClientId, TLS 1.2")
    t.ok(t.verdict(broker, lamp, "lamp"), "CONNACK 0 sp 0", "the second anchor counts as well")
    t.ok(t.verdict(broker, oven, "other"), "CONNACK 5 sp 0", "CN differs")
    t.ok(t.verdict(broker, oven, "oven", level=5), "CONNACK 0 sp 0", "MQTT 5.0")
    t.ok(t.verdict(broker, oven, "oven", level=3), "CONNACK 0 sp 0", "MQTT 3.1")
    t.ok(t.verdict(broker, oven, "other", level=5), "CONNACK 135 sp 0", "CN differs, MQTT 5.0")
    t.matches(t.verdict(broker, None, "oven"), "^(TLS|CLOSED)", "no certificate")
    t.ok(wire.verdict(broker.plain, "anybody"), "CONNACK 0 sp 0", "plain on loopback needs no credentials")

    for qos in (0, 1, 2):
        listener = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", str(broker.plain), "-V", "mqttv311", "-q", str(qos), "-C", "1",
             "-W", "10", "-t", "lab/+/temp"], stdout=subprocess.PIPE, text=True)
        lines = []
        for line in listener.stdout:
            lines.append(line)
            if line.startswith("Subscribed"):
                break
        t.mosquitto_pub(broker, oven, "oven", "-q", qos, "-t", "lab/oven/temp", "-m", f"t{qos}")
        rest = listener.communicate(timeout=15)[0]
        t.check(f"t{qos}" in rest.splitlines(), f"QoS {qos} from TLS to TCP", rest)

    three = broker.reload(tenant("lab", "open", anchor, other, t.pki.root("third-ca")))
    t.check(broker.said(r"max_anchors|anchors", three), "a third anchor is refused", broker.log()[three:])
    t.check(until(lambda: t.verdict(broker, lamp, "lamp") == "CONNACK 0 sp 0"), "and the two keep their trust")
