#!/usr/bin/env python3
"""Runs the acceptance scenarios: each file beside this one with a function `run`, three at a time, each in its own directory.

`run.py --broker BINARY [NAME…]` runs those whose file name contains NAME.
"""

import argparse
import importlib
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from support.scenario import Scenario  # noqa: E402


def play(name, binary, home):
    scenario = Scenario(name, binary, Path(home) / name)
    try:
        importlib.import_module(f"scenarios.{name}").run(scenario)
    except Exception as error:  # noqa: BLE001 - it belongs to this scenario, the others go on
        where = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(where) if "scenarios" in frame.filename), where[-1])
        scenario.check(False, f"{type(error).__name__} in {Path(own.filename).name}:{own.lineno}", str(error)[-1500:])
    scenario.finish()
    return scenario


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--broker", required=True, help="the certus binary")
    options.add_argument("--keep", help="a directory for everything that the run makes")
    options.add_argument("names", nargs="*")
    o = options.parse_args()
    files = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
    names = [name for name in files if not o.names or any(part in name for part in o.names)]
    begun = time.monotonic()
    passed = failed = 0
    binary = str(Path(o.broker).resolve())
    with tempfile.TemporaryDirectory(prefix="certus-scenarios-") as scratch, ThreadPoolExecutor(3) as pool:
        Path(scratch).chmod(0o755)
        for scenario in pool.map(lambda name: play(name, binary, o.keep or scratch), names):
            passed, failed = passed + scenario.passed, failed + scenario.failed
            print(f"{scenario.name}: {scenario.passed} ok, {scenario.failed} failed")
            print("".join(f"  {line}\n" for line in scenario.lines if scenario.failed), end="", flush=True)
    print(f"{len(names)} scenarios, {time.monotonic() - begun:.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
