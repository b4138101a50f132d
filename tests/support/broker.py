"""Starts a broker on free ports in a directory of its own, and stops it by its process id.

What lives here: Certus, and Debian's mosquitto in the same role, so that a conversation can be tried against another
broker when the question is who is wrong. What does not: what is asked of them.
"""

import itertools
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path


# Scenarios play side by side: a port is given once, even when nobody listens on it yet.
PORTS = itertools.cycle(random.sample(range(20000, 32000), 12000))


def free_port():
    """A port below the range that outgoing connections take theirs from, and that nobody here was given lately."""
    while True:
        port = next(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def until(condition, seconds=5.0):
    """Asks again until the answer is true or the time is over."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got or time.monotonic() > end:
            return got
        time.sleep(0.02)


class Process:
    """A child whose output is kept line by line."""

    def __init__(self, command, env=None, cwd=None):
        self.out, self.err = [], []
        self.child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", env={**os.environ, **(env or {})}, cwd=cwd,
        )
        self.readers = [threading.Thread(target=self._keep, args=pair, daemon=True)
                        for pair in ((self.child.stdout, self.out), (self.child.stderr, self.err))]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _keep(stream, lines):
        for line in stream:
            lines.append(line.rstrip("\n"))

    def finish(self, seconds=10):
        """Waits for the end; returns the exit code."""
        code = self.child.wait(seconds)
        for reader in self.readers:
            reader.join(2)
        return code

    def stop(self, seconds=10):
        """SIGTERM, and SIGKILL when that is not enough. Returns the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.finish(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.finish()


class Certus:
    """`certus serve` with its own configuration, certificates and state."""

    def __init__(self, binary, directory, config="", env=None, args=(), web=False):
        self.binary, self.home = binary, Path(directory)
        self.home.mkdir(parents=True, exist_ok=True)
        self.certs, self.state, self.file = self.home / "certs", self.home / "data", self.home / "config.toml"
        self.ca = self.certs / "server-ca.pem"
        self.tls, self.plain, self.admin, self.https = free_port(), free_port(), free_port(), free_port()
        self.env, self.args, self.process = {"NO_COLOR": "1", **(env or {})}, list(args), None
        if web:
            self.ws, self.wss, self.wss2 = free_port(), free_port(), free_port()
            more = f",127.0.0.1:{self.wss2}" if web == 2 else ""
            self.args += ["--listen-ws", f"127.0.0.1:{self.ws}", "--listen-wss", f"127.0.0.1:{self.wss}{more}"]
        self.file.write_text(config)

    def command(self):
        return [self.binary, "serve", "--config", self.file, "--certs-dir", self.certs, "--state-dir", self.state,
                "--listen-tls", f"127.0.0.1:{self.tls}", "--listen-plain", f"127.0.0.1:{self.plain}",
                "--listen-admin", f"127.0.0.1:{self.admin}" if self.admin else "off",
                "--listen-https", f"127.0.0.1:{self.https}" if self.https else "off", *self.args]

    def start(self, seconds=15):
        """Returns when the broker is ready; raises with its words when it is not."""
        self.process = Process(self.command(), self.env)
        until(lambda: "ready" in self.process.out or self.process.child.poll() is not None, seconds)
        if "ready" not in self.process.out:
            code = self.process.stop()
            raise RuntimeError(f"certus did not become ready (exit code {code}):\n" + "\n".join(self.process.out + self.process.err))
        return self

    def fails(self, seconds=10):
        """Starts a broker that must refuse to run; returns (exit code, its last words)."""
        process = Process(self.command(), self.env)
        try:
            code = process.finish(seconds)
        except subprocess.TimeoutExpired:
            process.stop()
            return None, "it went on running"
        return code, "\n".join(process.err)

    def mark(self):
        """A place in the log, for `said`."""
        return len(self.process.err)

    def said(self, pattern, since=0, seconds=5):
        """The first line of the log after `since` that matches, or None."""
        def line():
            return next((text for text in self.process.err[since:] if re.search(pattern, text)), None)
        return until(line, seconds)

    def reload(self, config=None):
        """Writes the configuration and sends SIGHUP. Returns the log's mark from before."""
        if config is not None:
            self.file.write_text(config)
        before = self.mark()
        self.process.child.send_signal(signal.SIGHUP)
        return before

    def stop(self):
        return self.process.stop() if self.process else None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    name = "certus"

    def log(self):
        return list(self.process.err) if self.process else []


class Mosquitto:
    """Debian's mosquitto with mutual TLS and a plain listener: a second opinion."""

    name = "mosquitto"

    def __init__(self, directory, pki, anchor):
        self.home, self.process = Path(directory), None
        self.home.mkdir(parents=True, exist_ok=True)
        self.tls, self.plain, self.ws, self.wss = free_port(), free_port(), free_port(), free_port()
        server_ca = pki.root("mosquitto-ca")
        server = pki.leaf(server_ca, "localhost", name="mosquitto-server", usage="serverAuth", more="subjectAltName=DNS:localhost\n")
        self.ca = server_ca.cert
        secure = f"allow_anonymous true\ncafile {anchor.cert}\ncertfile {server.cert}\nkeyfile {server.key}\nrequire_certificate true\n"
        (self.home / "conf").write_text(
            f"per_listener_settings true\nuser root\nlistener {self.tls} 127.0.0.1\n{secure}"
            f"listener {self.plain} 127.0.0.1\nallow_anonymous true\n"
            f"listener {self.wss} 127.0.0.1\nprotocol websockets\n{secure}"
            f"listener {self.ws} 127.0.0.1\nprotocol websockets\nallow_anonymous true\n"
        )

    def start(self):
        self.process = Process(["mosquitto", "-v", "-c", self.home / "conf"])
        if not until(lambda: any("running" in line for line in self.process.err)):
            raise RuntimeError("mosquitto: " + "\n".join(self.process.err))
        return self

    def said(self, *_, **__):
        return "mosquitto does not say"

    def mark(self):
        return 0

    def stop(self):
        return self.process.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def log(self):
        return list(self.process.err)
