#!/usr/bin/env python3
"""Prints what one CONNECT is answered with: `CONNACK 0 sp 0`, `TLS …` or `CLOSED`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from support import wire  # noqa: E402


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--port", type=int, required=True)
    a.add_argument("--ca")
    a.add_argument("--cert")
    a.add_argument("--key")
    a.add_argument("--id", default="")
    a.add_argument("--user")
    a.add_argument("--pw")
    o = a.parse_args()
    more = {key: given for key, given in (("cert", o.cert), ("key", o.key), ("user", o.user), ("password", o.pw)) if given is not None}
    print(wire.verdict(o.port, o.id, ca=o.ca, **more))


if __name__ == "__main__":
    main()
