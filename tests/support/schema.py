#!/usr/bin/env python3
"""Asks every operation of the served OpenAPI documents with generated requests, good and bad: no 5xx, and no answer that the
document does not know. `schema.py --broker BINARY --schemathesis PROGRAM [--seconds N]`

What lives here: the broker that is asked, and what is asked of it. What does not: the generating (schemathesis).
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.broker import Certus  # noqa: E402

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,unsupported_method")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--broker", required=True)
    options.add_argument("--schemathesis", required=True)
    options.add_argument("--seconds", default="60")
    options.add_argument("--seed", default="20260101")
    o = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="certus-schema-") as home:
        broker = Certus(Path(o.broker).resolve(), home, '[storage]\ndurability = "memory"\n').start()
        try:
            token = re.search(r"certus_\w+", "\n".join(broker.process.out))[0]
            base = f"https://localhost:{broker.https}/api/v1"
            done = subprocess.run(
                [o.schemathesis, "run", f"{base}/openapi.json", "--url", base, "--tls-verify", str(broker.ca),
                 "-H", f"Authorization: Bearer {token}", "-c", CHECKS, "--phases", "examples,coverage,fuzzing",
                 # Its own token is not to be deleted, and what is followed never ends.
                 "--exclude-path", "/tokens/{token}", "--exclude-path", "/refusals/tail",
                 # A head that is no HTTP ends its connection, and the next request may meet that end.
                 "--request-retries", "2", "--max-time", o.seconds, "--seed", o.seed, "--no-color", "--generation-database", "none", "--warnings", "off"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=int(o.seconds) * 3 + 60, cwd=home)
            alive = broker.process.child.poll() is None
            panics = [line for line in broker.process.err if "panicked" in line]
        finally:
            broker.stop()
    print("\n".join(done.stdout.splitlines()[-150:]))
    print("\n".join(panics))
    bad = done.returncode != 0 or not alive or bool(panics)
    print(f"{0 if bad else 1} passed, {1 if bad else 0} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
