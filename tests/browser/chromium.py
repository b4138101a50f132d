"""Debian's Chromium without a window, with certificates of its own, driven through the DevTools protocol.

What lives here: the profile, the pipe, and what a person does with mouse and keyboard. What does not: which page is looked
at, and what is expected of it.
"""

import json
import os
import select
import subprocess
import time
from pathlib import Path


def certutil(home, *args):
    subprocess.run(["certutil", "-d", f"sql:{home}/.pki/nssdb", *map(str, args)], check=True, capture_output=True, timeout=60)


def make_home(home, ca=None, pair=None):
    """A home directory with a certificate database: a CA that is trusted for servers, and a certificate of the user's."""
    (Path(home) / ".pki/nssdb").mkdir(parents=True)
    certutil(home, "-N", "--empty-password")
    if ca:
        certutil(home, "-A", "-n", "the broker's CA", "-t", "C,,", "-i", ca)
    if pair:
        p12 = Path(home) / "user.p12"
        subprocess.run(["openssl", "pkcs12", "-export", "-in", pair.cert, "-inkey", pair.key, "-name", "mine", "-out", p12, "-passout", "pass:"],
                       check=True, capture_output=True, timeout=60)
        subprocess.run(["pk12util", "-d", f"sql:{home}/.pki/nssdb", "-i", p12, "-W", "", "-K", ""], check=True, capture_output=True, timeout=60)
    return Path(home)


class Chromium:
    """A browser with one page. Nothing is ignored: no switch here is about certificates."""

    def __init__(self, home):
        self.home, self.net_log = Path(home), Path(home) / "net.json"
        self.heard, self.rest, self.last, self.said = [], b"", 0, open(self.home / "chromium.txt", "wb")
        inner_read, self.outbox = os.pipe()
        self.inbox, inner_write = os.pipe()
        command = ["chromium", "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
                   "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={home}/profile",
                   f"--log-net-log={self.net_log}", "--net-log-capture-mode=Everything", "about:blank"]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")
        # The protocol is spoken over the descriptors 3 and 4.
        self.child = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{inner_read} 4>&{inner_write}', "bash", *command], pass_fds=(inner_read, inner_write),
            env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said)
        os.close(inner_read), os.close(inner_write)
        self.session = None
        page = next(target for target in self.ask("Target.getTargets", seconds=60)["targetInfos"] if target["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _hear(self, seconds):
        """The next message, or None when none came in time."""
        end = time.monotonic() + seconds
        while b"\0" not in self.rest:
            if not select.select([self.inbox], [], [], max(0, end - time.monotonic()))[0]:
                return None
            piece = os.read(self.inbox, 65536)
            if not piece:
                raise RuntimeError("the browser ended: " + (self.home / "chromium.txt").read_text(errors="replace")[-1500:])
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def ask(self, method, seconds=20, **params):
        """One command and its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params, **({"sessionId": self.session} if self.session else {})}
        os.write(self.outbox, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            heard = self._hear(end - time.monotonic())
            if heard and heard.get("id") == self.last:
                if "error" in heard:
                    raise RuntimeError(f"{method}: {heard['error']}")
                return heard["result"]
            if heard:
                self.heard.append(heard)
        raise RuntimeError(f"{method}: no answer within {seconds} s")

    def open(self, url):
        """Loads a page; returns what was wrong with it, or None."""
        error = self.ask("Page.navigate", url=url).get("errorText")
        if not error:
            self.until("document.readyState === 'complete'")
        return error

    def value(self, script):
        got = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in got:
            raise RuntimeError(f"{script}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def until(self, script, seconds=15):
        """Asks again until the answer is true or the time is over."""
        end = time.monotonic() + seconds
        while not (got := self.value(script)) and time.monotonic() < end:
            time.sleep(0.05)
        return got

    def click(self, script):
        """Presses and releases the mouse on an element."""
        x, y = self.value(f"(() => {{ const it = {script}; it.scrollIntoView({{block: 'center'}}); const at = it.getBoundingClientRect(); "
                          "return [at.x + at.width / 2, at.y + at.height / 2] })()")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, script, text):
        self.click(script)
        self.ask("Input.insertText", text=text)

    def complaints(self):
        """All that the console was told, by the page or by the browser, hints included."""
        self.ask("Runtime.evaluate", expression="0")
        found = []
        for heard in self.heard:
            method, params = heard.get("method"), heard.get("params", {})
            if method == "Log.entryAdded":
                entry = params["entry"]
                found.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
            elif method == "Runtime.consoleAPICalled":
                found.append(f"console.{params['type']}: {params['args']}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"exception: {params['exceptionDetails']}")
        return found

    def certificate_state(self):
        """How the page came, by the browser's own judgement: (protocol, its issuer) of the last answer over TLS."""
        answers = [heard["params"]["response"] for heard in self.heard if heard.get("method") == "Network.responseReceived"]
        tls = [(answer["securityState"], answer["securityDetails"]["issuer"]) for answer in answers if "securityDetails" in answer]
        return tls[-1] if tls else None

    def close(self):
        """Ends the browser; the log of the network is whole then."""
        try:
            self.session = None
            self.ask("Browser.close")
        except (RuntimeError, OSError):
            pass
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)
        os.close(self.inbox), os.close(self.outbox), self.said.close()

    def handshakes(self):
        """The kinds of handshake messages that servers sent (RFC 8446 section 4), by name, and whether a certificate was asked for."""
        log = json.loads(self.net_log.read_text())
        types = {number: name for name, number in log["constants"]["logEventTypes"].items()}
        names = [(types.get(event["type"]), event.get("params", {})) for event in log["events"]]
        messages = [params.get("type") for name, params in names if name == "SSL_HANDSHAKE_MESSAGE_RECEIVED"]
        return messages, sum(name == "SSL_CLIENT_CERT_REQUESTED" for name, _ in names)
