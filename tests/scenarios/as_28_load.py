"""AS-28 in small: under load nothing is lost, doubled or out of order, by the counts of `certus bench`, of its suite, and by
what mosquitto's own clients print. No time is judged.

How fast it is, is measured by hand: src/manual/performance.md.
"""

import json
import subprocess

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


def suite(t, broker):
    """Every scenario of the suite with a few clients, for correctness alone."""
    files = "--cafile", broker.ca, "--ca-cert", broker.certs / "device-ca.pem", "--ca-key", broker.certs / "device-ca.key"
    short = "--rounds", "1", "--duration", "0.2", "--warm-up", "0", "--at-most", "8"
    report, page = t.home / "suite.json", t.home / "suite.html"
    # The idle crowd with signs of life is held for a minute whatever is said; its parts are in the others.
    groups = "table,open,beside,growth,durable,spec-connect-tcp,spec-connect-rsa"
    code, said = t.sh(t.binary, "bench", "suite", "--only", groups, *short, "--port", broker.tls, "--plain-port", broker.plain,
                      "--pid", broker.process.child.pid, "--json", report, "--html", page, *files, seconds=240)
    t.ok(code, 0, "the suite: exit code") or t.lines.append(said[-3000:])
    rows = json.loads(report.read_text() or "{}").get("scenarios", [])
    t.check(len(rows) > 30, "the suite: all scenarios stand in its report", len(rows))
    for row in rows:
        (cell,) = row["brokers"].values()
        faults = {key: cell[key] for key in ("lost", "repeated", "out_of_order", "failed")}
        t.check(cell["clean"] and not any(faults.values()), f"the suite: {row['name']} without a fault", (faults, cell["reasons"]))
        measured = [figure["key"] for figure in row["figures"] if list(figure["brokers"].values())[0]]
        t.check(row["figures"][0]["key"] in measured, f"the suite: {row['name']} has its first figure", measured)
    t.check(page.read_text().count("<svg") > 30, "the suite: its page has a plot for each scenario", "")


def mosquitto_tools(t, broker):
    """Ten pairs of mosquitto's clients at each QoS, over TLS and without: each subscriber prints what its publisher read."""
    count = 200
    lines = [f"{number:05} {'x' * 250}" for number in range(count)]
    tls = {name: ("-p", str(broker.tls), "--cafile", broker.ca, "--cert", broker.certs / f"{name}.pem", "--key", broker.certs / f"{name}.key",
                  "-i", name) for name in ("sensor-1", "dashboard-1")}
    pairs = [(f"bench/{index}", ("-p", str(broker.plain), "-i", f"sub{index}"), ("-p", str(broker.plain), "-i", f"pub{index}")) for index in range(9)]
    pairs.append(("bench/tls", tls["dashboard-1"], tls["sensor-1"]))
    for qos in "012":
        common = "-h", "localhost", "-q", qos
        start = lambda *command, **more: subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        subscribers = [start("stdbuf", "-oL", "mosquitto_sub", "-d", *common, "-t", topic, *way, "-C", count, "-W", "20") for topic, way, _ in pairs]
        for subscriber in subscribers:
            while "SUBACK" not in (line := subscriber.stdout.readline()) and line:
                pass
        publishers = [start("mosquitto_pub", *common, "-t", topic, *way, "-l", stdin=subprocess.PIPE) for topic, _, way in pairs]
        for publisher in publishers:
            publisher.stdin.write("\n".join(lines) + "\n")
            publisher.stdin.close()
        said = [publisher.stderr.read() for publisher in publishers]
        codes = [publisher.wait(30) for publisher in publishers]
        t.ok((codes, "".join(said)), ([0] * 10, ""), f"mosquitto_pub, QoS {qos}: ten publishers end without an error line")
        for (topic, _, _), subscriber in zip(pairs, subscribers):
            got = [line for line in subscriber.communicate(timeout=30)[0].splitlines() if line[:1].isdigit()]
            t.check(got == lines, f"mosquitto_sub, QoS {qos}, {topic}: {count} messages once and in order", (len(got), got[:2]))


def run(t):
    broker = t.certus()
    suite(t, broker)
    mosquitto_tools(t, broker)
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
