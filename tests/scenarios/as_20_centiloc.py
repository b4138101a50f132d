"""AS-20, AS-21, AS-22: Centiloc from the key to the message, what it refuses, and what it mails (CEN-CSR, CEN-CA, CEN-ACC, CEN-EXP)."""

from support.broker import until
from support.inbox import Inbox
from support.scenario import NO_TENANT, tenant
from support.shell import administrator, play

AS_20 = r"""
api(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' "$@"; }
for tn in acme bravo; do
  ok "$(code api -X POST "$URL/api/v1/tenants/$tn/accounts" -d '{"name":"operator","password":"oppw1234","role":"operator","scopes":["operator"]}')" 201 "an operator of $tn"
done
U=$URL/api/usermqtt/v1; OPERATOR=acme/operator:oppw1234
openssl ecparam -name prime256v1 -genkey -noout -out private-key.pem
openssl req -new -key private-key.pem -out certificate-request.csr -subj "/C=FR/O=ACME SA/CN=acme/emailAddress=ops@acme.example"
R=$(curl -sS --cacert $CA -H 'Content-Type: application/pkcs10' --data-binary @certificate-request.csr $U/certificateRequests)
ID=$(echo "$R" | jq -r .id)
ok "$(echo "$R" | jq -r '[.status,.tenantId,.organization,.email,.keyAlgorithm,.curve] | join("|")')" "PENDING|acme|ACME SA|ops@acme.example|EC|P-256" "the request is shown"
ok "$(curl -sS --cacert $CA $U/certificateRequests/$ID | jq -r .status)" PENDING "whoever knows its id sees its state"
ok "$(code curl -sS --cacert $CA -X POST $U/certificateRequests/$ID/approve)" 401 "and may not decide"
ok "$(code curl -sS --cacert $CA -u bravo/operator:oppw1234 -X POST $U/certificateRequests/$ID/approve)" 403 "nor may another tenant's operator"
G=$(curl -sS --cacert $CA -u "$OPERATOR" -X POST $U/certificateRequests/$ID/approve)
echo "$G" | jq -r .certificate > tls-cert.pem; curl -sS --cacert $CA $URL/ca-cert.pem -o ca-cert.pem
ok "$(openssl verify -CAfile ca-cert.pem tls-cert.pem)" "tls-cert.pem: OK" "openssl verifies it under the public CA file"
USER=$(echo "$G" | jq -r .username); PASS=$(echo "$G" | jq -r .password)
ok "$USER" acme-um-1 "a user name"
ok "$(openssl x509 -in tls-cert.pem -noout -subject)" "subject=C = FR, O = ACME SA, CN = acme, emailAddress = ops@acme.example" "the subject stays as it was asked for"
ok "$(openssl x509 -in tls-cert.pem -noout -checkend 31449600 >/dev/null && echo long; openssl x509 -in tls-cert.pem -noout -checkend 31536001 >/dev/null || echo year)" "long
year" "for one year"
ok "$(code curl -sS --cacert $CA -u "$OPERATOR" -X POST $U/certificateRequests/$ID/approve)" 409 "decided once"
sub(){ mosquitto_sub -h localhost -p $MQTTS --cafile ca-cert.pem --cert tls-cert.pem --key private-key.pem --tls-version tlsv1.2 -V mqttv311 -u "$USER" -P "$PASS" "$@"; }
(sub -i acme-erp1 -k 60 -q 1 -t centiloc/acme -C 1 -W 8 > heard) & S=$!; sleep 1
ok "$(mosquitto_pub -h localhost -p $MQTTS --cafile $CA -u acme/operator -P oppw1234 -i op1 -q 1 -t centiloc/acme -m payload1 2>&1)" "" "the operator publishes without a certificate"
wait $S; ok "$(cat heard)" payload1 "from key to message"
"""

AS_21 = r"""
conn(){ raw --cert tls-cert.pem --key private-key.pem "$@"; }
ok "$(conn --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 0 sp 0" "all is right"
ok "$(conn --id acme-1 --user "$USER" --pw wrong)" "CONNACK 4 sp 0" "a wrong password"
ok "$(conn --id acme-1)" "CONNACK 4 sp 0" "no password"
ok "$(conn --id acme-1 --user bravo/operator --pw oppw1234)" "CONNACK 5 sp 0" "an account of another tenant"
ok "$(conn --id zz-1 --user "$USER" --pw "$PASS")" "CONNACK 2 sp 0" "a ClientId without the tenant in front"
refuse(){ curl -sS --cacert $CA -H 'Content-Type: application/pkcs10' --data-binary @$1 $U/certificateRequests -w '\n%{http_code}'; }
csr(){ openssl req -new -key $1 -out $2 -subj "$3" 2>/dev/null; refuse $2; }
openssl genrsa -out rsa.pem 2048 2>/dev/null; openssl ecparam -name secp224r1 -genkey -noout -out weak.pem
ok "$(csr rsa.pem r.csr '/O=A/CN=acme/emailAddress=a@b.c' | jq -rs '[.[0].message,.[1]] | map(tostring) | join("|")')" "only elliptic curve keys of at least 256 bit|400" "an RSA key"
ok "$(csr weak.pem r.csr '/O=A/CN=acme/emailAddress=a@b.c' | tail -1)" 400 "a weak curve"
for missing in "O|/CN=acme/emailAddress=a@b.c" "emailAddress|/O=A/CN=acme" "CN|/O=A/emailAddress=a@b.c" "CN|/O=A/CN=nobody/emailAddress=a@b.c"; do
  ok "$(csr private-key.pem r.csr "${missing#*|}" | jq -rs '[.[0].error,.[0].field,(.[1]|tostring)] | join(" ")')" "invalid_csr ${missing%%|*} 400" "a request like ${missing#*|}"
done
heard(){ mosquitto_sub -h localhost -p $MQTTS --cafile ca-cert.pem --cert tls-cert.pem --key private-key.pem -V mqttv311 -u "$USER" -P "$PASS" -i acme-2 -t "$1" -W 2 2>&1; }
ok "$(heard centiloc/bravo | grep -ci denied)" 1 "another tenant's topic"
ok "$(heard '#' | grep -ci denied)" 1 "everything"
sub -i acme-erp2 -t centiloc/acme -W 20 > told 2>&1 & S=$!; sleep 1
ok "$(curl -sS --cacert $CA -u $OPERATOR -H 'Content-Type: application/json' -X PUT $U/tenants/acme/subscription -d '{"active":false}' | jq .active)" false "the subscription is switched off"
for i in $(seq 50); do kill -0 $S 2>/dev/null || break; sleep 0.1; done
ok "$(kill -0 $S 2>/dev/null && echo there || echo gone)" gone "who is connected has to go"
ok "$(conn --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 5 sp 0" "and cannot come back"
ok "$(curl -sS --cacert $CA -u $OPERATOR -H 'Content-Type: application/json' -X PUT $U/tenants/acme/subscription -d '{"active":true}' | jq .active)" true "switched on again"
ok "$(conn --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 0 sp 0" "everything is as before"
R3=$(curl -sS --cacert $CA -H 'Content-Type: application/pkcs10' --data-binary @certificate-request.csr $U/certificateRequests | jq -r .id)
ok "$(curl -sS --cacert $CA -u "$OPERATOR" -H 'Content-Type: application/json' -X POST $U/certificateRequests/$R3/reject -d '{"reason":"not you"}' | jq -r '[.status,.reason] | join(" ")')" "REJECTED not you" "a rejection says why"
"""

# CEN-ACC-01: certificate, user name and password of the same grant.
GRANTS = r"""
openssl req -new -key private-key.pem -out other.csr -subj "/O=ACME Logistics/CN=acme/emailAddress=log@acme.example"
ID2=$(curl -sS --cacert $CA -H 'Content-Type: application/pkcs10' --data-binary @other.csr $U/certificateRequests | jq -r .id)
G2=$(curl -sS --cacert $CA -u "$OPERATOR" -X POST $U/certificateRequests/$ID2/approve)
echo "$G2" | jq -r .certificate > other.pem; USER2=$(echo "$G2" | jq -r .username); PASS2=$(echo "$G2" | jq -r .password)
ok "$USER2" acme-um-2 "another company of the tenant gets an account of its own"
other(){ raw --cert other.pem --key private-key.pem "$@"; }
ok "$(other --id acme-1 --user "$USER2" --pw "$PASS2")" "CONNACK 0 sp 0" "which works with its own certificate"
ok "$(conn --id acme-1 --user "$USER2" --pw "$PASS2")" "CONNACK 5 sp 0" "but not with that of the first"
ok "$(other --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 5 sp 0" "nor the first's with its certificate"
ok "$(conn --id acme-1 --user "$USER2" --pw "$PASS")" "CONNACK 4 sp 0" "and nothing is told without its password"
ok "$(conn --id acme-1 --user acme/operator --pw oppw1234)" "CONNACK 5 sp 0" "an account without a grant is none of a grant"
ok "$(raw --id acme-1 --user "acme/$USER" --pw "$PASS")" "CONNACK 5 sp 0" "nor is the account enough without a certificate"
ok "$(api "$URL/api/v1/refusals?reason=grant_conflict" | jq '.items | length')" 3 "the refusals say that they do not belong together"
ok "$(api "$URL/api/v1/tenants/acme/accounts" | jq -r ".items[] | select(.name == \"$USER\") | .grant[]" | tr a-f A-F)" "$(openssl x509 -in tls-cert.pem -noout -fingerprint -sha256 | sed 's/.*=//; s/://g')" "an account shows what it belongs to"
printf '%s\n' "$USER" "$PASS" > grant
"""

# CEN-ACC-03
RENEWED = r"""
U=$URL/api/usermqtt/v1; { read -r USER; read -r PASS; } < grant
R2=$(curl -sS --cacert $CA -H 'Content-Type: application/pkcs10' --data-binary @certificate-request.csr $U/certificateRequests | jq -r .id)
G=$(curl -sS --cacert $CA -u acme/operator:oppw1234 -X POST $U/certificateRequests/$R2/approve)
ok "$(echo "$G" | jq -r '[.username,has("password")] | map(tostring) | join(" ")')" "acme-um-1 false" "a renewal keeps the account"
echo "$G" | jq -r .certificate > renewed.pem
for pem in renewed tls-cert; do
  ok "$(raw --cert $pem.pem --key private-key.pem --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 0 sp 0" "$pem.pem works with it"
done
"""

ENDED = r"""
{ read -r USER; read -r PASS; } < grant
ok "$(raw --cert tls-cert.pem --key private-key.pem --id acme-1 --user "$USER" --pw "$PASS" | cut -d' ' -f1)" TLS "the old certificate has ended"
ok "$(raw --cert renewed.pem --key private-key.pem --id acme-1 --user "$USER" --pw "$PASS")" "CONNACK 0 sp 0" "the new one works on"
"""

NOTICES = r"""
U=$URL/api/usermqtt/v1
told(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" "$U/notifications?tenant=acme" | jq -r '.notifications[] | .to + "|" + .subject' | sort | uniq -c | awk '{$1=$1};1'; }
for i in $(seq 50); do [ "$(told)" = "$WANTED" ] && break; sleep 0.2; done
ok "$(told)" "$WANTED" "$TEXT"
"""

DAY = 86400


def run(t):
    clock = t.home / "clock"
    inbox = Inbox()
    config = f'test_clock = "{clock}"\n[mail]\nsmtp = "smtp://127.0.0.1:{inbox.port}"\nfrom = "certs@broker.example"\n' + NO_TENANT
    broker = t.certus(config + tenant("acme", "centiloc") + tenant("bravo", "centiloc"))
    token = administrator(broker)
    play(t, broker, AS_20 + AS_21 + GRANTS, ADMIN=token)
    clock.write_text(str(300 * DAY))
    t.check(broker.said("reloaded", broker.reload()), "a reload reads the clock at once")
    play(t, broker, RENEWED)

    issued = "Your certificate was issued"
    wanted = [f"2 ops@acme.example|{issued}", f"1 log@acme.example|{issued}"]
    for day, days in ((335, "in 30 days"), (351, "in 14 days"), (358, "in 7 days"), (364, "in 1 day"), (366, None)):
        clock.write_text(str(day * DAY))
        subject = f"Your certificate {'expires ' + days if days else 'has expired'}"
        wanted += [f"1 {name}@acme.example|{subject}" for name in ("ops", "log")]
        told = "\n".join(sorted(wanted, key=lambda line: line[2:]))
        play(t, broker, NOTICES, ADMIN=token, WANTED=told, TEXT=f"one mail for each certificate on day {day}")
    play(t, broker, ENDED)
    t.check(until(lambda: len(inbox.mails) == 13, 10), "and the mail server got them all", len(inbox.mails))
    named = [sum(f"To: {name}@acme.example" in mail for mail in inbox.mails) for name in ("ops", "log")]
    t.ok(named, [7, 6], "each to the address in its certificate")
    t.check(all("From: certs@broker.example" in mail for mail in inbox.mails), "from the broker")
    inbox.close()
