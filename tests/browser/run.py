#!/usr/bin/env python3
"""The page on which the API can be tried, in a real browser that trusts our CA: `run.py --broker BINARY`.

What lives here: what a person sees and does there. What does not: the browser (chromium).
"""

import argparse
import json
import ssl
import sys
import tempfile
import traceback
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser.chromium import Chromium, make_home  # noqa: E402
from support.scenario import Scenario, tenant  # noqa: E402
from support.shell import administrator  # noqa: E402

PASSWORD = "correct horse: \u00e4"
CERTIFICATE_REQUEST = 13


def make_account(broker):
    """An account of whoever runs the broker."""
    body = {"name": "ada", "password": PASSWORD, "role": "operator", "scopes": ["admin"]}
    request = urllib.request.Request(
        f"https://localhost:{broker.https}/api/v1/accounts", method="POST", data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {administrator(broker)}", "Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=str(broker.ca))).close()


def operation(path):
    """The part of the page that is about GET of this path."""
    named = "[...one.querySelectorAll('summary code')].map((code) => code.textContent.trim()).join(' ')"
    return f"[...document.querySelectorAll('#operations details')].find((one) => {named} === 'GET {path}')"


def try_it(page, path):
    """Opens an operation, sends it, and returns what the page shows."""
    it = operation(path)
    if not page.value(f"({it}).open"):
        page.click(f"({it}).querySelector('summary')")
    page.value(f"({it}).querySelector('pre').textContent = ''")
    page.click(f"({it}).querySelector('button')")
    page.until(f"({it}).querySelector('pre').textContent.length > 2")
    return page.value(f"({it}).querySelector('pre').innerText")


def reading(t, broker, page):
    t.ok(page.open(f"https://localhost:{broker.https}/api/docs/"), None, "the page loads without a certificate error")
    t.ok(page.certificate_state()[0], "secure", "over a connection that the browser calls secure")
    t.check(page.until("document.querySelectorAll('#operations details').length > 50"), "the operations are listed")
    faces = page.value("[...document.querySelectorAll('#face option')].map((one) => one.value)")
    for face in reversed(faces):
        page.value(f"(() => {{ const face = document.getElementById('face'); face.value = '{face}'; face.dispatchEvent(new Event('change')) }})()")
        with urllib.request.urlopen(f"https://localhost:{broker.https}{face}", timeout=10, context=ssl.create_default_context(cafile=str(broker.ca))) as answer:
            wanted = sum(len(methods) for methods in json.load(answer)["paths"].values())
        shown = "document.querySelectorAll('#operations details').length"
        t.check(page.until(f"{shown} === {wanted}"), f"each of {face}, once", f"{page.value(shown)} of {wanted}")


def trying(t, page):
    t.matches(try_it(page, "/tenants"), r"^401 ", "without a login it is refused, and the refusal is shown")
    page.type("document.getElementById('user')", "ada")
    page.type("document.getElementById('password')", PASSWORD)
    t.matches(try_it(page, "/tenants"), r'^200 OK.*"lab"', "with a password that was typed in the answer is shown")
    t.ok(page.value("document.getElementById('password').form !== null"), True, "the password stands in a form")
    page.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    t.ok(page.value("location.search + location.hash"), "", "and leaves it for nowhere, by the enter key either")


def scene(t):
    root = t.pki.root("lab-ca")
    mine = t.pki.leaf(root, "ada")
    broker = t.certus(tenant("lab", "open", root))
    make_account(broker)
    said = t.sh("openssl", "s_client", "-connect", f"localhost:{broker.https}", "-CAfile", broker.ca, stdin=b"")[1]
    t.matches(said, "Acceptable client certificate CA names.*lab-ca", "a tool is asked for a certificate there")

    stranger = Chromium(make_home(t.home / "stranger"))
    try:
        t.matches(stranger.open(f"https://localhost:{broker.https}/api/docs/"), "ERR_CERT_AUTHORITY_INVALID", "a browser without our CA loads nothing")
    finally:
        stranger.close()

    page = Chromium(make_home(t.home / "user", broker.ca, mine))
    try:
        reading(t, broker, page)
        # A refusal that the page asked for is no complaint of the page.
        t.ok(page.complaints(), [], "the console is told nothing")
        page.heard.clear()
        trying(t, page)
        t.ok([one for one in page.complaints() if "status of 401" not in one], [], "nor while it is tried")
    finally:
        page.close()
    messages, questions = page.handshakes()
    t.check(messages and CERTIFICATE_REQUEST not in messages, "in no handshake a CertificateRequest came", messages)
    t.ok(questions, 0, "and nobody was asked for the certificate that they have")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--broker", required=True, help="the certus binary")
    o = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="certus-browser-", ignore_cleanup_errors=True) as scratch:
        t = Scenario("browser", str(Path(o.broker).resolve()), Path(scratch) / "browser")
        try:
            scene(t)
        except Exception:  # noqa: BLE001 - told as a failed check, and the brokers are stopped
            t.check(False, "the scene came to its end", traceback.format_exc()[-2500:])
        t.finish()
    print("\n".join(t.lines))
    print(f"{t.passed} passed, {t.failed} failed")
    return 1 if t.failed or not t.passed else 0


if __name__ == "__main__":
    sys.exit(main())
