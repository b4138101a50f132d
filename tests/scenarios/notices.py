"""Where notices of certificates go: a mail server with TLS and a login, a web address that checks a signature, and a tenant's
own way (CEN-EXP-01, CEN-EXP-02). Who is not trusted gets nothing, and what failed is tried again."""

import hashlib
import hmac
import json
import re
import time
import urllib.request

from support.broker import until
from support.hook import Hook
from support.inbox import Inbox
from support.scenario import NO_TENANT, tenant
from support.shell import administrator, play

GRANTS = r"""
U=$URL/api/usermqtt/v1
for tn in acme bravo crest; do
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $tn.key -out $tn.csr -subj "/O=$tn SA/CN=$tn/emailAddress=ops@$tn.example" 2>/dev/null
  ID=$(curl -sS --cacert "$CA" -H 'Content-Type: application/pkcs10' --data-binary @$tn.csr "$U/certificateRequests" | jq -r .id)
  ok "$(code curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -X POST "$U/certificateRequests/$ID/approve")" 200 "a grant for $tn"
done
"""

SENT = r"""
ok "$(curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" "$URL/api/usermqtt/v1/notifications" | jq -r '[.notifications[] | [.tenantId,(.sentAt != null),(.postedAt != null)] | map(tostring) | join(" ")] | sort | join("|")')" "acme true true|bravo true false|crest false true" "the outbox shows what went which way"
"""


def number(broker, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.admin}/metrics", timeout=5) as page:
        found = re.search(rf"^{re.escape(name)} (\d+)$", page.read().decode(), re.M)
    return int(found[1]) if found else 0


def table(name, **keys):
    return f"[{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items())


def run(t):
    root, stranger = t.pki.root("sink-ca"), t.pki.root("stranger-ca")
    named = {"usage": "serverAuth", "more": "subjectAltName=DNS:localhost\n"}
    pair, forged = t.pki.leaf(root, "localhost", name="sink", **named), t.pki.leaf(stranger, "localhost", name="forged", **named)
    post, own, liar = Inbox("starttls", pair, "certus:hush hush"), Inbox("tls", pair), Inbox("starttls", forged)
    hook, elsewhere = Hook(pair, [503, 302]), Hook(forged)
    (t.home / "password").write_text("hush hush\n")
    (t.home / "secret").write_text("a secret of this test\n")
    secret = {"secret_file": t.home / "secret", "ca": root.cert}
    config = f'test_clock = "{t.home}/clock"\n' + NO_TENANT
    config += table("mail", smtp=f"smtp://localhost:{post.port}", tls="starttls", user="certus", password_file=t.home / "password",
                    ca=root.cert, **{"from": "certs@broker.example"})
    config += table("webhook", url=f"https://localhost:{hook.port}/certificates?from=certus", **secret)
    config += tenant("acme", "centiloc") + tenant("bravo", "centiloc")
    config += table("tenant.mail", smtp=f"smtp://localhost:{own.port}", tls="tls", ca=root.cert, **{"from": "bravo@broker.example"})
    config += table("tenant.webhook", url=f"https://localhost:{elsewhere.port}/", **secret)
    config += tenant("crest", "centiloc") + table("tenant.mail", smtp=f"smtp://localhost:{liar.port}", tls="starttls", ca=root.cert)
    broker = t.certus(config)
    token = administrator(broker)
    play(t, broker, GRANTS, ADMIN=token)

    t.check(until(lambda: len(post.mails) == 1 and len(own.mails) == 1, 20), "two tenants' notices are mailed", (post.mails, own.mails))
    t.ok(post.logins, ["certus:hush hush"], "with the login, behind STARTTLS")
    t.check("To: ops@acme.example" in post.mails[0] and "From: certs@broker.example" in post.mails[0], "one through the server of all")
    t.check("To: ops@bravo.example" in own.mails[0] and "From: bravo@broker.example" in own.mails[0], "one through the tenant's own")

    t.check(until(lambda: len(hook.posts) >= 4, 20), "what was not taken is posted again", len(hook.posts))
    paths, heads, bodies = zip(*hook.posts)
    t.ok((set(paths), hook.others), ({"/certificates?from=certus"}, []), "to the configured address alone: no redirect is followed")
    ids = [json.loads(body)["id"] for body in bodies]
    t.ok(([head["certus-notice"] for head in heads], len(set(ids)), ids[0], ids[1]), (ids, 2, ids[2], ids[2]), "the same notice until it is taken, then the next")
    for head, body in zip(heads, bodies):
        at, signature = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", head["certus-signature"]).groups()
        wanted = hmac.new(b"a secret of this test", f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
        t.check(hmac.compare_digest(signature, wanted) and abs(int(at) - time.time()) < 60, "signed with the secret, and with the time")
    told = json.loads(bodies[2])
    t.ok([told[key] for key in ("event", "tenant", "to", "subject")], ["issued", "acme", "ops@acme.example", "Your certificate was issued"], "a program can read it")

    t.ok((liar.mails, liar.logins, elsewhere.posts), ([], [], []), "who shows another CA's certificate gets nothing")
    t.check(until(lambda: number(broker, 'certus_notice_failures_total{way="webhook"}') > 3, 10), "failures are counted")
    said = [line for line in broker.log() if "notices cannot be sent" in line]
    t.ok(len(said), 3, "and told once for each way that fails")
    t.ok(number(broker, 'certus_notices_sent_total{way="mail"}'), 2, "so is what was sent")
    play(t, broker, SENT, ADMIN=token)
    everything = "\n".join([*broker.log(), *broker.process.out])
    t.check("hush hush" not in everything and "a secret of this" not in everything, "neither password nor secret stands in the log")

    wrong = t.certus(table("mail", smtp="smtp://localhost", user="x", password_file="/nowhere") + table("webhook", url="http://h/", ca=root.cert), start=False)
    code, words = wrong.fails()
    t.ok(code, 2, "a configuration that cannot work is refused")
    for part in ("mail.password_file", "webhook.secret_file"):
        t.matches(words, part, f"it names {part}")
    for sink in (post, own, liar, hook, elsewhere):
        sink.close()
