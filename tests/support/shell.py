"""A scenario that is a shell script: the documented command lines as they stand, with `ok got want text` for checks."""

import os
import re
import subprocess
import sys
from pathlib import Path

PRELUDE = r"""
set -u
mc()  { curl -sS --cacert "$CA" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
c8y() { curl -sS --cacert "$CA" -u "$C8Y/$C8Y_AUTH" -H 'Accept: application/json' -H 'Content-Type: application/json' "$@"; }
code(){ "$@" -o /dev/null -w '%{http_code}'; }
esc() { awk -v ORS='\\n' '1' "$1"; }
ok()  { if [ "$1" = "$2" ]; then echo "CHECK ok   $3"; else echo "CHECK FAIL $3: got '$1' want '$2'"; fi; }
raw() { python3 "$SUPPORT/rawconn.py" --port "$MQTTS" --ca "$CA" "$@"; }
"""


def play(t, broker, script, seconds=120, **variables):
    """Runs `script` in the scenario's directory against `broker`; each `ok` in it is a check."""
    env = {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SUPPORT": str(Path(__file__).parent), "CA": str(broker.ca), "MQTTS": str(broker.tls), "MQTT": str(broker.plain),
        "HTTPS": str(broker.https), "BROKER": "localhost", "URL": f"https://localhost:{broker.https}", "CERTUS": str(broker.binary),
        **{key: str(value) for key, value in variables.items()},
    }
    done = subprocess.run(["bash", "-c", PRELUDE + script], cwd=t.home, env=env, capture_output=True, text=True, timeout=seconds)
    checks = re.findall(r"^CHECK (ok  |FAIL) (.*)$", done.stdout, re.M)
    for verdict, text in checks:
        t.check(verdict != "FAIL", text, "" if verdict != "FAIL" else "see the text")
    t.check(done.returncode == 0 and checks, "the script came to its end", (done.stdout + done.stderr)[-1500:])


def administrator(broker):
    """The token that a first start told."""
    found = re.search(r"\bcertus_[0-9a-f]{16}_\S+", "\n".join(broker.process.out))
    if not found:
        raise RuntimeError("the broker told no administrator's token")
    return found[0]
