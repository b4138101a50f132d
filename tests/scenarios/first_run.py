"""The first minute: an empty directory, `certus serve`, the commands that it prints (SYS-01, SYS-02, OPS)."""

import hashlib
import os
import re
import shlex
import subprocess

from support.broker import Process, free_port, until

MADE = ["server-ca.pem", "server-ca.key", "server.pem", "server.key", "device-ca.pem", "device-ca.key",
        "sensor-1.pem", "sensor-1.key", "dashboard-1.pem", "dashboard-1.key"]


def commands(lines, program):
    """The commands as printed, lines that end in a backslash joined."""
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [line.strip().removeprefix("$ ") for line in text.split("\n") if line.strip().removeprefix("$ ").startswith(program + " ")]


def prints(certs):
    return {name: hashlib.sha256((certs / name).read_bytes()).hexdigest() for name in MADE}


def run(t):
    home = t.home / "fresh"
    home.mkdir()
    tls, plain = free_port(), free_port()
    serve = [t.binary, "serve", "--listen-tls", f"127.0.0.1:{tls}", "--listen-plain", f"127.0.0.1:{plain}", "--listen-admin", "127.0.0.1:0", "--listen-https", "127.0.0.1:0"]

    def start():
        process = Process(serve, {"NO_COLOR": "1"}, cwd=home)
        t.check(until(lambda: "ready" in process.out, 15), "ready, without any file", process.out + process.err)
        return process

    process = start()
    certs = home / "certs"
    t.ok([name for name in MADE if not (certs / name).exists()], [], "the development PKI is there under its fixed names")
    t.ok([name for name in MADE if name.endswith(".key") and os.stat(certs / name).st_mode & 0o077], [], "keys are for their owner only")
    _, facts = t.sh("openssl", "x509", "-in", certs / "server.pem", "-noout", "-ext", "subjectAltName")
    for name in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"):
        t.check(name in facts, f"the server certificate is good for {name}", facts)
    out = "\n".join(process.out)
    t.check(str(tls) in out and str(plain) in out, "it says where it listens", out)
    t.matches(out, r"device.ca", "it says what it trusts")
    t.matches(out, r"MQTTX", "it says what to fill in for MQTTX")

    subscribe, publish = commands(process.out, "mosquitto_sub"), commands(process.out, "mosquitto_pub")
    t.check(subscribe and publish, "it prints commands for two clients", out)
    if subscribe and publish:
        receiver = subprocess.Popen(["stdbuf", "-oL", *shlex.split(subscribe[0]), "-d"], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in receiver.stdout:
            if line.startswith("Subscribed"):
                break
        code, said = t.sh("sh", "-c", publish[0], cwd=home)
        t.ok(code, 0, f"the printed mosquitto_pub works as pasted ({said.strip()})")
        message = shlex.split(publish[0])
        message = message[message.index("-m") + 1] if "-m" in message else ""
        got = next((line for line in receiver.stdout if message and message in line and not line.startswith("Client ")), "")
        t.check(message and message in got, "and the printed mosquitto_sub shows its message", got)
        receiver.terminate()
        receiver.communicate(timeout=5)

    before = prints(certs)
    t.ok(process.stop(), 0, "SIGTERM ends it with 0")
    again = start()
    t.ok(prints(certs), before, "the second start makes nothing anew")
    t.ok(again.stop(), 0, "and ends with 0")

    code, said = t.sh(t.binary, "cert", "new", "pump-7", cwd=home)
    t.ok(code, 0, f"certus cert new ({said.strip()[:200]})")
    _, facts = t.sh("openssl", "x509", "-in", certs / "pump-7.pem", "-noout", "-subject", "-ext", "extendedKeyUsage")
    t.matches(facts, r"CN ?= ?pump-7.*TLS Web Client Authentication", "makes a device certificate")
    t.ok(t.sh("openssl", "verify", "-CAfile", certs / "device-ca.pem", certs / "pump-7.pem")[0], 0, "of the device CA")
    t.check(t.sh(t.binary, "cert", "new", "pump-7", cwd=home)[0] != 0, "and overwrites none")

    any_port = Process([t.binary, "serve", "--listen-tls", "127.0.0.1:0", "--listen-plain", "off", "--listen-admin", "off", "--listen-https", "off"], {"NO_COLOR": "1"}, cwd=home)
    until(lambda: "ready" in any_port.out, 15)
    ports = re.findall(r"127\.0\.0\.1:(\d+)|-p (\d+)", "\n".join(any_port.out))
    t.check(ports and all(a != "0" and b != "0" for a, b in ports), "port 0 is answered with the real port", any_port.out)
    any_port.stop()
