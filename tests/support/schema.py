#!/usr/bin/env python3
"""Asks every operation of the served OpenAPI documents with generated requests, good and bad: no 5xx, and no answer that the
document does not know. `schema.py --broker BINARY --schemathesis PROGRAM [--seconds N]`

What lives here: the broker that is asked, and what is asked of it. What does not: the generating (schemathesis).
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.broker import Certus  # noqa: E402
from support.scenario import tenant  # noqa: E402
from support.shell import administrator  # noqa: E402

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method")

# Name, the document, its base, the tenant of the token (None: that of whoever runs the broker), the share of the time, and
# what is left out: what would end the token, and what never ends.
DOCUMENTS = [
    ("native", "/api/v1/openapi.json", "/api/v1", None, 4, ["/tokens/{token}", "/refusals/tail"]),
    ("mindconnect", "/api/mindconnectmqtt/v3/openapi.json", "/api/mindconnectmqtt/v3", "mind", 1.5, []),
    ("cumulocity", "/tenant/openapi.json", "", "t2250", 1.5, ["/user/logout"]),
    ("centiloc", "/api/usermqtt/v1/openapi.json", "/api/usermqtt/v1", None, 1.5, []),
    ("est", "/.well-known/est/openapi.json", "/.well-known/est", "lab", 1.5, []),
]
SCOPES = {"mind": ["mcmqtt.admin"], "t2250": ["admin"], "lab": ["admin"]}


def token_of(broker, master, owner):
    """A token of a tenant."""
    request = urllib.request.Request(
        f"https://localhost:{broker.https}/api/v1/tenants/{owner}/tokens", method="POST",
        data=json.dumps({"name": "schema", "scopes": SCOPES[owner]}).encode(),
        headers={"Authorization": f"Bearer {master}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10, context=ssl.create_default_context(cafile=str(broker.ca))) as answer:
        return json.load(answer)["token"]


def asked(o, broker, home, master, document, seconds):
    """Whether all answers of one document are as it says."""
    name, place, base, owner, _, left_out = document
    token = token_of(broker, master, owner) if owner else master
    root = f"https://localhost:{broker.https}"
    print(f"{name}: {seconds:.0f} s", flush=True)
    done = subprocess.run(
        [o.schemathesis, "run", root + place, "--url", root + base, "--tls-verify", str(broker.ca),
         "-H", f"Authorization: Bearer {token}", "-c", CHECKS, "--phases", "examples,coverage,fuzzing",
         *(part for path in left_out for part in ("--exclude-path", path)),
         # A head that is no HTTP ends its connection, and the next request may meet that end.
         "--request-retries", "2", "--max-time", str(round(seconds)), "--seed", o.seed, "--no-color", "--generation-database", "none", "--warnings", "off"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds * 3 + 60, cwd=home,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schema_hooks.py"))})
    print("\n".join(done.stdout.splitlines()[-150 if done.returncode else -25:]))
    return done.returncode == 0


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--broker", required=True)
    options.add_argument("--schemathesis", required=True)
    options.add_argument("--seconds", type=float, default=100)
    options.add_argument("--seed", default="20260101")
    options.add_argument("names", nargs="*", help="documents; all of them without a name")
    o = options.parse_args()
    o.schemathesis = str(Path(o.schemathesis).resolve())
    chosen = [document for document in DOCUMENTS if not o.names or document[0] in o.names]
    config = '[storage]\ndurability = "memory"\n[https]\nmax_certificate_requests_per_minute = 0\n'
    config += tenant("lab", "open") + tenant("mind", "mindconnect") + tenant("t2250", "cumulocity") + tenant("acme", "centiloc")
    good = 0
    with tempfile.TemporaryDirectory(prefix="certus-schema-") as home:
        broker = Certus(Path(o.broker).resolve(), home, config).start()
        try:
            master = administrator(broker)
            shares = sum(document[4] for document in chosen)
            for document in chosen:
                good += asked(o, broker, home, master, document, o.seconds * document[4] / shares)
            alive = broker.process.child.poll() is None
            panics = [line for line in broker.process.err if "panicked" in line]
        finally:
            broker.stop()
    print("\n".join(panics))
    bad = len(chosen) - good + (not alive) + len(panics)
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
