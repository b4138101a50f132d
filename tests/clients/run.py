#!/usr/bin/env python3
"""Clients that we did not write, each in every version and over every transport it speaks: the matrix.

What lives here: the rows, their certificates, the table. What does not: what is said (conversation.py).
`--against mosquitto` holds the same conversations with Debian's broker: when a cell fails there too, the client or the
script is at fault. `--only paho` runs the rows whose name contains it.
"""

import argparse
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from clients.conversation import Agent, Conversation, Mosquitto as MosquittoClient  # noqa: E402
from support.broker import Certus, Mosquitto as MosquittoBroker  # noqa: E402
from support.pki import Pki  # noqa: E402

HERE = Path(__file__).parent
VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5.0"}
TALKS = ["qos 0", "qos 1", "qos 2", "retained", "will", "session", "wildcard", "take-over"]
REFUSALS = ["wrong CN", "untrusted CA", "expired", "no certificate"]
CONFIG = """
[[tenant]]
id = "lab"
profile = "open"
[[tenant.anchor]]
file = "{anchor}"
"""


class Row:
    """One library in one version over one transport."""

    def __init__(self, library, version, secure, web):
        self.client, self.version, self.secure, self.web = library, version, secure, web
        self.name = f"{library}-{version}{'w' if web else ''}{'s' if secure else 'p'}"
        door = ("wss" if secure else "ws") if web else ("8883" if secure else "1883")
        self.title = f"{library:<9} {VERSIONS[version]:<5} {door:<4}"
        self.cells, self.faults = {}, []

    def id(self, role):
        return f"{self.name}-{role}"


def all_rows(agents):
    speaks = {"mosquitto": (3, 4, 5), "paho1": (3, 4, 5), "paho2": (3, 4, 5), "mqttjs": (3, 4, 5), "rumqttc": (4, 5),
              "pahoc": (3, 4, 5), "aiomqtt": (3, 4, 5), "gmqtt": (4, 5)}
    web = {"paho1", "paho2", "mqttjs", "pahoc", "aiomqtt"}
    return [Row(library, version, secure, framed) for library in agents for framed in (False, True)[: 1 + (library in web)]
            for version in speaks[library] for secure in (True, False)]


def certify(pki, anchor, stranger, row):
    """The certificates of a row: two good ones, one of another CA, one that ended."""
    if row.secure:
        for role in ("rx", "tx"):
            pki.leaf(anchor, row.id(role))
        pki.leaf(stranger, row.id("tx"), name=row.id("tx") + "-stranger")
        pki.expired(anchor, row.id("tx"), name=row.id("tx") + "-expired")


def opener(row, agent, broker, pki):
    """The function by which the conversation opens connections."""
    # One library stays at TLS 1.2, as devices in the field do.
    newest = "1.2" if row.client == "paho1" else None
    framed = {"web": True} if row.web else {}

    def who(role, client_id=None, cert=None):
        client_id = client_id or row.id(role)
        if not row.secure:
            return agent.open(client_id, version=row.version, port=broker.ws if row.web else broker.plain, **framed)
        name = row.id(role) if cert is None else cert
        files = {"cert": str(pki.directory / f"{name}.pem"), "key": str(pki.directory / f"{name}.key")} if name else {}
        tls = {"ca": str(broker.ca), "version": newest, **files}
        return agent.open(client_id, version=row.version, port=broker.wss if row.web else broker.tls, tls=tls, **framed)

    return who


def refusals(row):
    """What to try, the CONNACK code that must come (None: TLS ends it), and the reason in the broker's log."""
    not_authorised = 0x87 if row.version == 5 else 5
    own = row.id("tx")
    return {
        "wrong CN": ({"client_id": row.id("other")}, not_authorised, row.id("other")),
        "untrusted CA": ({"cert": own + "-stranger"}, None, rf"unknown_issuer.*{own}|{own}.*unknown_issuer"),
        "expired": ({"cert": own + "-expired"}, None, rf"expired.*{own}|{own}.*expired"),
        "no certificate": ({"cert": ""}, None, "no_certificate|certificate_required|missing_certificate"),
    }


def talk(row, agent, broker, pki):
    conversation = Conversation(opener(row, agent, broker, pki), f"t/{row.name}")
    cells = {f"qos {qos}": lambda qos=qos: conversation.round_trip(qos) for qos in (0, 1, 2)}
    cells |= {name: getattr(conversation, name.replace("-", "")) for name in TALKS[3:]}
    if row.secure:
        cells |= {name: lambda plan=plan: refuse(conversation, broker, *plan) for name, plan in refusals(row).items()}
        if broker.name == "mosquitto":
            del cells["wrong CN"]  # it does not compare
    for name, cell in cells.items():
        try:
            cell()
            row.cells[name] = "ok"
        except Exception as error:  # noqa: BLE001 - every fault belongs into its cell
            row.cells[name] = "FAIL"
            where = traceback.extract_tb(error.__traceback__)[-1]
            row.faults.append(f"{row.title}  {name}: {type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")


def refuse(conversation, broker, changes, code, pattern):
    before = broker.mark()
    refused = conversation.refusal(changes)
    if refused is None:
        raise AssertionError("it was let in")
    if refused.code != code:
        raise AssertionError(f"CONNACK code {refused.code}, want {code} ({refused.why})")
    if not broker.said(pattern, before):
        raise AssertionError(f"no line of the log matches {pattern}")


def table(rows):
    columns = TALKS + REFUSALS
    print(" " * 21 + "  ".join(columns))
    for row in rows:
        print(row.title + " " + "  ".join(f"{row.cells.get(name, '–'):^{len(name)}}" for name in columns))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--broker", help="the certus binary")
    options.add_argument("--cache", default=str(HERE.parent / ".cache"), help="where tests/run put the libraries")
    options.add_argument("--rumqttc", help="the rumqttc-agent binary; without it its rows are left out")
    options.add_argument("--against", choices=["certus", "mosquitto"], default="certus")
    options.add_argument("--only", default="")
    options.add_argument("--keep", help="a directory for everything that the run makes")
    o = options.parse_args()
    begun, cache = time.monotonic(), Path(o.cache)
    commands = {"mosquitto": None, "paho1": [cache / "paho1/bin/python", HERE / "paho_agent.py"],
                "paho2": [cache / "paho2/bin/python", HERE / "paho_agent.py"],
                "mqttjs": ["node", HERE / "mqttjs_agent.mjs", cache], "rumqttc": o.rumqttc and [o.rumqttc],
                "pahoc": [cache / "paho-c-agent"], "aiomqtt": [cache / "aiomqtt/bin/python", HERE / "asyncio_agent.py", "aiomqtt"],
                "gmqtt": [cache / "gmqtt/bin/python", HERE / "asyncio_agent.py", "gmqtt"]}
    if not o.rumqttc:
        del commands["rumqttc"]
    rows = [row for row in all_rows(commands) if o.only in row.name]
    commands = {library: command for library, command in commands.items() if any(row.client == library for row in rows)}
    with tempfile.TemporaryDirectory(prefix="certus-clients-") as scratch, ThreadPoolExecutor(4) as pool:
        home = Path(o.keep or scratch)
        pki = Pki(home / "pki")
        anchor, stranger = pki.root("plant"), pki.root("stranger")
        list(pool.map(lambda row: certify(pki, anchor, stranger, row), rows))
        agents = {name: Agent([str(part) for part in command]) if command else MosquittoClient() for name, command in commands.items()}
        if o.against == "mosquitto":
            broker = MosquittoBroker(home / "broker", pki, anchor)
        else:
            broker = Certus(o.broker, home / "broker", CONFIG.format(anchor=anchor.cert), web=True)
        with broker:
            list(pool.map(lambda row: talk(row, agents[row.client], broker, pki), rows))
            for agent in agents.values():
                agent.stop()
        faults = [fault for row in rows for fault in row.faults]
        table(rows)
        if faults:
            print("\n" + "\n".join(faults) + "\n\nthe end of the broker's log:\n" + "\n".join(broker.log()[-30:]))
    results = [result for row in rows for result in row.cells.values()]
    print(f"{len(rows)} rows, {time.monotonic() - begun:.1f} s")
    print(f"{results.count('ok')} passed, {results.count('FAIL')} failed")
    return 1 if faults or not results else 0


if __name__ == "__main__":
    sys.exit(main())
