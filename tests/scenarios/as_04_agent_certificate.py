"""AS-04, identity part: self-issued agent certificate, ClientId rule, a CA that is not trusted yet (AUTH-03, TRUST-03…05)."""

from support.broker import until
from support.scenario import tenant


def run(t):
    name, device = "acme7", "press-12"
    subject = f"/C=FI/ST=TKU/O=BOREALIS/OU=IT/CN={device}"
    ca = t.pki.root(name, subject=f"/C=FI/ST=TKU/O=BOREALIS/OU=IT/CN={name}", days=3650, kind="2048")
    press = t.pki.leaf(ca, device, version=1, days=365, kind="2048", subject=subject)
    chain = press.chain_with(ca)
    broker = t.certus(tenant(name, "mindconnect", ca))
    full = f"{name}_{device}"

    t.ok(t.verdict(broker, press, full, chain=chain), "CONNACK 0 sp 0", "chain, tenant form")
    t.ok(t.verdict(broker, press, full), "CONNACK 0 sp 0", "leaf only")
    t.ok(t.verdict(broker, press, device), "CONNACK 0 sp 0", "bare CN")
    t.ok(t.verdict(broker, press, f"{name}_press-13"), "CONNACK 5 sp 0", "foreign ClientId")
    code, said = t.mosquitto_pub(
        broker, press, full, "-q", "1", "-t", f"tc/{name}/{full}/o/mc_v3/ts", "-m",
        '{"timeseries":[{"timestamp":"2026-11-21T07:00:00.000Z","values":[{"dataPointId":"p1","value":"7.5","qualityCode":"0"}]}]}')
    t.ok(code, 0, f"the agent publishes ({said.strip()})")

    second = t.pki.root("second", kind="2048")
    late = t.pki.leaf(second, "press-14", version=1, kind="2048")
    before = broker.mark()
    t.matches(t.verdict(broker, late, f"{name}_press-14"), "^TLS .*UNKNOWN_CA", "a CA that is not trusted")
    t.check(broker.said(r"unknown_issuer", before), "and the log names the reason")
    t.check(broker.said(r"press-14", before), "and the certificate")
    broker.reload(tenant(name, "mindconnect", ca, second))
    t.check(until(lambda: t.verdict(broker, late, f"{name}_press-14") == "CONNACK 0 sp 0"), "trusted after a reload")
