"""AS-25 for every way to name what is taken back: serial, fingerprint, key, CN, device; over TLS with mosquitto, over
WebSocket, in a resumed TLS session, and without TLS, where there is no certificate and only the device's name counts.

Each is given back afterwards, so that the next one is alone in ending the connections.
"""

import subprocess

from scenarios.command_line import CommandLine, first_token
from scenarios.trust_is_live import resume
from support import wire
from support.broker import until
from support.pki import openssl
from support.scenario import tenant
from support.web import Web

SECOND = 1.5  # one second, and half of one for the command line to come to the broker


def names(pair):
    """What names a certificate: the arguments of `certus revoke`."""
    text = lambda *what: openssl("x509", "-in", pair.cert, "-noout", *what).decode().strip().split("=", 1)[1]
    der = openssl("pkey", "-in", pair.key, "-pubout", "-outform", "DER")
    key = openssl("dgst", "-sha256", "-r", stdin=der).decode().split()[0]
    return {
        "serial": ["--serial", text("-serial"), "--anchor", "plant"],
        "fingerprint": ["--fingerprint", text("-fingerprint", "-sha256")],
        "key": ["--key", key],
        "CN": ["--cn", "pump"],
        "device": ["--device", "pump"],
    }


class Subscriber:
    """mosquitto_sub, which comes again when it is closed and says what it is told."""

    def __init__(self, t, broker, pair):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "localhost", "-p", broker.tls, "--cafile", broker.ca, "--cert", pair.cert,
                   "--key", pair.key, "-V", "mqttv311", "-i", "pump", "-t", "t", "-W", "20"]
        self.lines = []
        self.child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.child.stdout:
            self.lines.append(line)
            if line.startswith("Subscribed"):
                break
        self.mark = len(self.lines)

    def is_in(self):
        return any(line.startswith("Subscribed") for line in self.lines)

    def stop(self):
        """Everything that it said after it was in."""
        self.child.terminate()
        return "".join(self.lines[self.mark:]) + self.child.communicate(timeout=10)[0]


def each_target(t, certus, broker, pump, twin, fan):
    versions = {"-tls1_2": t.home / "session-12", "-tls1_3": t.home / "session-13"}
    for name, target in names(pump).items():
        for version, file in versions.items():
            file.unlink(missing_ok=True)
            _, code = resume(t, broker, pump, version, file, "pump")
            said, again = resume(t, broker, pump, version, file, "pump")
            t.check((code, again) == (0, 0) and "Reused, " in said, f"{name}, {version}: a session that can be resumed", said[:200])
        stays = t.live(broker, fan, "fan")
        web = Web(broker.wss, ca=broker.ca, cert=pump.cert, key=pump.key)
        t.ok(web.connect("pump", will=("will", "taken back", 1, False)), "CONNACK 0 sp 0", f"{name}: over WebSocket it is in")
        stays.subscribe("will", 1)
        t.matches(certus("revoke", *target, "--reason", "keyCompromise", "--yes"), "^0 ", f"{name}: it is taken back")
        t.check(web.ended_within(SECOND), f"{name}: the WebSocket ends within a second")
        t.matches(stays.await_packet(3), "taken back", f"{name}: with its will")
        t.check(stays.alive(), f"{name}: the neighbour stays")
        t.check(Web(broker.wss, ca=broker.ca, cert=pump.cert, key=pump.key).connect("pump") != "CONNACK 0 sp 0", f"{name}: it does not come back over WebSocket")
        t.check(t.verdict(broker, pump, "pump") != "CONNACK 0 sp 0", f"{name}: nor over TLS")
        for version, file in versions.items():
            said, code = resume(t, broker, pump, version, file, "pump")
            t.check(code != 0, f"{name}, {version}: a resumed session does not slip through", said[-300:])
        # The twin has the same key and another CN, serial and fingerprint.
        t.ok(t.verdict(broker, twin, "twin") == "CONNACK 0 sp 0", name != "key", f"{name}: what else has the key is concerned only by it")
        t.matches(certus("explain", pump.cert), r"^1 .*revoked.*\(keyCompromise\)", f"{name}: explain says why")
        t.matches(certus("refusals", "--cn", "pump"), "live.*revoked|revoked.*live", f"{name}: and so do the refusals, of the live connection too")
        t.matches(certus("revoke", *target, "--undo", "--yes"), "^0 ", f"{name}: it is given back")

        client = Subscriber(t, broker, pump)
        t.check(client.is_in(), f"{name}: mosquitto is in", client.lines)
        certus("revoke", *target, "--reason", "keyCompromise", "--yes")
        ended = until(lambda: certus.json("connections", "list", "--cn", "pump") == [], SECOND)
        t.check(ended, f"{name}: mosquitto's connection ends")
        t.check("Subscribed" not in client.stop(), f"{name}: and it does not come back, however often it tries")
        certus("revoke", *target, "--undo", "--yes")


def without_tls(t, certus, broker):
    """There is no certificate: what names one concerns nobody, the name of a device does."""
    own = {"user": "lab/pump", "password": "secret"}
    raw = wire.Raw(broker.plain)
    t.ok(raw.connect("pump", **own), "CONNACK 0 sp 0", "without TLS, by password")
    t.matches(certus("revoke", "--cn", "pump", "--yes"), "^0 ", "the CN is taken back")
    t.check(raw.alive(), "which a client without a certificate does not have")
    t.matches(certus("revoke", "--device", "pump", "--yes"), "^0 ", "the device is taken back")
    t.check(raw.ended_within(SECOND), "whatever proves it: the connection ends")
    t.ok(wire.verdict(broker.plain, "pump", **own), "CONNACK 5 sp 0", "and does not come back")
    t.ok(wire.verdict(broker.plain, "other", user="lab/other", password="secret"), "CONNACK 0 sp 0", "another one does")
    raw = wire.Raw(broker.plain)
    t.ok(raw.connect("other", user="lab/other", password="secret"), "CONNACK 0 sp 0", "it is in")
    certus("revoke", "--device", "pump", "--undo", "--yes")
    certus("revoke", "--cn", "pump", "--undo", "--yes")
    t.ok(wire.verdict(broker.plain, "pump", **own), "CONNACK 0 sp 0", "given back, it comes in again")


def run(t):
    plant = t.pki.root("plant")
    pump, fan = t.pki.leaf(plant, "pump"), t.pki.leaf(plant, "fan")
    twin = t.pki.leaf(plant, "twin")
    openssl("req", "-new", "-key", pump.key, "-subj", "/CN=twin", "-out", t.home / "twin.csr")
    openssl("x509", "-req", "-in", t.home / "twin.csr", "-CA", plant.cert, "-CAkey", plant.key, "-set_serial", "0x77", "-days", "9", "-out", twin.cert)
    twin.key.write_bytes(pump.key.read_bytes())
    accounts = t.accounts(pump=("secret", "device"), other=("secret", "device"))[1]
    config = tenant("lab", "open", plant, password="without_cert", plain_listener="on") + accounts
    broker = t.certus(config, web=True)
    certus = CommandLine(t, broker, first_token(broker))
    each_target(t, certus, broker, pump, twin, fan)
    without_tls(t, certus, broker)
    said = certus.json("audit", "--action", "revocation.", "--limit", "200")
    t.check(said and all(line["who"].startswith("token first start") and line["before"] != line["after"] for line in said), "every change stands in the audit, with who made it", said[:2])
