"""One acceptance scenario: a directory, certificates, brokers that are stopped at the end, and a list of checks.

What lives here: the checks and the configuration as text. What does not: what is checked (tests/scenarios).
"""

import json
import re
import subprocess
import time
from pathlib import Path

from support import wire
from support.broker import Certus
from support.pki import Pki, openssl


def value(setting):
    if isinstance(setting, bool):
        return "true" if setting else "false"
    return json.dumps([*setting]) if isinstance(setting, (list, tuple)) else json.dumps(setting)


def tenant(name, profile, *anchors, **switches):
    """A [[tenant]] table. An anchor is a certificate, or (certificate, {"status": …, "platform": …})."""
    lines = ["[[tenant]]", f'id = "{name}"', f'profile = "{profile}"']
    if switches:
        lines.append("switches = { " + ", ".join(f"{key} = {value(setting)}" for key, setting in switches.items()) + " }")
    for anchor in anchors:
        pair, more = anchor if isinstance(anchor, tuple) else (anchor, {})
        lines += ["[[tenant.anchor]]", f'file = "{pair.cert}"', *(f"{key} = {value(setting)}" for key, setting in more.items())]
    return "\n".join(lines) + "\n"


# Listeners that belong to no tenant: the chain's end alone tells it. The flags of the test replace the addresses.
NO_TENANT = '[listeners]\ntls = [{ bind = "127.0.0.1:8883" }]\nplain = [{ bind = "127.0.0.1:1883" }]\n'


class Scenario:
    """Collects checks; a failed one does not stop the others."""

    def __init__(self, name, binary, directory):
        self.name, self.binary, self.home = name, binary, Path(directory)
        self.home.mkdir(parents=True)
        self.home.chmod(0o755)
        self.pki, self.brokers, self.lines, self.failed, self.passed = Pki(self.home / "pki"), [], [], 0, 0
        self.begun = time.monotonic()

    def certus(self, config="", start=True, home=None, **more):
        broker = Certus(self.binary, self.home / (home or f"broker{len(self.brokers)}"), config, **more)
        self.brokers.append(broker)
        return broker.start() if start else broker

    def check(self, good, text, shown=""):
        self.passed += bool(good)
        self.failed += not good
        self.lines.append(f"ok   {text}" if good else f"FAIL {text}: {shown}")
        return good

    def ok(self, got, want, text):
        return self.check(got == want, text, f"got {got!r}, want {want!r}")

    def matches(self, got, pattern, text):
        return self.check(got is not None and re.search(pattern, str(got), re.S), text, f"got {str(got)[-800:]!r}, want /{pattern}/")

    def sh(self, *command, cwd=None, stdin=None, seconds=30):
        """Runs a program; returns (exit code, what it said)."""
        try:
            done = subprocess.run([str(part) for part in command], cwd=cwd or self.home, input=stdin, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as late:
            return None, f"no end within {seconds} s: {(late.stdout or b'').decode(errors='replace')}"
        return done.returncode, (done.stdout + done.stderr).decode(errors="replace")

    def accounts(self, **passwords):
        """A file of accounts made by `certus passwd`: name = (password, role). Returns its table for the tenant above it."""
        file = self.home / f"accounts{len(list(self.home.glob('accounts*')))}"
        for name, (password, role) in passwords.items():
            code, said = self.sh(self.binary, "passwd", "--file", file, name, "--role", role, stdin=password.encode() + b"\n")
            if code != 0:
                raise RuntimeError(f"certus passwd: {said}")
        return file, f'[tenant.accounts]\nfile = "{file}"\n'

    def mosquitto_pub(self, broker, pair, client_id, *args, chain=None):
        return self.sh("mosquitto_pub", "-h", "localhost", "-p", broker.tls, "--cafile", broker.ca, "--cert", chain or pair.cert,
                       "--key", pair.key, "-V", "mqttv311", "-i", client_id, *args)

    def verdict(self, broker, pair, client_id, chain=None, **more):
        """What a TLS connection with this certificate and ClientId gets."""
        files = {"cert": chain or pair.cert, "key": pair.key} if pair else {}
        return wire.verdict(broker.tls, client_id, ca=broker.ca, **files, **more)

    def live(self, broker, pair, client_id, want="CONNACK 0 sp 0", version=None, **more):
        """An open connection."""
        raw = wire.Raw(broker.tls, ca=broker.ca, cert=pair.cert, key=pair.key, version=version)
        self.ok(raw.connect(client_id, **more), want, f"{client_id} connects")
        return raw

    def finish(self):
        for broker in self.brokers:
            if broker.process:
                broker.stop()
        if self.failed:
            for broker in self.brokers:
                self.lines += [f"     | {line[:600]}" for line in broker.log()[-25:]]


__all__ = ["NO_TENANT", "Scenario", "openssl", "tenant", "wire"]
