"""Accounts from a file (AUTH-08, AUTH-14, ACL-07): foreign clients, reload, lock-out, and what an operator may do."""

import signal

from support import wire
from support.broker import until
from support.scenario import NO_TENANT, tenant


def run(t):
    root = t.pki.root("acme-ca")
    file, accounts = t.accounts(grant=("s3cret", "device"), op=("b0ss", "operator"))
    broker = t.certus(NO_TENANT + tenant("acme", "centiloc", root) + accounts)
    acme = t.pki.leaf(root, "acme")
    by_tls = ("-h", "localhost", "-p", broker.tls, "--cafile", broker.ca, "-V", "mqttv311")
    credentials = {"user": "acme/grant", "password": "s3cret"}

    device = wire.Raw(broker.tls, ca=broker.ca, cert=acme.cert, key=acme.key)
    t.ok(device.connect("acme-erp1", **credentials), "CONNACK 0 sp 0", "certificate and password")
    device.socket.sendall(wire.packet(0x82, b"\0\1" + wire.text("centiloc/acme") + b"\1"))
    t.ok(device.read_packet(), (0x90, b"\0\1\1"), "the tenant's own topic is granted")
    code, said = t.sh("mosquitto_pub", *by_tls, "-u", "acme/op", "-P", "b0ss", "-i", "op1", "-q", "1", "-t", "centiloc/acme", "-m", "payload1")
    t.ok((code, said), (0, ""), "an operator publishes without a certificate")
    got = device.read_packet()
    t.check(got and b"centiloc/acme" in got[1] and got[1].endswith(b"payload1"), "and the device reads it", got)
    code, said = t.sh("mosquitto_pub", *by_tls, "-u", "acme/op", "-P", "wrong", "-i", "op1", "-t", "centiloc/acme", "-m", "x")
    t.check(code != 0 and "bad user name or password" in said.lower(), "a wrong password is told as such", said)
    t.check(not any("b0ss" in line or "s3cret" in line for line in broker.process.err), "no password is logged")
    t.check(oct(file.stat().st_mode & 0o777) == "0o600", "the file is its owner's alone")

    t.sh(t.binary, "passwd", "--file", file, "grant", "--disable")
    broker.process.child.send_signal(signal.SIGHUP)
    t.check(device.ended_within(2), "a disabled account takes its connection along")
    again = {"cert": acme.cert, "key": acme.key, "ca": broker.ca}
    t.ok(wire.verdict(broker.tls, "acme-erp1", **again, **credentials), "CONNACK 5 sp 0", "and is refused")
    t.sh(t.binary, "passwd", "--file", file, "grant", stdin=b"n3w\n")
    t.sh(t.binary, "passwd", "--file", file, "grant", "--enable")
    broker.process.child.send_signal(signal.SIGHUP)
    new = {**credentials, "password": "n3w"}
    t.check(until(lambda: wire.verdict(broker.tls, "acme-erp1", **again, **new) == "CONNACK 0 sp 0", 3), "the new password is taken")

    file.write_text(file.read_text() + "broken line\n")
    mark = len(broker.process.err)
    broker.process.child.send_signal(signal.SIGHUP)
    told = until(lambda: [line for line in broker.process.err[mark:] if f"{file}:3" in line], 3)
    t.check(told, "a broken file is told with its line", broker.process.err[mark:])
    t.ok(wire.verdict(broker.tls, "acme-erp1", **again, **new), "CONNACK 0 sp 0", "and leaves the old accounts")

    wrong = [wire.verdict(broker.tls, "acme-erp1", **again, user="grant", password="guess") for _ in range(10)]
    t.ok(wrong[:5], ["CONNACK 4 sp 0"] * 5, "guesses are wrong")
    t.ok(wire.verdict(broker.tls, "acme-erp1", **again, **new), "CONNACK 3 sp 0", "ten of them lock the address out")
    t.ok(wire.verdict(broker.tls, "acme-erp1", **again, level=5, **new), f"CONNACK {0x88} sp 0", "5.0 reads it as well")
