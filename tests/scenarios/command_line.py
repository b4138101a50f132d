"""A broker administered by the command line alone: AS-01's anchor, the rotation of a CA, revocation, accounts, tokens, audit."""

import json
import subprocess
import time

from support.broker import until
from support.pki import Pair
from support.scenario import openssl, tenant


class CommandLine:
    """`certus` against one broker, as one caller."""

    def __init__(self, t, broker, token):
        self.t, self.broker, self.file = t, broker, t.home / f"token{time.monotonic_ns()}"
        self.file.write_text(token + "\n")

    def flags(self):
        return ["--url", f"https://localhost:{self.broker.https}", "--ca", self.broker.ca, "--token-file", self.file]

    def __call__(self, *command, stdin=b""):
        """(exit code, what it said) in one text."""
        code, said = self.t.sh(self.t.binary, *command, *self.flags(), stdin=stdin)
        return f"{code} {said}"

    def json(self, *command):
        code, said = self.t.sh(self.t.binary, *command, "--json", *self.flags(), stdin=b"")
        return json.loads(said) if code == 0 else said


def first_token(broker):
    return next(word for line in broker.process.out for word in line.split() if word.startswith("certus_"))


def rotation(t, certus, broker):
    """Upload, prove, preview, delete: nobody but the holders of the old CA's certificates is cut off."""
    old, new = t.pki.root("root"), t.pki.root("next")
    pump, lamp = t.pki.leaf(old, "pump-1"), t.pki.leaf(new, "lamp-1")
    t.matches(t.verdict(broker, pump, "pump-1"), "^TLS", "before the anchor is there, its device is a stranger")
    t.matches(certus("anchor", "add", "--tenant", "lab", "--name", "root", old.cert), r"^0 anchor root .*added.*not proved yet", "AS-01: the anchor is added")
    on_old = t.live(broker, pump, "pump-1")
    code = certus.json("anchor", "code", "root")["registration_code"]
    t.matches(certus("anchor", "verify", "root", t.pki.leaf(new, code, name="wrong").cert), "^1 ", "a proof by another key is refused")
    t.matches(certus("anchor", "verify", "root", t.pki.leaf(old, code, name="proof").cert), "^0 .*is proved", "possession is proved")
    t.ok(certus.json("anchor", "show", "root")["proved"], True, "and shown")
    t.ok(json.loads(certus("anchor", "show", "root", "--output", "json")[2:])["name"], "root", "as JSON under another flag too")
    t.matches(certus("anchor", "add", "--name", "again", old.cert), "^1 .*already", "a certificate is an anchor once")
    t.matches(certus("anchor", "add", "--name", "next", new.cert), "^0 ", "the second CA is added; the only tenant need not be named")
    on_new = t.live(broker, lamp, "lamp-1")
    preview = certus("anchor", "preview", "root")
    t.check("pump-1" in preview and "lamp-1" not in preview, "the preview names who would be cut off", preview)
    t.live(broker, t.pki.leaf(old, "pump-2"), "pump-2").close()
    until(lambda: len(certus.json("anchor", "preview", "root")) == 1)
    t.matches(certus("anchor", "preview", "root", "--devices"), "^0 DEVICE(?!.*lamp-1).*pump-1.*pump-2", "those that are away are known to it, too")
    t.matches(certus("anchor", "delete", "root"), "^2 .*1 live connections came in, and 2 known devices last.*--yes", "nobody to ask: nothing is deleted")
    t.check(on_old.alive(), "and nobody is cut off")
    t.matches(certus("anchor", "delete", "root", "--yes"), "^0 anchor root deleted", "the first CA is deleted")
    t.check(on_old.ended_within(1.5) and on_new.alive(), "its device has to go, the other stays")
    t.matches(t.verdict(broker, pump, "pump-1"), "^TLS", "and does not come back")
    t.matches(certus("anchor", "disable", "next", "--yes"), "^0 .*disabled", "an anchor can be disabled")
    t.check(on_new.ended_within(1.5), "which ends its connections")
    t.matches(certus("anchor", "enable", "next"), "^0 .*enabled", "and enabled")
    t.matches(certus("anchor", "show", "nothing"), "^1 certus: tenant lab has no anchor nothing; it has next", "a name that is not known is told with those that are")
    return new, lamp


def revocation(t, certus, broker, anchor, lamp):
    follower = subprocess.Popen([str(part) for part in (t.binary, "refusals", "--follow", *certus.flags())], stdout=subprocess.PIPE, text=True)
    raw = t.live(broker, lamp, "lamp-1")
    t.matches(certus("revoke", "--device", "lamp-1", "--note", "stolen"), "^2 .*--yes", "what is destructive asks first")
    t.matches(certus("revoke", "--device", "lamp-1", "--note", "stolen", "--reason", "keyCompromise", "--yes"), "^0 device lamp-1 is taken back", "a device is revoked")
    t.check(raw.ended_within(1.5), "its connection ends")
    t.check(t.verdict(broker, lamp, "lamp-1") != "CONNACK 0 sp 0", "it does not come back")
    t.matches(certus("explain", lamp.cert), r"^1 by +the running broker, https.*FAILED  revocation: revoked: the name \"lamp-1\" was revoked on 20.*\(keyCompromise\).*remedy:", "explain asks the broker, and names reason and time")
    told = json.loads(certus("explain", lamp.cert, "--json")[2:])
    t.ok((told["accepted"], told["reason"], told["registration"]["device"]), (False, "revoked", "lamp-1"), "in a form for programs, too, with the registration")
    t.matches(certus("refusals", "--cn", "lamp-1"), r"revoked.*lamp-1.*remedy:", "refusals say why, and what to do")
    line = follower.stdout.readline()
    t.matches(line, "lamp-1.*remedy:", "who follows them saw it happen")
    follower.terminate()
    follower.wait(5)
    t.matches(certus("revoke", "--list"), "device.*lamp-1.*stolen", "it is listed with its note")
    t.matches(certus("revoke", "--device", "lamp-1", "--undo", "--yes"), "^0 .*given back", "and can be given back")
    t.ok(t.verdict(broker, lamp, "lamp-1"), "CONNACK 0 sp 0", "then it may come again")

    home = t.home / "crl"
    home.mkdir()
    (home / "index.txt").write_text("")
    (home / "conf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={home}/index.txt\ndefault_md=sha256\ndefault_crl_days=1\n")
    by = ("-config", home / "conf", "-keyfile", anchor.key, "-cert", anchor.cert)
    openssl("ca", *by, "-revoke", lamp.cert)
    openssl("ca", *by, "-gencrl", "-out", home / "crl.pem")
    t.matches(certus("revoke", "--crl", home / "crl.pem", "--yes"), "^2 .*--anchor", "a list belongs to an anchor")
    t.matches(certus("revoke", "--crl", home / "crl.pem", "--anchor", "next", "--yes"), "^0 .*upload +1 ", "a list is taken")
    t.check(t.verdict(broker, lamp, "lamp-1") != "CONNACK 0 sp 0", "and what it lists is refused")
    t.matches(certus("explain", lamp.cert), r"FAILED  revocation list: revoked: CN=lamp-1 is on the list upload since 20\S+Z \(", "explain finds the entry of the list")


def certificates(t, certus, broker):
    """A certificate from the tenant's own CA, for a request that openssl made."""
    csr, key, out = t.home / "oven.csr", t.home / "oven.key", t.home / "oven.pem"
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", "/CN=oven", "-out", csr)
    t.matches(certus("cert", "issue", "--csr", csr, "--out", out), "^0 certificate .* for oven written to", "a certificate is issued")
    oven = Pair(t.home, "oven")
    raw = t.live(broker, oven, "oven")
    t.matches(certus("cert", "issue", "--csr", key), "^2 .*csr", "a file that is no request is refused")
    [one] = certus.json("cert", "list", "--cn", "oven")
    t.matches(certus("cert", "revoke", one["id"]), "^2 .*--yes", "it is taken back only by who is sure")
    t.matches(certus("cert", "revoke", one["id"], "--reason", "superseded", "--yes"), "^0 ", "it is taken back")
    t.check(raw.ended_within(1.5), "and its connection ends")
    t.matches(certus("cert", "list", "--revoked"), "oven +device .*Z +2", "as the list says")

    token = certus("token", "enrol", "kettle", "--tenant", "lab", "--lasts", "1h").removeprefix("0 ").strip()
    kettle, csr = Pair(t.home, "kettle"), t.home / "kettle.csr"
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", kettle.key, "-subj", "/CN=kettle", "-out", csr)
    enrol = ["curl", "-sS", "--cacert", broker.ca, "-u", f"kettle:{token}", "-H", "Content-Type: application/pkcs10", "--data-binary", f"@{csr}",
             "-o", t.home / "kettle.p7", "-w", "%{http_code}", f"https://localhost:{broker.https}/.well-known/est/lab/simpleenroll"]
    t.ok(t.sh(*enrol)[1], "200", "a token of enrolment gets a device its first certificate")
    t.ok(t.sh(*enrol)[1], "401", "once")

    # With keys that the broker makes, tells once and does not keep.
    mixer = Pair(t.home, "mixer")
    t.matches(certus("cert", "issue", "mixer", "--key-type", "p384", "--key-out", mixer.key, "--out", mixer.cert), "^0 private key written to .*certificate .* for mixer written", "a certificate with a new key")
    t.ok((mixer.key.stat().st_mode & 0o777, mixer.key.read_text()[:5]), (0o600, "-----"), "whose key only its owner may read")
    first = t.live(broker, mixer, "mixer")
    t.matches(certus("cert", "issue", "mixer", "--key-out", mixer.key, "--out", t.home / "other.pem"), "^1 .*mixer.key: it cannot be made", "no file is overwritten")
    t.check(not (t.home / "other.pem").exists() and len(certus.json("cert", "list", "--cn", "mixer")) == 1, "and nothing is issued then")
    t.matches(certus("cert", "issue", "mixer2", "--key-type", "dsa", "--key-out", t.home / "dsa.key"), "^2 .*no key type", "a kind of key that there is none of")
    t.check(not (t.home / "dsa.key").exists(), "leaves no file behind")
    t.matches(certus("cert", "issue", "mixer2"), "^2 .*--key-out", "a key needs a file")
    [old] = certus.json("cert", "list", "--cn", "mixer")
    t.matches(certus("cert", "show", old["id"]), "^0 id .*cn +mixer.*serial", "it is shown")
    t.ok(certus("cert", "show", old["id"], "--pem").removeprefix("0 ").strip(), mixer.cert.read_text().strip(), "and given again, without its key")
    t.matches(certus("audit", "--action", "certificate.issue", "--limit", "1"), "mixer", "the audit names it")
    new = Pair(t.home, "mixer-new")
    new.key = mixer.key
    t.matches(certus("cert", "renew", old["id"], "--out", new.cert), "^0 certificate .* for mixer written", "it is renewed over the same key")
    t.ok(t.verdict(broker, new, "mixer"), "CONNACK 0 sp 0", "by which the device comes in as well")
    t.check(first.ended_within(2), "and takes its session over: it is the same principal")
    again = t.live(broker, mixer, "mixer")
    t.matches(certus("cert", "renew", old["id"], "--revoke-old", "--key-out", t.home / "mixer3.key", "--out", t.home / "mixer3.pem"), "^2 .*--yes", "what cuts off asks first")
    t.matches(certus("cert", "renew", old["id"], "--revoke-old", "--yes", "--key-out", t.home / "mixer3.key", "--out", t.home / "mixer3.pem"), "^0 ", "it is renewed with another key, and the old one taken back")
    t.check(again.ended_within(1.5), "whose connection ends")
    t.ok(t.verdict(broker, Pair(t.home, "mixer3"), "mixer"), "CONNACK 0 sp 0", "the new one comes in")
    t.matches(certus("cert", "renew", old["id"]), "^1 .*taken back; issue a new one", "what was taken back is not renewed")


def devices(t, certus, broker, anchor):
    """Devices that are registered, seen, switched off and forgotten."""
    t.matches(certus("device", "add", "kiln-1", "kiln-2", "--type", "kiln", "--name", "Kiln, hall 3"), "^0 device kiln-1 of tenant lab is known.*kiln-2", "devices are registered beforehand")
    t.matches(certus("device", "add", "kiln-1"), "^1 .*kiln-1 is known already", "once each")
    t.matches(certus("device", "add", "a/b"), "^2 .*cannot name a device", "a name that cannot be one is refused")
    t.matches(certus("device", "list", "--never-seen", "--begins", "kiln"), "^0 DEVICE.*kiln-1 +yes +0 +api +kiln.*kiln-2", "those that never connected are listed")
    first = t.live(broker, t.pki.leaf(anchor, "kiln-1"), "kiln-1")
    shown = certus.json("device", "show", "kiln-1")
    t.ok((shown["connections"], shown["type"], len(shown["live"])), (1, "kiln", 1), "its connection is seen")
    t.check(shown["first_connected_at"] and shown["last_connected_at"] and shown["anchor"], "with when it came, and through which anchor", shown)
    t.matches(certus("device", "list", "--anchor", "next", "--type", "kiln"), "^0 DEVICE(?!.*kiln-2).*kiln-1", "and found by its anchor")
    t.matches(certus("device", "disable", "kiln-1"), "^2 .*--yes", "it is disabled only by who is sure")
    t.matches(certus("device", "disable", "kiln-1", "--yes"), "^0 device kiln-1 is disabled", "a device is disabled")
    t.check(first.ended_within(1.5), "and its connection ends")
    t.ok(t.verdict(broker, t.pki.leaf(anchor, "kiln-1", name="kiln-1b"), "kiln-1"), "CONNACK 5 sp 0", "it does not come back, by a new certificate neither")
    t.matches(certus("refusals", "--cn", "kiln-1"), "device_disabled.*remedy:", "and the refusal says why")
    t.matches(certus("explain", t.pki.directory / "kiln-1.pem"), "^1 .*FAILED  registration: device_disabled", "explain knows the registration")
    t.matches(certus("device", "list", "--disabled"), "kiln-1 +no", "it is listed so")
    t.matches(certus("device", "enable", "kiln-1"), "^0 ", "it is enabled")
    t.ok(t.verdict(broker, t.pki.leaf(anchor, "kiln-1", name="kiln-1c"), "kiln-1"), "CONNACK 0 sp 0", "and comes back")
    t.matches(certus("device", "remove", "kiln-2", "--yes"), "^0 device kiln-2 is forgotten", "a device is forgotten")
    t.matches(certus("device", "show", "kiln-2"), "^1 .*kiln-2 does not exist", "and is not known any more")


def explanations(t, certus, broker, anchor):
    """What the broker, or without one the configuration, says of a certificate."""
    middle = t.pki.intermediate(anchor, "middle")
    leaf = t.pki.leaf(middle, "below")
    key_id = openssl("x509", "-in", middle.cert, "-noout", "-ext", "subjectKeyIdentifier").decode().split()[-1].replace(":", "").lower()
    t.matches(certus("explain", leaf.cert), f"^1 .*missing is the certificate of CN=middle with the key identifier {key_id}", "the missing issuer is named by its key identifier")
    t.matches(certus("explain", leaf.chain_with(middle)), "^0 .*signed by the anchor \"next\".*becomes so by its first connection.*accepted", "sent with it, the device would come in")
    t.matches(certus("explain", leaf.chain_with(middle), "--at", "2101-01-01"), "^1 .*expired", "as of another day")
    t.matches(certus("explain", leaf.chain_with(middle), "--client-id", "other"), "^1 .*expected", "with another ClientId")
    t.matches(certus("explain", leaf.key), "^2 .*private key", "a key is no certificate")
    t.ok(certus("anchor", "show", "next", "--pem").removeprefix("0 ").strip(), anchor.cert.read_text().strip(), "an anchor is given back as it came")
    beside = ["--config", broker.file, "--certs-dir", broker.certs, "--state-dir", broker.state]
    t.matches("%s %s" % t.sh(t.binary, "explain", leaf.cert, *beside, stdin=b""), "^1 by +the configuration alone.*give a token", "a running broker's store is left alone")
    t.matches(certus("explain", leaf.chain_with(middle), "--by", "config", "--config", broker.file, "--certs-dir", broker.certs), "^1 by +the configuration alone.*unknown_issuer", "by the configuration alone it is a stranger")
    t.matches("%s %s" % t.sh(t.binary, "explain", leaf.cert, "--url", "https://localhost:1", "--ca", broker.ca, "--token-file", certus.file, "--by", "broker", stdin=b""), "^1 .*nobody listens", "where no broker is, none is asked")


def callers(t, certus, broker, anchor):
    said = certus("account", "add", "reader", "--tenant", "lab", "--role", "application", stdin=b"long enough\n")
    t.matches(said, r"^0 account reader \(application\) made", "an account is made, its password read from standard input")
    t.matches(certus("account", "add", "short", "--tenant", "lab", stdin=b"short\n"), "^2 .*password has 5 bytes", "a short password is refused")
    t.matches(certus("account", "disable", "reader", "--tenant", "lab"), "^2 .*--yes", "it is disabled only by who is sure")
    t.matches(certus("account", "disable", "reader", "--tenant", "lab", "--yes"), "^0 .*disabled", "it is disabled")
    t.matches(certus("account", "list", "--tenant", "lab"), "reader +application +no", "and listed so")
    t.matches(certus("account", "show", "reader", "--tenant", "lab"), "^0 name +reader.*enabled +no", "and shown so")
    t.matches(certus("account", "enable", "reader", "--tenant", "lab"), "^0 .*enabled", "it is enabled")
    (t.home / "secret").write_text("another one\n")
    t.matches(certus("account", "passwd", "reader", "--tenant", "lab", "--password-file", t.home / "secret"), "^0 ", "and given another password, from a file")
    t.matches(certus("account", "change", "reader", "--tenant", "lab", "--scope", "auditor"), "^0 ", "and scopes")
    t.ok([one["scopes"] for one in certus.json("account", "list", "--tenant", "lab")], [["auditor"]], "as the list says")
    t.check(not any(word in line for line in broker.log() for word in ("another one", "long enough")), "no password is logged")
    t.matches(certus("account", "delete", "reader", "--tenant", "lab", "--yes"), "^0 ", "and deleted")

    said = certus("token", "issue", "--tenant", "lab", "--scope", "auditor", "--name", "looks", "--lasts", "1h")
    auditor = CommandLine(t, broker, said.removeprefix("0 ").strip())
    t.matches(auditor("anchor", "list"), "^0 .*next +enabled", "a token for auditors reads")
    t.matches(auditor("anchor", "add", "--name", "x", anchor.cert), "^1 .*anchors:write", "and changes nothing")
    found = next(one for one in certus.json("token", "list", "--tenant", "lab") if one["name"] == "looks")
    t.check(found["expires_at"], "it ends by itself", found)
    t.matches(certus("token", "delete", found["id"], "--yes"), "^0 ", "or when it is ended")
    t.matches(auditor("anchor", "list"), "^1 .*token.*(not known|ended)", "and is then refused")
    t.matches(certus("token", "issue", "--tenant", "acme7", "--scope", "mcmqtt.admin"), "^1 .*acme7", "there is no such tenant")
    t.matches(certus("tenant", "add", "acme7", "--profile", "mindconnect"), "^0 ", "until it is made")
    t.matches(certus("tenant", "change", "acme7", "--domain", "acme7.example"), "^0 .*meant by acme7.example", "it gets a server name")
    t.matches(certus("tenant", "show", "acme7"), "^0 name +acme7.*profile +mindconnect.*domain +acme7.example", "as is shown")
    t.ok(certus.json("tenant", "set", "acme7", "--domain", "")["domain"], None, "and loses it")
    t.matches(certus("tenant", "list"), "^0 NAME.*acme7 +mindconnect.*lab +open", "tenants are listed")
    t.matches(certus("token", "issue", "--tenant", "acme7", "--scope", "mcmqtt.admin"), "^0 certus_", "by the platform's own scope")
    t.matches(certus("anchor", "list"), "^2 .*--tenant.*acme7, lab", "of two tenants one must be named")
    t.matches(certus("tenant", "disable", "acme7", "--yes"), "^0 .*disabled", "a tenant is disabled")
    t.matches(certus("tenant", "delete", "acme7"), "^2 .*--yes", "and deleted only by who is sure")
    t.matches(certus("tenant", "delete", "acme7", "--yes"), "^0 ", "and is gone")


def words(t):
    """Help and completions know every noun and verb; exit codes are documented, and kept."""
    nouns = {"tenant": "list add show change enable disable delete", "anchor": "list add show code verify enable disable renew-only change preview delete",
             "cert": "new server list show issue renew revoke", "device": "list show add enable disable remove",
             "account": "list add show passwd change enable disable delete", "token": "list issue enrol delete recover",
             "connections": "list disconnect", "revoke": "", "refusals": "", "audit": "", "explain": ""}
    code, completions = t.sh(t.binary, "completions", "bash")
    t.ok(code, 0, "completions are written")
    for noun, verbs in nouns.items():
        code, said = t.sh(t.binary, noun, "--help")
        missing = [verb for verb in verbs.split() if f"  {verb}" not in said]
        t.check(code == 0 and not missing and "Example" in said or noun in ("cert",), f"{noun}: help names every verb, and has examples", (missing, said[-300:]))
        t.check(all(f"certus__subcmd__{noun}__subcmd__{verb}".replace("-", "__subcmd__") in completions for verb in verbs.split()), f"{noun}: completions know every verb")
        for verb in verbs.split():
            t.ok(t.sh(t.binary, noun, verb, "--help")[0], 0, f"{noun} {verb} --help")
    t.matches("%s %s" % t.sh(t.binary, "--help"), "^0 .*Exit codes: 0 done, 1 it did not work, 2 ", "exit codes are documented")
    t.ok(t.sh(t.binary, "device", "fly")[0], 2, "a verb that there is none of")


def run(t):
    words(t)
    broker = t.certus(tenant("lab", "open"))
    certus = CommandLine(t, broker, first_token(broker))
    anchor, lamp = rotation(t, certus, broker)
    sun = t.live(broker, t.pki.leaf(anchor, "sun"), "sun")
    [one] = certus.json("connections", "list", "--client-id", "sun")
    t.matches(certus("connections", "disconnect", one["id"], "--why", "moved to another hall"), "^0 ", "a connection is ended")
    t.check(sun.ended_within(2), "and ends")
    [line] = certus.json("audit", "--action", "connection.end")
    t.ok((line["object"], line["before"]["connection"], line["after"]["why"], line["tenant"]), ("sun", one["id"], "moved to another hall", "lab"), "the audit names what was ended, and why")
    t.matches(line["who"], "^token first start", "and who did it")
    revocation(t, certus, broker, anchor, lamp)
    certificates(t, certus, broker)
    devices(t, certus, broker, anchor)
    explanations(t, certus, broker, anchor)
    callers(t, certus, broker, anchor)
    audit = certus("audit", "--limit", "100")
    t.matches(audit, r"token.*127\.0\.0\.1.*anchor.upload.*lab", "the audit says who, from where, did what")
    t.ok([line["action"] for line in certus.json("audit", "--action", "tenant.", "--limit", "1")], ["tenant.delete"], "the last line, of one kind")

    # What stands in the way.
    nobody = CommandLine(t, broker, "certus_0_0")
    t.matches(nobody("tenant", "list"), "^1 .*token", "a token that is not known")
    flags = ["--url", f"https://localhost:{broker.https}", "--ca", broker.ca]
    t.matches("%s %s" % t.sh(t.binary, "tenant", "list", *flags, stdin=b""), "^2 .*no token.*CERTUS_TOKEN", "no token and nobody to ask")
    stranger = t.pki.root("stranger").cert
    t.matches("%s %s" % t.sh(t.binary, "tenant", "list", "--url", flags[1], "--ca", stranger, "--token-file", certus.file, stdin=b""), "^1 .*no TLS.*stranger", "a broker under another CA gets no token")
    t.matches("%s %s" % t.sh(t.binary, "tenant", "list", "--url", "http://localhost:8080", "--ca", broker.ca, "--token-file", certus.file, stdin=b""), "^2 .*only over TLS", "and none goes in the clear")

    # The last token is lost.
    where = ["--config", broker.file, "--certs-dir", broker.certs, "--state-dir", broker.state]
    t.matches("%s %s" % t.sh(t.binary, "token", "recover", *where, stdin=b""), "^2 ", "a running broker's store is left alone")
    broker.stop()
    t.matches(certus("tenant", "list"), "^1 .*is the broker running", "a broker that is not there")
    stopped = "%s %s" % t.sh(t.binary, "explain", t.pki.directory / "lamp-1.pem", *where, stdin=b"")
    t.matches(stopped, r"^1 by +the store in .*FAILED  revocation list: revoked: CN=lamp-1 is on the list upload since", "what a stopped broker has stored is known to explain")
    t.matches("%s %s" % t.sh(t.binary, "explain", t.pki.directory / "kiln-1.pem", *where, stdin=b""), "^0 by +the store in .*the device is known, and enabled", "its devices as well")
    code, said = t.sh(t.binary, "token", "recover", *where, stdin=b"")
    t.matches(f"{code} {said}", "^0 certus_", "a token from the store of a stopped broker")
    broker.start()
    again = CommandLine(t, broker, said.strip())
    t.check(until(lambda: "0 " in again("tenant", "list")), "which the broker then knows")
    t.matches(again("audit", "--action", "token.create", "--limit", "1"), "broker", "and the audit tells that the broker's owner made it")
