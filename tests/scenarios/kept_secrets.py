"""No private key, password, token or payload stands in a log at trace level, in the audit, in refusals, in the body of an
error, or as it is on disk: every secret of every face is made here, used rightly and wrongly, and looked for."""

from support import wire
from support.cumulocity import ADMIN, BOOTSTRAP
from support.scenario import NO_TENANT, tenant
from support.shell import administrator, play

# keep: remembers a secret. wrong: a request that is refused; what it is told is kept to be searched.
WORDS = r"""
keep(){ printf '%s\n' "$1" >> secrets; }
wrong(){ code=$(curl -sS --cacert "$CA" -o told -w '%{http_code}' "$@"); cat told >> answers; echo >> answers; [ "$code" -ge 400 ] && echo refused || echo "taken: $code"; }
api(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' "$@"; }
J='Content-Type: application/json'; A="Authorization: Bearer $ADMIN"; N=$URL/api/v1/tenants
"""

NATIVE = r"""
keep Pw-account-4711
ok "$(code api -d '{"name":"ada","password":"Pw-account-4711","role":"operator","scopes":["admin"]}' $N/lab/accounts)" 201 "an account"
ok "$(code curl -sS --cacert "$CA" -u lab/ada:Pw-account-4711 $N/lab/accounts)" 200 "its password works"
T=$(api -d '{"name":"ci","scopes":["auditor"]}' $N/lab/tokens | jq -r .token); keep "$T"
ok "$(code curl -sS --cacert "$CA" -H "Authorization: Bearer $T" $N/lab)" 200 "a token works"
for guess in Guess-a-5511 Guess-b-5512; do
  keep $guess
  ok "$(wrong -u lab/ada:$guess $N/lab/accounts) $(wrong -H "Authorization: Bearer certus_0123456789abcdef_$guess" $N/lab) $(wrong -H "Authorization: Bearer $guess" $N/lab)" "refused refused refused" "a guess"
  ok "$(wrong -H "$A" -H "$J" -d "{\"name\":\"bob\",\"password\":\"$guess" $N/lab/accounts)" refused "a body that breaks off behind a password"
  ok "$(wrong -H "$A" -H "$J" -d "{\"name\":7,\"password\":\"$guess\"}" $N/lab/accounts)" refused "a wrong type before one"
  ok "$(wrong -H "$A" -H "$J" -d "{\"name\":\"a/b\",\"password\":\"$guess\",\"role\":\"device\"}" $N/lab/accounts)" refused "a wrong name beside one"
  ok "$(wrong -H "$A" -H "$J" -d "{\"name\":\"bob\",\"pasword\":\"$guess\"}" $N/lab/accounts)" refused "a wrong property"
  ok "$(wrong -H "$A" -H "$J" -d "{\"name\":\"bob\",\"password\":[\"$guess\"]}" $N/lab/accounts)" refused "a password that is no text"
done
keep s-h-r-t; ok "$(wrong -H "$A" -H "$J" -d '{"name":"bob","password":"s-h-r-t"}' $N/lab/accounts)" refused "a short password"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out mistaken.key 2>/dev/null; keep "$(sed -n 2p mistaken.key)"
ok "$(jq -n --rawfile c mistaken.key '{name:"x",certificate:$c}' | wrong -H "$A" -H "$J" -d @- $N/lab/anchors)" refused "a private key in place of a CA"
"""

FACES = r"""
MT=$(api -d '{"name":"mc","scopes":["mcmqtt.admin"]}' $N/mind/tokens | jq -r .token); keep "$MT"; M=$URL/api/mindconnectmqtt/v3
curl -sS --cacert "$CA" -H "Authorization: Bearer $MT" -H "$J" -d '{"name":"agent-1","keyType":"EC"}' $M/agentCertificates > agent.json
KEY=$(jq -r '[.. | strings | select(test("PRIVATE KEY"))][0]' agent.json | sed 's/\\n/\n/g' | sed -n 2p); keep "$KEY"
ok "$([ ${#KEY} -ge 60 ] && echo key)" key "MindConnect makes a key"
ok "$(jq -n --rawfile c mistaken.key '{name:"x",certificate:$c}' | wrong -H "Authorization: Bearer $MT" -H "$J" -d @- $M/caCertificates)" refused "a private key as a CA there"
keep Pw-client-4712
ok "$(code api -d '{"name":"app","password":"Pw-client-4712","role":"application","scopes":["mcmqtt.admin"]}' $N/mind/accounts)" 201 "a client"
OT=$(curl -sS --cacert "$CA" -u mind/app:Pw-client-4712 -d grant_type=client_credentials $URL/oauth/token | jq -r .access_token); keep "$OT"
ok "$(code curl -sS --cacert "$CA" -H "Authorization: Bearer $OT" $M/caCertificates)" 200 "its access token works"
ok "$(wrong -d 'grant_type=client_credentials&client_id=mind/app&client_secret=Guess-a-5511' $URL/oauth/token) $(wrong -H "Authorization: Bearer ${OT}x" $M/caCertificates)" "refused refused" "a wrong secret, a forged token"

keep "${C8Y_AUTH#*:}"; keep "$BOOT"
basic(){ curl -sS --cacert "$CA" -u "t2250/$C8Y_AUTH" "$@"; }
keep Pw-bulk-4713; printf 'ID,AUTH_TYPE,CREDENTIALS\npump-1,BASIC,Pw-bulk-4713\n' > bulk.csv
ok "$(code basic -F file=@bulk.csv $URL/devicecontrol/bulkNewDeviceRequests)" 201 "devices with passwords"
keep Pw-spoilt-4714; printf 'ID,AUTH_TYPE,CREDENTIALS\npump/1,BASIC,Pw-spoilt-4714\npump-2,CERTIFICATES,Pw-spoilt-4714\n' > spoilt.csv
basic -F file=@spoilt.csv $URL/devicecontrol/bulkNewDeviceRequests >> answers
keep Pw-option-4715
ok "$(code basic -H "$J" -d '{"category":"mine","key":"credentials.mail","value":"Pw-option-4715"}' $URL/tenant/options)" 200 "an option that is a secret"
basic "$URL/tenant/options" >> answers
ok "$(wrong -u t2250/admin:Guess-b-5512 $URL/tenant/options) $(wrong -u "t2250/$C8Y_AUTH" -H "$J" -d '{"category":"credentials.x","value":["Guess-a-5511"]}' $URL/tenant/options)" "refused refused" "and wrong ones"

openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout acme.key -out acme.csr -subj "/O=A/CN=acme/emailAddress=a@b.example" 2>/dev/null; keep "$(sed -n 2p acme.key)"
U=$URL/api/usermqtt/v1/certificateRequests; P10='Content-Type: application/pkcs10'
ID=$(curl -sS --cacert "$CA" -H "$P10" --data-binary @acme.csr $U | jq -r .id); api -X POST $U/$ID/approve > grant.json; jq -r .certificate grant.json > acme.pem
GP=$(jq -r .password grant.json); keep "$GP"
ok "$(raw --cert acme.pem --key acme.key --id acme-1 --user acme-um-1 --pw "$GP")" "CONNACK 0 sp 0" "Centiloc's grant works"
ok "$(raw --cert acme.pem --key acme.key --id acme-1 --user acme-um-1 --pw Guess-a-5511)" "CONNACK 4 sp 0" "a guess does not"
ok "$(wrong -H "$P10" --data-binary @acme.key $U) $(cat acme.csr acme.key | wrong -H "$P10" --data-binary @- $U)" "refused taken: 201" "a private key in place of a request; behind one it is read over"

OTP=$(api -d '{"device":"pump-9"}' $N/lab/enrolment-tokens | jq -r .token); keep "$OTP"
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout pump-9.key -outform DER -out pump-9.der -subj /CN=pump-9 2>/dev/null; keep "$(sed -n 2p pump-9.key)"
E=$URL/.well-known/est/lab
ok "$(wrong -u pump-9:certus-enrol_0123456789abcdef_Guess-a-5511 -H "$P10" --data-binary @pump-9.der $E/simpleenroll) $(wrong -u "pump-9:$OTP" -H "$P10" --data-binary @pump-9.key $E/simpleenroll)" "refused refused" "EST: a wrong token, and a key in place of a request"
ok "$(code curl -sS --cacert "$CA" -u "pump-9:$OTP" -H "$P10" --data-binary @pump-9.der $E/simpleenroll)" 200 "and the right one"
ok "$(wrong -u "pump-9:$OTP" -H "$P10" --data-binary @pump-9.der $E/simpleenroll)" refused "which is used up"
"""

ASKED = r"""
api "$URL/api/v1/refusals?limit=500" > refusals.json; api "$URL/api/v1/audit?limit=500" > audit.json; api "$URL/api/v1/connections" >> answers
api "$N/lab/accounts" >> answers; api "$N/lab/tokens" >> answers; api "$N/acme/accounts" >> answers
api "$URL/api/usermqtt/v1/notifications" >> answers; api "$URL/api/usermqtt/v1/certificateRequests" >> answers
ok "$(jq '.items | length > 0' refusals.json) $(jq '.items | length > 10' audit.json)" "true true" "refusals and audit are there"
"""


def run(t):
    _, accounts = t.accounts(admin=(ADMIN.partition(":")[2], "operator"))
    c8y = tenant("t2250", "cumulocity") + f'bootstrap_password = "{BOOTSTRAP}"\n' + accounts
    plain = NO_TENANT.replace('1883"', '1883", default_tenant = "lab"')
    config = '[log]\nlevel = "trace"\n' + plain + tenant("lab", "open") + tenant("mind", "mindconnect") + tenant("acme", "centiloc") + c8y
    broker = t.certus(config)
    token = administrator(broker)
    play(t, broker, WORDS + NATIVE + FACES, ADMIN=token, C8Y_AUTH=ADMIN, BOOT=BOOTSTRAP)

    told = []
    for n, kind in enumerate(({"qos": 1}, {"qos": 0, "retain": True})):
        raw, payload = wire.Raw(broker.plain), f"Payload-{n}-98431"
        t.ok(raw.connect(f"talker-{n}", will=("last/words", "Will-98432", 0, False)), "CONNACK 0 sp 0", "a client with a will")
        raw.subscribe("talk/#", 1)
        raw.publish("talk/a", payload, **kind)
        raw.await_packet(3)
        raw.publish("$SYS/forbidden", f"Payload-{n}-denied", 1)
        raw.close()
        told += [payload, "Will-98432", f"Payload-{n}-denied"]
    play(t, broker, WORDS + ASKED, ADMIN=token)

    secrets = [line for line in (t.home / "secrets").read_text().split("\n") if line] + told + [token]
    t.check(len(secrets) >= 25 and all(len(secret) > 6 for secret in secrets), "enough was made to be looked for", secrets)
    broker.stop()
    log = "\n".join(broker.log())
    t.check(" TRACE " in log or " DEBUG " in log, "the log is as loud as it gets", log[-300:])
    places = {"log": log, **{name: (t.home / name).read_text() for name in ("answers", "refusals.json", "audit.json")}}
    # What was told at the first start is the one secret that stands on the terminal.
    places["terminal"] = "\n".join(broker.process.out).replace(token, "")
    kept = b"".join(file.read_bytes() for file in broker.state.rglob("*") if file.is_file())
    for name, text in places.items():
        found = [secret for secret in secrets if secret in text]
        t.ok([(secret, text[max(0, text.find(secret) - 200) : text.find(secret) + 60]) for secret in found], [], f"no secret in: {name} ({len(text)} characters)")
    # Payloads wait on disk, and what a tenant keeps in its options as a secret is sealed.
    found = [secret for secret in secrets if secret not in told and secret.encode() in kept]
    t.ok(found, [], f"no secret as it is on disk ({len(kept)} bytes)")
    t.check(b"acme-um-1" in kept, "while the rest can be found there")
