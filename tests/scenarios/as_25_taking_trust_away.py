"""AS-25: trust that is taken away ends connections: disabled, deleted, revoked by serial (TRUST-11, C8Y-TC-05, C8Y-TC-06, C8Y-CRL-01)."""

from support.cumulocity import WORDS, config
from support.shell import play

START = r"""
ec(){ openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
{
ec ca; openssl req -x509 -new -key ca.key -sha256 -days 30 -out ca.pem -subj /CN=plant
ec pump; openssl req -new -key pump.key -subj /CN=pump | openssl x509 -req -CA ca.pem -CAkey ca.key -set_serial 0x1000 -out pump.pem -days 30 -sha256
ec fan; openssl req -new -key fan.key -subj /CN=fan | openssl x509 -req -CA ca.pem -CAkey ca.key -set_serial 0x1001 -out fan.pem -days 30 -sha256
} 2>/dev/null
trust plant true ca.pem > /dev/null
"""

# hold NAME: a client that stays, and leaves a line in NAME.end when its connection has ended.
CLIENTS = r"""
FP=$(fp ca.pem)
c(){ raw --cert $1.pem --key $1.key --id $1; }
refused(){ c $1 | grep -Ec '^(TLS|CONNACK 5|CLOSED)'; }
hold(){ rm -f $1.*d; { timeout 30 mosquitto_sub -d -h localhost -p $MQTTS --cafile "$CA" --cert $1.pem --key $1.key -V mqttv311 -i $1 -t s/ds > $1.said 2>&1; date > $1.end; } & HELD=$!; for _ in $(seq 100); do grep -q SUBACK $1.said 2>/dev/null && return; sleep 0.05; done; echo "no SUBACK: $(cat $1.said)"; }
# The client connects again when it is closed, and ends when that is refused.
gone(){ for _ in $(seq 60); do grep -qE 'CONNACK \([1-9]|refused|rror' $1.said && { echo gone; kill $HELD 2>/dev/null; return; }; [ -e $1.end ] && { echo gone; return; }; sleep 0.05; done; echo "still there: $(tail -3 $1.said)"; }
"""

DISABLE = r"""
hold pump
ok "$(code c8y -X PUT $TC/$FP -d '{"status":"DISABLED"}')" 200 "disabled"
ok "$(gone pump)" gone "the connection has ended"
ok "$(refused pump)" 1 "and cannot come back"
ok "$(code c8y -X PUT $TC/$FP -d '{"status":"ENABLED"}')" 200 "enabled"
ok "$(c pump)" "CONNACK 0 sp 0" "it is good again"
hold pump
ok "$(code c8y -X DELETE $TC/$FP)" 204 "deleted"
ok "$(gone pump)" gone "the connection has ended"
ok "$(refused pump)" 1 "and cannot come back"
trust plant true ca.pem > /dev/null
"""

REVOKE = r"""
CRL=$URL/tenant/trusted-certificates/settings/crl
ok "$(code c8y -X PUT $CRL -d '{"crls":[{"serialNumberInHex":"1000","revocationDate":"2024-01-02T09:00:00.000Z"}]}')" 204 "a serial number on the list"
ok "$(c pump)" "CONNACK 0 sp 0" "which does not count yet"
hold pump
O=$URL/tenant/options/configuration/crl.offline.check.enabled
ok "$(c8y $O | jq -r .value)" false "because that is off"
ok "$(code c8y -X PUT $O -d '{"value":"true"}')" 200 "switched on"
ok "$(code c8y -X PUT ${O/offline/online} -d '{"value":"true"}')" 422 "the other option cannot be: it would do nothing"
ok "$(gone pump)" gone "the connection has ended"
ok "$(refused pump)" 1 "and cannot come back"
ok "$(c fan)" "CONNACK 0 sp 0" "another device can"
hold fan
printf 'SERIAL NO.,REVOCATION DATE\n1001,\n' > crl.csv
ok "$(basic -X PUT -F file=@crl.csv $CRL -o /dev/null -w '%{http_code}')" 204 "a table of serial numbers"
ok "$(gone fan)" gone "its connection has ended as well"
ok "$(basic -X PUT -H 'Content-Type: text/csv' --data-binary @crl.csv $CRL -o /dev/null -w '%{http_code}')" 204 "the same table as it is"
ok "$(code c8y -X PUT $CRL -d '{"crls":[{"serialNumberInHex":"1002","revocationDate":"yesterday"}]}')" 400 "a date that is none"
ok "$(code c8y -X PUT $CRL -d '{"crls":[{"serialNumberInHex":"xyz"}]}')" 400 "a number that is none"
ok "$(code c8y -X DELETE $CRL)" 405 "nothing is taken off"
{ echo 'SERIAL NO.,REVOCATION DATE'; seq -f '%.0f,' 5001; } > long.csv
ok "$(basic -X PUT -F file=@long.csv $CRL -o /dev/null -w '%{http_code}')" 400 "more than 5,000"
basic $CRL -D head.txt -o list.crl
ok "$(grep -ic '^content-type: application/pkix-crl' head.txt)" 1 "the list in its type"
ok "$(openssl crl -in list.crl -inform DER -noout -text | grep -E 'Serial Number' | tr -d ' ' | sort | tr '\n' ' ')" "SerialNumber:1000 SerialNumber:1001 " "with both numbers"
ok "$(openssl crl -in list.crl -inform DER -noout -text | grep -c 'Jan  2 09:00:00 2024')" 1 "since when they count"
"""


def run(t):
    broker = t.certus(config(t))
    play(t, broker, WORDS + START + CLIENTS + DISABLE + REVOKE)
