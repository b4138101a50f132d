"""AS-09: intermediate CAs, order, path length (TRUST-04…07).

Each case is a tenant of its own, found by the anchor that its chain ends in.
"""

from support.pki import Pair
from support.scenario import NO_TENANT, tenant


def run(t):
    pki, cases, config = t.pki, [], NO_TENANT

    def case(name, chain, anchor, want, reason=None, **switches):
        """`chain` as the client sends it, leaf first; `want` is CONNACK or TLS."""
        nonlocal config
        config += tenant(name, "cumulocity", (anchor, {"auto_registration": True}), **switches)
        file = pki.directory / f"{name}-sent.pem"
        file.write_text("".join(pair.cert.read_text() for pair in chain))
        cases.append((name, chain[0], file, want, reason))

    def family(name, *pathlens):
        """A root, intermediates below it, a device: from the device upwards."""
        root = pki.root(f"{name}-root", pathlen=pathlens[0])
        line = [root]
        for depth, pathlen in enumerate(pathlens[1:]):
            line.insert(0, pki.intermediate(line[0], f"{name}-ca{depth}", pathlen=pathlen))
        return [pki.leaf(line[0], f"{name}-pump"), *line]

    two = family("limit2", 10, None)
    case("limit2", two, two[-1], "TLS", "chain_too_long")
    three = family("limit3", 10, None)
    case("limit3", three, three[-1], "CONNACK", max_chain_length=3)
    mid = family("middle", 10, None)
    case("middle", mid[:2], mid[1], "CONNACK")
    need = family("needed", None)
    case("needed", need[:1], need[-1], "TLS", "missing_anchor", anchor_in_chain="required")
    both = family("both", None)
    case("both", both, both[-1], "CONNACK", anchor_in_chain="required")
    either = family("either", 10, None)
    case("either", either[:2], either[-1], "CONNACK", max_chain_length=3)
    short = family("pathlen", 0, None)
    case("pathlen", short, short[-1], "TLS", "pathlen", max_chain_length=3)
    swapped = family("swapped", 10, 5, None)
    case("swapped", [swapped[0], swapped[3], swapped[1], swapped[2]], swapped[3], "CONNACK", max_chain_length=4)
    deep = family("deep", 2, 1, 0)
    case("deep", deep, deep[-1], "CONNACK", max_chain_length=4)
    deeper = family("deeper", 2, 1, 0, None)
    case("deeper", deeper, deeper[-1], "TLS", "pathlen", max_chain_length=10)
    stray = family("stray", None)
    case("stray", [stray[0], deep[1], two[-1]], stray[-1], "CONNACK")

    broker = t.certus(config)
    text = {
        "limit2": "an intermediate under limit 2", "limit3": "max_chain_length = 3", "middle": "the intermediate as anchor, limit 2",
        "needed": "without the root, anchor_in_chain = required", "both": "with the root, anchor_in_chain = required",
        "either": "without the root, anchor_in_chain = either", "pathlen": "pathlen:0 above an intermediate",
        "swapped": "swapped order after the leaf", "deep": "pathlen 2, 1, 0", "deeper": "one CA more than pathlen allows",
        "stray": "unrelated certificates behind the leaf",
    }
    for name, leaf, file, want, reason in cases:
        before = broker.mark()
        pair = Pair(pki.directory, leaf.name)
        said = t.verdict(broker, pair, f"d:{leaf.name}", chain=file)
        t.matches(said, "^CONNACK 0" if want == "CONNACK" else "^TLS", f"{text[name]}: {want}")
        if reason:
            t.check(broker.said(rf"\b{reason}\b", before), f"{text[name]}: the audit line says {reason}", broker.log()[before:])
