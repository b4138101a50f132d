"""AS-26: TLS and WebSocket with a password alone (AUTH-08, TLS-03, MQTT-WS-01/02).

The deviation: a certificate over WebSocket is refused in profile cumulocity only. What else WebSocket does is in
websocket.py, what else accounts do in passwords.py.
"""

import subprocess

from support import wire
from support.scenario import NO_TENANT, tenant
from support.web import Web

OWN = {"user": "t2250/device_x", "password": "secret"}
RIGHT = "CONNACK 0 sp 0"


def run(t):
    c8y, lab = t.pki.root("c8y-ca"), t.pki.root("lab-ca")
    device, oven = t.pki.leaf(c8y, "device_x"), t.pki.leaf(lab, "oven")
    accounts = t.accounts(device_x=("secret", "device"), device_y=("other", "device"))[1]
    listeners = NO_TENANT.replace('8883"', '8883", default_tenant = "t2250"')
    listeners += 'ws = [{ bind = "127.0.0.1:1", default_tenant = "t2250" }]\nwss = [{ bind = "127.0.0.1:2", default_tenant = "t2250" }, { bind = "127.0.0.1:3" }]\n'
    broker = t.certus(listeners + tenant("t2250", "cumulocity", (c8y, {"auto_registration": True})) + accounts + tenant("lab", "open", lab),
                      web=2)

    by_mosquitto(t, broker)
    over_tls(t, broker, device)
    over_websocket(t, broker, device)
    t.ok(Web(broker.wss2, ca=broker.ca, cert=oven.cert, key=oven.key).connect("oven"), RIGHT,
         "in profile open a certificate over WebSocket is enough")
    t.check(not any("secret" in line for line in broker.log()), "no password is logged")


def by_mosquitto(t, broker):
    base = ("-h", "localhost", "-p", str(broker.tls), "--cafile", str(broker.ca), "-V", "mqttv311")
    reader = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", "-d", *base, "-u", "t2250/device_y", "-P", "other", "-i", "d:device_y",
                               "-W", "10", "-t", "s/ds"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    for line in reader.stdout:
        lines.append(line)
        if line.startswith("Subscribed"):
            break
    t.check(lines and lines[-1].startswith("Subscribed (mid: 1): 0"), "mosquitto_sub without --cert subscribes", lines)
    reader.terminate()
    reader.communicate(timeout=10)
    publish = ("mosquitto_pub", *base, "-i", "d:device_x", "-u", "t2250/device_x", "-q", "1", "-t", "s/us", "-m", "400,c8y_Test,hello")
    t.ok(t.sh(*publish, "-P", "secret"), (0, ""), "mosquitto_pub without --cert publishes")
    t.ok(t.sh(*publish, "-P", "secret", "--tls-version", "tlsv1.2"), (0, ""), "by TLS 1.2 as well")
    code, said = t.sh(*publish, "-P", "wrong")
    t.check(code != 0 and "bad user name or password" in said.lower(), "a wrong password is told as such", said)


def over_tls(t, broker, device):
    for text, kind, code in (
        ("right", OWN, 0),
        ("right, 3.1", OWN | {"level": 3}, 0),
        ("right, 5.0", OWN | {"level": 5}, 0),
        ("wrong password", OWN | {"password": "wrong"}, 4),
        ("wrong password, 5.0", OWN | {"password": "wrong", "level": 5}, 0x86),
        ("another one's password", OWN | {"password": "other"}, 4),
        ("empty password", OWN | {"password": ""}, 5),
        ("unknown tenant", OWN | {"user": "t9999/device_x"}, 4),
        ("unknown user", OWN | {"user": "t2250/device_z"}, 4),
        ("no password", {"user": "t2250/device_x"}, 5),
        ("neither name nor password", {}, 5),
    ):
        mark = broker.mark()
        t.ok(t.verdict(broker, None, "d:device_x", **kind), f"CONNACK {code} sp 0", f"TLS without certificate: {text}")
        if code:
            t.check(broker.said(r"refused at connect: \w+", mark), f"{text}: the log says why")
    t.ok(t.verdict(broker, device, "d:device_x"), RIGHT, "TLS with a certificate needs no password")


def over_websocket(t, broker, device):
    for name, port, tls in (("wss", broker.wss, {"ca": broker.ca}), ("ws", broker.ws, {})):
        raw = Web(port, **tls)
        t.ok(raw.connect("d:device_x", **OWN), RIGHT, f"{name} with a password")
        t.check(raw.subscribe("s/ds", 1) == 1 and raw.publish("s/us", "400,c8y_Test,hello", 1) == b"\0\7",
                f"{name}: subscribes and publishes")
        t.ok(Web(port, **tls).connect("d:device_x", **OWN | {"password": "wrong"}), "CONNACK 4 sp 0", f"{name} with a wrong one")
        t.ok(Web(port, **tls).connect("d:device_x"), "CONNACK 5 sp 0", f"{name} without any")
    with_certificate = {"ca": broker.ca, "cert": device.cert, "key": device.key}
    mark = broker.mark()
    t.ok(Web(broker.wss, **with_certificate).connect("d:device_x"), "CONNACK 5 sp 0", "wss with a certificate and no password")
    t.check(broker.said("refused at connect", mark), "the log says why", broker.log()[mark:])
    t.ok(Web(broker.wss, **with_certificate).connect("d:device_x", level=5), "CONNACK 135 sp 0", "the same in 5.0")
    t.ok(Web(broker.wss, **with_certificate).connect("d:device_x", **OWN), RIGHT, "a certificate and the password")
    elsewhere = wire.Raw(broker.plain)
    t.ok(elsewhere.connect("d:device_x", **OWN), RIGHT, "the plain listener takes the password too, on this machine")
