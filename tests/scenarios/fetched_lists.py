"""Revocation lists that are fetched (TRUST-10): from http and from a file, while they come, when they do not, and after a restart."""

import re
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.broker import until
from support.pki import openssl
from support.scenario import tenant
from support.shell import administrator


class Place:
    """A web server with one list; `status` is what it answers with."""

    def __init__(self):
        self.status, self.body, self.asked, place = 200, b"", [], self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                place.asked.append(self.path)
                self.send_response(place.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(place.body)))
                self.end_headers()
                self.wfile.write(place.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/ca.crl"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def revocation_list(t, ca, *revoked):
    """A list of `ca` in DER, made by openssl; `revoked` are certificates."""
    home = t.home / "lists"
    home.mkdir(exist_ok=True)
    serials = [openssl("x509", "-in", pair.cert, "-noout", "-serial").decode().strip().split("=")[1] for pair in revoked]
    (home / "index.txt").write_text("".join(f"R\t351231235959Z\t260101000000Z\t{serial}\tunknown\t/CN=x\n" for serial in serials))
    (home / "index.txt.attr").write_text("")
    (home / "cnf").write_text("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ndefault_md=sha256\ndefault_crl_days=2\n")
    openssl("ca", "-gencrl", "-config", "cnf", "-cert", ca.cert, "-keyfile", ca.key, "-out", "list.pem", cwd=home)
    return openssl("crl", "-in", home / "list.pem", "-outform", "DER")


def number(broker, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.admin}/metrics", timeout=5) as answer:
        found = re.search(rf"^{name} (\d+)$", answer.read().decode(), re.M)
    return int(found[1]) if found else None


def failures(broker, more):
    """Waits for `more` failures than now."""
    now = number(broker, "certus_crl_fetch_failures_total")
    return until(lambda: number(broker, "certus_crl_fetch_failures_total") >= now + more, 10)


def uploaded(t, broker):
    """The same for an anchor that was uploaded, by the command line, while the broker runs."""
    token = t.home / "token"
    token.write_text(administrator(broker))
    where = ["--url", f"https://localhost:{broker.https}", "--ca", broker.ca, "--token-file", token, "--tenant", "lab"]
    certus = lambda *command: "%s %s" % t.sh(t.binary, *command, *where, stdin=b"")
    ca, place = t.pki.root("uploaded-ca"), Place()
    lamp, bulb = t.pki.leaf(ca, "lamp"), t.pki.leaf(ca, "bulb")
    place.body = revocation_list(t, ca)
    t.matches(certus("anchor", "add", "--name", "up", ca.cert), "^0 ", "an anchor is uploaded")
    live, stays = t.live(broker, lamp, "lamp"), t.live(broker, bulb, "bulb")
    t.matches(certus("anchor", "set", "up", "--crl", "file:///etc/passwd"), "^2 .*files are named in the configuration only", "no file of the machine can be named over the API")
    t.matches(certus("anchor", "set", "up", "--crl", "https://pki.example/x"), "^2 .*https is not spoken here", "nor an address that is not asked")
    t.matches(certus("anchor", "set", "up", "--crl", place.url, "--crl-refresh", "1s", "--stale-crl", "hard"), "^0 ", "where its list is, is said while the broker runs")
    t.check(until(lambda: len(place.asked) >= 2, 10), "it is fetched at once, and again")
    t.matches(certus("anchor", "show", "up"), f"stale crl +hard.*crl +{place.url}.*crl refresh +1\\b", "as is shown")
    place.body = revocation_list(t, ca, lamp)
    t.check(live.ended_within(5) and stays.alive(), "who stands on the next one has to go, the others stay")
    admin = certus("token", "issue", "--scope", "admin", "--name", "of-lab").removeprefix("0 ").strip()
    token.write_text(admin)
    t.matches(certus("anchor", "set", "up", "--crl", place.url), "^1 .*run(s)? the (whole )?broker", "who runs one tenant names no addresses")
    token.write_text(administrator(broker))
    t.matches(certus("anchor", "set", "up", "--no-crl"), "^0 ", "the address is taken out")
    t.check(until(lambda: t.verdict(broker, lamp, "lamp") == "CONNACK 0 sp 0"), "and takes its list along")
    asked = len(place.asked)
    certus("anchor", "delete", "up", "--yes")
    t.ok(len(place.asked), asked, "nobody asks any more")
    place.close()


def run(t):
    root, stranger = t.pki.root("ca"), t.pki.root("stranger-ca")
    sensor, other = t.pki.leaf(root, "sensor"), t.pki.leaf(root, "other")
    place = Place()
    place.body = revocation_list(t, root)
    fetched = tenant("lab", "open", (root, {"crl": [place.url], "crl_refresh": "1 s"}))
    plain = tenant("lab", "open", root)
    broker = t.certus(fetched)

    live = t.live(broker, sensor, "sensor")
    t.check(until(lambda: len(place.asked) >= 2, 10), "the list is fetched again and again", place.asked)
    t.check(live.alive(), "an empty list concerns nobody")
    place.body = revocation_list(t, root, sensor)
    t.check(live.ended_within(5), "whoever stands on the next one has to go")
    t.matches(t.verdict(broker, sensor, "sensor"), "^TLS", "and does not come back")
    t.ok(t.verdict(broker, other, "other"), "CONNACK 0 sp 0", "the others stay")

    mark = broker.mark()
    place.status = 302
    t.check(broker.said(r"could not be fetched: the server answers 302.*nothing is followed", mark), "a failure is told, with its reason")
    t.check(failures(broker, 2) and "/elsewhere" not in place.asked, "nothing is followed elsewhere", place.asked)
    place.status, place.body = 200, revocation_list(t, stranger)
    t.check(failures(broker, 2), "another CA's list is not taken")
    place.body = b"nonsense"
    t.check(failures(broker, 2), "nor is what is no list")
    place.body = b"x" * (8 * 1024 * 1024 + 1)
    t.check(failures(broker, 1), "nor one beyond the bound")
    told = [line for line in broker.log()[mark:] if "could not be fetched" in line]
    t.ok(len(told), 1, "all these failures in a row are one line")
    t.matches(t.verdict(broker, sensor, "sensor"), "^TLS", "the list before stays in use")
    place.body = revocation_list(t, root, sensor)
    t.check(broker.said("the revocation list is fetched again", mark, 12), "and so is the end of them")

    uploaded(t, broker)
    place.close()
    broker.stop()
    broker.start()
    t.check(broker.said("could not be fetched: it cannot be read"), "a restart finds nobody at the address")
    t.matches(t.verdict(broker, sensor, "sensor"), "^TLS", "but has the list of before")
    broker.said("reloaded", broker.reload(plain))
    t.check(until(lambda: t.verdict(broker, sensor, "sensor") == "CONNACK 0 sp 0"), "an address that is taken out takes its list along")

    file = t.home / "ca.crl"
    file.write_bytes(revocation_list(t, root, other))
    broker.said("reloaded", broker.reload(tenant("lab", "open", (root, {"crl": [f"file://{file}"], "crl_refresh": "1 s"}))))
    t.check(until(lambda: t.verdict(broker, other, "other").startswith("TLS")), "a file does as well")
    t.ok(t.verdict(broker, sensor, "sensor"), "CONNACK 0 sp 0", "with what stands in it")

    code, said = t.certus(tenant("lab", "open", (root, {"crl": ["https://pki.example/ca.crl"]})), start=False).fails()
    t.ok(code, 2, "an address that cannot be asked is a mistake of the configuration")
    t.matches(said, r"tenant.anchor.crl: .*https is not spoken here.*http://pki.example", "and told with the remedy")
