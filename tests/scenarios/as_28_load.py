"""AS-28 in small: under load nothing is lost, doubled or out of order, by the counts of `certus bench`. No time is judged.

How fast it is, is measured by hand: src/manual/performance.md.
"""

import json

# Shape and flags, and the copies that each message makes.
LOADS = [
    ("pairs", ("--count", "3000"), 1),
    ("pairs", ("--count", "3000", "-q", "0"), 1),
    ("pairs", ("--count", "3000", "-q", "2"), 1),
    ("pairs", ("--count", "3000", "-q", "2", "-V", "5.0", "--tls", "1.2"), 1),
    ("pairs", ("--count", "3000", "-V", "3.1", "--window", "1"), 1),
    ("pairs", ("--count", "300", "--size", "100000", "-V", "5.0"), 1),
    ("pairs", ("--count", "3000", "--plain"), 1),
    ("fan-out", ("--count", "100", "--subscribers", "50"), 50),
    ("fan-in", ("--count", "3000", "--publishers", "50"), 1),
    ("wildcard", ("--count", "1000", "--publishers", "5", "--subscribers", "5"), 5),
    ("shared", ("--count", "2000", "--publishers", "5", "--subscribers", "5", "-V", "5.0"), 1),
    ("queue", ("--count", "1000", "--publishers", "5", "--subscribers", "5"), 1),
]


def bench(t, broker, shape, *flags):
    """(exit code, the JSON object or what was said instead)."""
    port = broker.plain if "--plain" in flags else broker.tls
    files = "--cafile", broker.ca, "--ca-cert", broker.certs / "device-ca.pem", "--ca-key", broker.certs / "device-ca.key"
    code, said = t.sh(t.binary, "bench", shape, "--json", "--port", port, *files, "--warm-up", "0", *flags, seconds=60)
    report = [line for line in said.splitlines() if line.startswith("{")]
    return code, json.loads(report[0]) if report else said


def run(t):
    broker = t.certus()
    for shape, flags, copies in LOADS:
        name = f"{shape} {' '.join(flags)}"
        code, report = bench(t, broker, shape, *flags)
        if not t.check(isinstance(report, dict), f"{name}: a report", report):
            continue
        count = int(flags[1])
        faults = {key: report[key] for key in ("lost", "repeated", "out_of_order", "failed")}
        t.ok(faults, dict.fromkeys(faults, 0), f"{name}: nothing lost, doubled, out of order or failed")
        sent, arrived = ("queued", "drained") if shape == "queue" else ("sent", "delivered")
        t.ok((report[sent], report[arrived]), (count, count * copies), f"{name}: all was sent and arrived")
        t.ok(code, 0, f"{name}: exit code")
        if shape != "queue":
            t.ok(report["acknowledged"], 0 if "0" in flags else count, f"{name}: what asks for it is acknowledged")
    for flags, resumed in (((), 0), (("--resumed",), 40), (("--tls", "1.2", "--key", "rsa"), 0)):
        code, report = bench(t, broker, "connect", "--clients", "40", *flags)
        got = isinstance(report, dict) and (code, report["connected"], report["failed"], report["resumed"])
        t.ok(got, (0, 40, 0, resumed), f"connect {' '.join(flags)}: forty connect")
    t.check(not any("panicked" in line for line in broker.log()), "nothing in the broker panicked")

    small = t.certus("[queues]\noffline_messages = 5\n")
    code, report = bench(t, small, "queue", "--count", "100", "--publishers", "2", "--subscribers", "2")
    t.check(code == 1 and report["lost"] == 90, "what a full queue drops is counted as lost", (code, report))
    small.stop()
    t.ok(bench(t, small, "pairs", "--count", "10")[0], 2, "without a broker nothing is measured")
