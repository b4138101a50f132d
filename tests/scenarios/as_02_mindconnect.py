"""AS-02, AS-03, AS-05, AS-06 and the end of AS-04: MindConnect's documented commands (MC-API, MC-CA, MC-POP, MC-AGT)."""

from support.scenario import tenant
from support.shell import administrator, play

TOKEN = r"""
NEW='{"name":"scenario","scopes":["mcmqtt.admin"]}'
TOKEN=$(curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' -d "$NEW" "$URL/api/v1/tenants/$TENANT/tokens" | jq -r .token)
MC="$URL/api/mindconnectmqtt/v3"
"""

AS_02 = r"""
export COUNTRY_CODE=FI CITY=TKU ORGANIZATION=BOREALIS
openssl genrsa -out $TENANT.key 2048
openssl req -x509 -new -nodes -key $TENANT.key -sha256 -days 3650 -out $TENANT.pem -subj "/C=$COUNTRY_CODE/ST=$CITY/O=$ORGANIZATION/OU=IT/CN=$TENANT"
R=$(mc -X POST $MC/caCertificates -d "{\"name\":\"Plant 7 CA\",\"caCertificate\":\"$(esc $TENANT.pem)\"}")
ID=$(echo "$R" | jq -r .id)
ok "$(echo "$ID" | grep -Ec '^[0-9a-f]{24}$')" 1 "id form"
ok "$(echo "$R" | jq -r .commonName)" "$TENANT" "common name"
ok "$(echo "$R" | jq -r .expiration | grep -Ec '^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z$')" 1 "expiration form"
ok "$(echo "$R" | jq 'has("isVerified")')" false "the answer to an upload has no isVerified"
ok "$(mc $MC/caCertificates/$ID | jq -r .isVerified)" false "not verified yet"
ok "$(mc $MC/caCertificates | jq -r '[.totalElements,.first,.last,.size] | join(" ")')" "1 true true 20" "the list is a page"
REGISTRATION_CODE=$(mc $MC/caCertificates/$ID/registrationCode | jq -r .registrationCode)
ok "$(mc $MC/$ID/registrationCode | jq -r .registrationCode)" "$REGISTRATION_CODE" "alias path, same code"
ok "$(echo "$REGISTRATION_CODE" | grep -Ec '^[0-9a-f]{64}$')" 1 "64 hex"
openssl genrsa -out press.key 2048
openssl req -new -key press.key -out press.csr -subj "/C=FI/O=BOREALIS/CN=press-12"
openssl x509 -req -in press.csr -CA $TENANT.pem -CAkey $TENANT.key -CAcreateserial -out press.pem -days 365 -sha256
ok "$(raw --cert press.pem --key press.key --id ${TENANT}_press-12 | cut -d' ' -f1)" TLS "a CA that is not verified admits nobody"
openssl genrsa -out verificationCert.key 2048
openssl req -new -key verificationCert.key -out verificationCert.csr -subj /CN=$REGISTRATION_CODE
openssl x509 -req -in verificationCert.csr -CA $TENANT.pem -CAkey $TENANT.key -CAcreateserial -out verificationCert.pem -days 7 -sha256
ok "$(openssl x509 -in verificationCert.pem -noout -text | grep -c 'Version: 1')" 1 "the documented command makes version 1"
V=$(mc -X POST $MC/caCertificates/$ID/verify -d "{\"verificationCertificate\":\"$(esc verificationCert.pem)\"}")
ok "$(echo "$V" | jq -r .isVerified)" true "verified"
ok "$(raw --cert press.pem --key press.key --id ${TENANT}_press-12)" "CONNACK 0 sp 0" "and admits its devices at once"
ok "$(mc -X POST $MC/caCertificates/$ID/verify -d "{\"verificationCertificate\":\"$(esc verificationCert.pem)\"}" | jq -r .isVerified)" true "the same proof again"
"""

AS_03 = r"""
post(){ code mc -X POST "$1" -d "$2"; }
says(){ mc -X POST "$1" -d "$2" | jq -r '.errors[0].code' | sed 's/mdsp.core.//'; }
ok "$(code curl -sS --cacert $CA $MC/caCertificates)" 401 "no token"
ok "$(curl -sS --cacert $CA $MC/caCertificates -D - -o /dev/null | grep -ic 'www-authenticate: bearer')" 1 "and the way to log in"
ok "$(post $MC/caCertificates "{\"name\":\"again\",\"caCertificate\":\"$(esc $TENANT.pem)\"}")" 409 "same certificate"
ok "$(says $MC/caCertificates "{\"name\":\"again\",\"caCertificate\":\"$(esc $TENANT.pem)\"}")" mindconnectmqtt.certificateAlreadyExists "by name"
ok "$(post $MC/caCertificates '{"name":"x","caCertificate":"nonsense"}')" 400 "not PEM"
ok "$(says $MC/caCertificates '{"caCertificate":"x"}')" generic.missingRequestBodyProperty "name missing"
ok "$(says $MC/caCertificates '{"name":"  ","caCertificate":"x"}')" generic.missingRequestBodyProperty "name blank"
ok "$(says $MC/caCertificates "{\"name\":\"$(printf 'x%.0s' $(seq 256))\",\"caCertificate\":\"$(esc $TENANT.pem)\"}")" generic.invalidRequestBodyProperty "name too long"
mk(){ openssl req -x509 -newkey rsa:2048 -nodes -keyout $1.key -sha256 -days 30 -out $1.pem -subj /CN=$1 2>/dev/null; }
mk ca2; mk ca3
ID2=$(mc -X POST $MC/caCertificates -d "{\"name\":\"two\",\"caCertificate\":\"$(esc ca2.pem)\"}" | jq -r .id)
ok "$(says $MC/caCertificates "{\"name\":\"three\",\"caCertificate\":\"$(esc ca3.pem)\"}")" mindconnectmqtt.certificateLimitExceeded "third CA"
ok "$(post $MC/caCertificates "{\"name\":\"three\",\"caCertificate\":\"$(esc ca3.pem)\"}")" 409 "third CA, status"
mc $MC/caCertificates/$ID2/registrationCode >/dev/null
openssl req -new -newkey rsa:2048 -nodes -keyout w.key -out w.csr -subj /CN=0000 2>/dev/null
openssl x509 -req -in w.csr -CA ca2.pem -CAkey ca2.key -CAcreateserial -out w.pem -days 7 -sha256 2>/dev/null
ok "$(post $MC/caCertificates/$ID2/verify "{\"verificationCertificate\":\"$(esc w.pem)\"}")" 400 "CN is not the code"
ok "$(mc -X POST $MC/caCertificates/$ID2/verify -d "{\"verificationCertificate\":\"$(esc w.pem)\"}" | jq -r '.errors[0].message' | grep -c 'common name is not the registration code')" 1 "and it says so"
ok "$(post $MC/caCertificates/$ID2/verify "{\"verificationCertificate\":\"$(esc verificationCert.pem)\"}")" 400 "other signer"
ok "$(says $MC/caCertificates/$ID2/verify '{}')" generic.missingRequestBodyProperty "no proof at all"
ok "$(mc $MC/caCertificates/$ID2 | jq -r .isVerified)" false "failed attempts change nothing"
ok "$(code mc "$MC/caCertificates?size=0")" 400 "bad page size"
ok "$(code mc -X DELETE $MC/caCertificates/$ID2)" 204 "delete"
ok "$(code mc $MC/caCertificates/$ID2)" 404 "gone"
ok "$(code mc -X DELETE $MC/caCertificates/$ID2)" 404 "and stays so"
ok "$(code mc -X PUT $MC/caCertificates)" 405 "wrong method"
ok "$(code mc $MC/nothing)" 404 "unknown path"
ok "$(code curl -sS --cacert $CA -H "Authorization: Bearer $TOKEN" -H 'Content-Type: text/plain' -d x $MC/caCertificates)" 415 "another type of body"
"""

AS_05 = r"""
mc -X POST $MC/agentCertificates -d '{"name":"device001","owner":"line2@acme7.example"}' > agent.json
ok "$(jq -r .status agent.json)" READY status
CID=$(jq -r .clientId agent.json); ok "$CID" "${TENANT}_device001" clientId
ok "$(jq -r .id agent.json | grep -Ec '^[0-9A-HJKMNP-TV-Z]{26}$')" 1 "the id is a ULID"
sed -n 's/.*"publicKey" *: *"\([^"]*\)".*/\1/p'  agent.json > public-key.pem
sed -n 's/.*"privateKey" *: *"\([^"]*\)".*/\1/p' agent.json > private-key.key
awk '{gsub(/\\n/,"\n")}1' public-key.pem > public-key.txt && mv public-key.txt public-key.pem
awk '{gsub(/\\n/,"\n")}1' private-key.key > private-key.txt && mv private-key.txt private-key.key
ok "$(head -1 private-key.key)" "-----BEGIN RSA PRIVATE KEY-----" "PKCS#1"
ok "$(openssl rsa -in private-key.key -check -noout 2>&1)" "RSA key ok" "the key is whole"
ok "$(openssl x509 -in public-key.pem -noout -subject)" "subject=CN = $CID" "the certificate's name"
ok "$(raw --cert public-key.pem --key private-key.key --id $CID)" "CONNACK 0 sp 0" connect
mosquitto_sub -h localhost -p $MQTTS --cafile $CA --cert public-key.pem --key private-key.key -V mqttv311 -i $CID -q 1 -t "tc/$TENANT/$CID/i/#" -W 10 > heard &
S=$!; sleep 1
AID=$(jq -r .id agent.json)
ok "$(mc $MC/agentCertificates/$AID | jq -r '.privateKey // "none"')" none "key given once"
ok "$(mc $MC/agentCertificates | jq -r '.content[0].clientId')" "$CID" "it is in the list"
ok "$(code mc -X POST $MC/agentCertificates -d '{"owner":"x"}')" 400 "name mandatory"
ok "$(code mc -X POST $MC/agentCertificates -d '{"name":"device001"}')" 409 "name in use"
ok "$(code mc -X POST $MC/agentCertificates -d '{"name":"a b"}')" 400 "name with a blank"
ok "$(mc -X POST $MC/agentCertificates -d '{"name":"small","keyType":"p256"}' | jq -r .privateKey | openssl pkey -noout -text | grep -c 'P-256')" 1 "another kind of key"
ok "$(code mc -X DELETE $MC/agentCertificates/$AID)" 204 delete
for i in $(seq 50); do kill -0 $S 2>/dev/null || break; sleep 0.1; done
ok "$(kill -0 $S 2>/dev/null && echo lives || echo ended)" ended "its live connection ends"
ok "$(raw --cert public-key.pem --key private-key.key --id $CID | grep -Ec '^(TLS|CLOSED|CONNACK 5)')" 1 "and it is refused from now on"
ok "$(code mc $MC/agentCertificates/$AID)" 404 "gone from the list"
"""

LOGIN = r"""
curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' -d '{"name":"ci","password":"correct horse","role":"operator","scopes":["mcmqtt.admin"]}' "$URL/api/v1/tenants/$TENANT/accounts" >/dev/null
T=$(curl -sS --cacert "$CA" -u "$TENANT/ci:correct horse" -d grant_type=client_credentials "$URL/oauth/token")
ok "$(echo "$T" | jq -r '[.token_type,.expires_in] | join(" ")')" "bearer 1799" "an access token for client credentials"
ok "$(TOKEN=$(echo "$T" | jq -r .access_token); code mc $MC/caCertificates)" 200 "opens the API"
ok "$(curl -sS --cacert "$CA" -d "grant_type=client_credentials&client_id=$TENANT/ci&client_secret=wrong" "$URL/oauth/token" | jq -r .error)" invalid_client "a wrong secret"
ok "$(curl -sS --cacert "$CA" -u "$TENANT/ci:correct horse" -d 'grant_type=client_credentials&scope=admin' "$URL/oauth/token" | jq -r .error)" invalid_scope "more than the client may do"
R=$(curl -sS --cacert "$CA" -u "$TENANT/ci:correct horse" -d 'grant_type=client_credentials&scope=mcmqtt.ca.read' "$URL/oauth/token" | jq -r .access_token)
ok "$(TOKEN=$R; code mc $MC/caCertificates) $(TOKEN=$R; code mc -X POST $MC/agentCertificates -d '{"name":"x"}')" "200 403" "a narrower token"
"""


def run(t):
    broker = t.certus(tenant("acme7", "mindconnect") + tenant("lab", "open"))
    script = "".join((TOKEN, AS_02, AS_03, AS_05, LOGIN))
    play(t, broker, script, TENANT="acme7", ADMIN=administrator(broker))
    log = "\n".join(broker.log())
    t.check("PRIVATE KEY" not in log and "certus_" not in log and "correct horse" not in log, "no secret is in the log", log[-800:])
    broker.stop()
    again = broker.start()
    t.check("certus_" not in "\n".join(again.process.out), "the administrator's token is told once")
