"""EST (RFC 7030) with curl and openssl: a first certificate by a one-time token, the next by the one before, and what stays of a device."""

from support.scenario import tenant
from support.shell import administrator, play

PREPARE = r"""
EST="$URL/.well-known/est/$TENANT"
api(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $ADMIN" -H 'Content-Type: application/json' "$@"; }
est(){ curl -sS --cacert "$CA" "$@"; }
invite(){ api -d "{\"device\":\"$1\"}" "$URL/api/v1/tenants/${2:-$TENANT}/enrolment-tokens" | jq -r .token; }
mkreq(){ openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -outform DER -out "$1.der" -subj "$2" "${@:3}" 2>/dev/null; openssl base64 -in "$1.der" -out "$1.b64"; }
taken(){ openssl base64 -d -in "$1" | openssl pkcs7 -inform DER -print_certs -out "$2"; }
names(){ openssl x509 -in "$1" -noout -subject | sed 's/subject=//'; }
connects(){ raw --cert "$1.pem" --key "$1.key" --id "$2"; }
P10='Content-Type: application/pkcs10'
"""

AUTHORITY = r"""
ok "$(est -D heads -o cacerts.b64 -w '%{http_code}' "$EST/cacerts")" 200 "cacerts, without a login"
ok "$(grep -ic '^content-type: application/pkcs7-mime' heads) $(grep -ic '^content-transfer-encoding: base64' heads)" "1 1" "in the form of the RFC"
taken cacerts.b64 issuer.pem
ok "$(openssl x509 -in issuer.pem -noout -ext basicConstraints | grep -c CA:TRUE)" 1 "openssl reads the tenant's CA out of it"
est "$URL/.well-known/est/cacerts" > other.b64; cmp -s other.b64 cacerts.b64
ok $? 0 "without a label it is that of the listener's tenant"
ok "$(est -H 'Host: plant.example:8443' "$URL/.well-known/est/cacerts" | openssl base64 -d | openssl pkcs7 -inform DER -print_certs | grep -c 'subject=.*plant')" 1 "or that of the tenant whose domain the host is"
ok "$(code est "$URL/.well-known/est/nobody/cacerts")" 404 "an unknown label"
ok "$(code est "$EST/csrattrs")" 204 "every kind of key will do"
ok "$(est "$URL/.well-known/est/curves/csrattrs" | openssl base64 -d | openssl asn1parse -inform DER | grep -Ec 'id-ecPublicKey|prime256v1')" 2 "another tenant wants elliptic curves"
"""

ENROL = r"""
T=$(invite pump-7)
mkreq pump-7 "/C=FI/O=Borealis/CN=pump-7"
ok "$(est -o denied -D heads -w '%{http_code}' -H "$P10" --data-binary @pump-7.b64 "$EST/simpleenroll")" 401 "nobody is vouched for by nothing"
ok "$(grep -ic '^www-authenticate: basic' heads) $(grep -ic '^content-type: text/plain' heads)" "1 1" "and is told how, in plain text"
ok "$(code est -u "x:certus-enrol_0000_wrong" -H "$P10" --data-binary @pump-7.b64 "$EST/simpleenroll")" 401 "nor by another token"
mkreq other /CN=other
ok "$(code est -u "pump-7:$T" -H "$P10" --data-binary @other.b64 "$EST/simpleenroll")" 403 "a token is for one name"
ok "$(code est -u "pump-7:$T" -d @pump-7.b64 "$EST/simpleenroll")" 415 "another type of body"
ok "$(code est -u "pump-7:$T" -H "$P10" -d nonsense "$EST/simpleenroll")" 400 "no request at all"
ok "$(code est -u "pump-7:$T" -H "$P10" --data-binary @pump-7.b64 "$URL/.well-known/est/curves/simpleenroll")" 401 "another tenant's label"
ok "$(est -D heads -o pump-7.p7 -w '%{http_code}' -u "pump-7:$T" -H "$P10" -H 'Content-Transfer-Encoding: base64' --data-binary @pump-7.b64 "$EST/simpleenroll")" 200 "a certificate for the token"
ok "$(grep -ic '^content-type: application/pkcs7-mime; smime-type=certs-only' heads)" 1 "in the form of the RFC"
taken pump-7.p7 pump-7.pem
ok "$(openssl verify -CAfile issuer.pem pump-7.pem)" "pump-7.pem: OK" "below the CA of cacerts"
ok "$(names pump-7.pem)" "CN = pump-7" "with the name that the token vouches for, and no other"
ok "$(code est -u "pump-7:$T" -H "$P10" --data-binary @pump-7.b64 "$EST/simpleenroll")" 401 "the token is used up"
ok "$(est -u "pump-7:$T" -H "$P10" --data-binary @pump-7.b64 "$EST/simpleenroll" | grep -c 'unknown, used or ended')" 1 "and that is what is said"
ok "$(connects pump-7 pump-7)" "CONNACK 0 sp 0" "the device connects"
for form in der pem oneline; do
  mkreq form-$form /CN=form-$form
  case $form in der) body=form-$form.der ;; pem) openssl req -inform DER -in form-$form.der -out form-$form.csr; body=form-$form.csr ;; oneline) openssl base64 -A -in form-$form.der -out form-$form.one; body=form-$form.one ;; esac
  ok "$(code est -u "any:$(invite form-$form)" -H "$P10" --data-binary @$body "$EST/simpleenroll")" 200 "a request as $form"
done
ok "$(code est -H "Authorization: Bearer $ADMIN" -H "$P10" --data-binary @other.b64 "$EST/simpleenroll")" 200 "who may issue needs no token"
ok "$(code est -X POST -d x "$EST/serverkeygen") $(code est -X POST -d x "$EST/fullcmc")" "404 404" "keys are not made here"
"""

# What libest's client sends (est_client.c), and what it compares letter by letter in answers (est_client_http.c).
LIBEST = r"""
libest(){ est --http1.1 -H 'User-Agent: libest client 1.0' -H 'Connection: close' -H 'Accept: */*' -H "$P10" -D heads -w '%{http_code}' "$@"; }
in_full(){ grep -c "^$1" heads; }
ok "$(libest -H 'Content-Type:' -o cacerts.b64 "$EST/cacerts")" 200 "libest fetches the CA"
ok "$(in_full 'Content-Type: application/pkcs7-mime') $(in_full 'Content-Length: [1-9]') $(in_full 'Transfer-Encoding')" "1 1 0" "with the names of fields that it knows"
mkreq valve /CN=valve; V=$(invite valve)
ok "$(libest -o said --data-binary @valve.b64 "$EST/simpleenroll")" 401 "it asks without a login first"
ok "$(in_full 'WWW-Authenticate: Basic realm="')" 1 "and is told how in a field that it knows"
ok "$(libest -u "valve:$V" -o valve.p7 --data-binary @valve.b64 "$EST/simpleenroll")" 200 "then with one"
ok "$(in_full 'Content-Type: application/pkcs7-mime; smime-type=certs-only') $(in_full 'Content-Length: [1-9]')" "1 1" "and gets its certificate"
taken valve.p7 valve.pem
ok "$(connects valve valve)" "CONNACK 0 sp 0" "which works"
ok "$(libest --cert valve.pem --key valve.key -o valve.p7 --data-binary @valve.b64 "$EST/simplereenroll")" 200 "it renews by the certificate"
again(){ code est --cert valve.pem --key valve.key --data-binary @valve.b64 "$@" "$EST/simplereenroll"; }
ok "$(again -H "$P10" -H 'Transfer-Encoding: chunked')" 200 "a body in chunks"
ok "$(again --http1.0 -H "$P10")" 200 "HTTP 1.0"
ok "$(again -H "$P10; charset=us-ascii" -H 'Content-Transfer-Encoding: base64')" 200 "a type with a parameter"
ok "$(again -H 'content-type: APPLICATION/PKCS10')" 200 "a type in capitals"
sed 's/$/\r/' valve.b64 > crlf.b64
ok "$(code est --cert valve.pem --key valve.key -H "$P10" --data-binary @crlf.b64 "$EST/simplereenroll")" 200 "lines that end as MIME's do"
"""

RENEW = r"""
sub(){ mosquitto_sub -h localhost -p "$MQTTS" --cafile "$CA" --cert "$1.pem" --key "$1.key" -V mqttv311 -i "$2" -c -q 1 -t "work/$2" "${@:3}"; }
pub(){ mosquitto_pub -h localhost -p "$MQTTS" --cafile "$CA" --cert form-der.pem --key form-der.key -i form-der -q 1 -t "$1" -m "$2"; }
renew(){ est --cert "$1.pem" --key "$1.key" -H "$P10" --data-binary "@$2.b64" "$EST/simplereenroll"; }
est -u "any:$(invite form-der)" -H "$P10" --data-binary @form-der.der "$EST/simpleenroll" > form-der.p7; taken form-der.p7 form-der.pem
sub pump-7 pump-7 -E
pub work/pump-7 first
mkreq pump-7b /CN=pump-7 -addext subjectAltName=DNS:root.example
renew pump-7 pump-7b > pump-7b.p7; taken pump-7b.p7 pump-7b.pem
ok "$(names pump-7b.pem)" "CN = pump-7" "a certificate is renewed by the one before"
ok "$(openssl x509 -in pump-7b.pem -noout -text | grep -c root.example)" 0 "with nothing in it that the one before had not"
pub work/pump-7 second
ok "$(sub pump-7b pump-7 -C 2 -W 10 | tr '\n' ' ')" "first second " "the session goes on under the new one"
ok "$(code est --cert pump-7.pem --key pump-7.key -H "$P10" --data-binary @other.b64 "$EST/simplereenroll")" 403 "for another name it is not"
# A device whose certificate a CA of its owner signed, with names that rights may depend on.
sub field field -E
pub work/field kept
mkreq field-2 "/O=Borealis/OU=line 2/CN=field" -addext subjectAltName=DNS:field.plant,DNS:boss.plant
api -X PATCH -d '{"status":"renew_only"}' "$URL/api/v1/tenants/$TENANT/anchors/$ANCHOR" > changed
ok "$(jq -r .status changed)" renew_only "its CA is good for renewal only, from now on"
ok "$(connects field field | cut -d' ' -f1)" TLS "so it may not connect"
renew field field-2 > field-2.p7; taken field-2.p7 field-2.pem
ok "$(names field-2.pem)" "O = Borealis, OU = line 2, CN = field" "but may have a certificate of the broker's CA, with its names"
ok "$(openssl x509 -in field-2.pem -noout -ext subjectAltName | tr -d '\n ' | sed 's/.*Name://')" "DNS:field.plant" "those that it had"
ok "$(sub field-2 field -C 1 -W 10)" kept "and is the same device: its session waited"
# Taken back is taken back.
api -d '{"target":"common_name","value":"pump-7","reason":"keyCompromise"}' "$URL/api/v1/tenants/$TENANT/revocations" > revoked
ok "$(est -o why -w '%{http_code}' --cert pump-7b.pem --key pump-7b.key -H "$P10" --data-binary @pump-7b.b64 "$EST/simplereenroll")" 401 "who was revoked is not renewed"
ok "$(grep -c revoked why)" 1 "and is told why"
ok "$(code est --cert stranger.pem --key stranger.key -H "$P10" --data-binary @other.b64 "$EST/simplereenroll")" 401 "a stranger's certificate vouches for nobody"
"""


def run(t):
    root, stranger = t.pki.root("owner-ca"), t.pki.root("stranger-ca")
    field = t.pki.leaf(root, "field", subject="/O=Borealis/OU=line 2/CN=field", more="subjectAltName=DNS:field.plant\n")
    odd = t.pki.leaf(stranger, "other")
    for pair, name in ((field, "field"), (odd, "stranger")):
        (t.home / f"{name}.pem").write_text(pair.cert.read_text())
        (t.home / f"{name}.key").write_text(pair.key.read_text())
    plant = tenant("plant", "open").replace('profile', 'domain = "plant.example"\nprofile')
    broker = t.certus(tenant("lab", "open") + plant + tenant("curves", "centiloc"))
    upload = r"""
ANCHOR=$(jq -n --rawfile c owner.pem '{name:"owner",certificate:$c}' | api -d @- "$URL/api/v1/tenants/$TENANT/anchors" | jq -r .id)
"""
    (t.home / "owner.pem").write_text(root.cert.read_text())
    script = "".join((PREPARE, AUTHORITY, ENROL, LIBEST, upload, RENEW))
    play(t, broker, script, TENANT="lab", ADMIN=administrator(broker))
    log = "\n".join(broker.log())
    t.matches(log, r"refused at renewal: revoked: .*CN=pump-7", "the refusal is recorded")
    t.check("certus-enrol_" not in log and "PRIVATE KEY" not in log, "no secret is in the log", log[-800:])
