"""AS-22: Centiloc's shared subscriptions and its buffer of two hours (CEN-MQTT-05, CEN-MQTT-06). The notices are with AS-20.

The tenant bravo approves requests by itself (CEN-CSR-04).
"""

import json

from support import wire
from support.scenario import NO_TENANT, tenant
from support.shell import administrator, play

GRANT = r"""
U=$URL/api/usermqtt/v1
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request.csr -subj "/O=ACME SA/CN=acme/emailAddress=ops@acme.example" 2>/dev/null
api(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' "$@"; }
ok "$(code api -X POST "$URL/api/v1/tenants/acme/accounts" -d '{"name":"operator","password":"oppw1234","role":"operator"}')" 201 "an operator"
ID=$(curl -sS --cacert "$CA" -H 'Content-Type: application/pkcs10' --data-binary @request.csr "$U/certificateRequests" | jq -r .id)
api -X POST "$U/certificateRequests/$ID/approve" > grant.json; jq -r .certificate grant.json > cert.pem
ok "$(jq -r .username grant.json)" acme-um-1 "a grant"
"""

CLIENTS = r"""
USER=$(jq -r .username grant.json); PASS=$(jq -r .password grant.json)
sub(){ mosquitto_sub -h localhost -p "$MQTTS" --cafile "$CA" --cert cert.pem --key key.pem --tls-version tlsv1.2 -V mqttv311 -u "$USER" -P "$PASS" "$@"; }
pub(){ mosquitto_pub -h localhost -p "$MQTTS" --cafile "$CA" -u acme/operator -P oppw1234 -i op1 -q 1 -t centiloc/acme "$@"; }
KEEP="-i acme-keeper -c -q 1 -t centiloc/acme"
"""

BY_ITSELF = r"""
hand_in(){ openssl req -new -key key.pem -subj "/O=Bravo/CN=$1/emailAddress=ops@bravo.example" | curl -sS --cacert "$CA" -H 'Content-Type: application/pkcs10' --data-binary @- "$URL/api/usermqtt/v1/certificateRequests"; }
hand_in bravo > bravo.json; jq -r .certificate bravo.json > bravo.pem
ok "$(jq -r '[.status,.tenantId,.username] | join(" ")' bravo.json)" "ISSUED bravo bravo-um-1" "a tenant may approve by itself"
ok "$(raw --cert bravo.pem --key key.pem --id bravo-1 --user bravo-um-1 --pw "$(jq -r .password bravo.json)")" "CONNACK 0 sp 0" "and what it gives works"
for n in $(seq 15); do hand_in bravo > again.json; done
ok "$(jq -r '[.status,.username,has("password")] | map(tostring) | join(" ")' again.json)" "ISSUED bravo-um-1 false" "a renewal is no new account, and tells no password"
ok "$(hand_in bravo | jq -r '.message' | cut -d';' -f1)" "the account bravo-um-1 has 16 certificates that work" "and renewals have a bound"
ok "$(hand_in acme | jq -r '[.status,has("certificate")] | map(tostring) | join(" ")')" "PENDING false" "another tenant waits for its operator"
"""

SHARED = CLIENTS + r"""
sub -i acme-a -q 1 -t '$share/acme-g1/centiloc/acme' -W 8 > a 2>/dev/null & A=$!
sub -i acme-b -q 1 -t '$share/acme-g1/centiloc/acme' -W 8 > b 2>/dev/null & B=$!
sleep 2; seq 100 | pub -l
wait $A; wait $B
ok "$(sort -n a b | uniq | wc -l) $(cat a b | wc -l)" "100 100" "each of 100 messages comes to one of the group"
N=$(wc -l < a); ok "$([ "$N" -ge 49 ] && [ "$N" -le 51 ] && echo half || echo "$N")" half "and each of the two gets half of them"
ok "$(sub -i acme-c -q 1 -t '$share/zz-g1/centiloc/acme' -W 2 2>&1 | grep -ci denied)" 1 "a group without the tenant in front is refused"
ok "$(sub -i acme-c -q 1 -t '$share/acme-g1/centiloc/bravo' -W 2 2>&1 | grep -ci denied)" 1 "and so is another tenant's topic"
"""

LEAVE = CLIENTS + r"""
sub $KEEP -E; for n in 1 2 3; do pub -m "$n"; done
ok "$?" 0 "a client leaves, and three messages come"
"""

IN_TIME = CLIENTS + r"""
ok "$(sub $KEEP -C 3 -W 10 | tr -d '\n')" 123 "after 1 h 59 it gets all of them"
"""

TOO_LATE = CLIENTS + r"""
ok "$(sub $KEEP -W 3 -d 2>&1 | grep -c PUBLISH)" 0 "after 2 h 01 it gets none"
"""


def away(t, clock, broker, seconds):
    """The broker is stopped, and comes back when so much time has passed: its timers count real time."""
    broker.stop()
    clock.write_text(str(seconds))
    return broker.start()


def connects(t, broker):
    """What the client of the lasting session is answered; it is gone again at once."""
    grant = json.loads((t.home / "grant.json").read_text())
    files = {"ca": broker.ca, "cert": t.home / "cert.pem", "key": t.home / "key.pem"}
    return wire.verdict(broker.tls, "acme-keeper", clean=False, user=grant["username"], password=grant["password"], **files)


def run(t):
    clock = t.home / "clock"
    config = f'test_clock = "{clock}"\n' + NO_TENANT + tenant("acme", "centiloc") + tenant("bravo", "centiloc", auto_approve=True)
    broker = t.certus(config)
    play(t, broker, GRANT, ADMIN=administrator(broker))
    play(t, broker, BY_ITSELF)
    play(t, broker, SHARED)
    play(t, broker, LEAVE)
    away(t, clock, broker, 7140)
    t.ok(connects(t, broker), "CONNACK 0 sp 1", "the session is there after 1 h 59")
    play(t, broker, IN_TIME)
    play(t, broker, LEAVE)
    away(t, clock, broker, 7140 + 7260)
    t.ok(connects(t, broker), "CONNACK 0 sp 0", "and is not after 2 h 01")
    play(t, broker, TOO_LATE)
