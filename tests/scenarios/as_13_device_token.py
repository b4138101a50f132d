"""The REST half of AS-13: tokens for devices with a certificate, and the option that ends them (C8Y-JWT-01, C8Y-OPT-01)."""

from support.cumulocity import WORDS, config
from support.shell import play

TOKEN = r"""
ec(){ openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
leaf(){ ec $1; openssl req -new -key $1.key -subj /CN=$1 | openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -out $1.pem -days 30 -sha256; }
{
ec ca; openssl req -x509 -new -key ca.key -sha256 -days 30 -out ca.pem -subj /CN=plant
ec middle; openssl req -new -key middle.key -subj /CN=middle | openssl x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 -out middle.pem -extfile <(printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n')
ec below; openssl req -new -key below.key -subj /CN=below | openssl x509 -req -CA middle.pem -CAkey middle.key -CAcreateserial -out below.pem -days 30 -sha256
ec stranger; openssl req -x509 -new -key stranger.key -sha256 -days 30 -out stranger.pem -subj /CN=stranger
leaf pump-0042; leaf pump-0043
} 2>/dev/null
trust plant true ca.pem > /dev/null
token(){ curl -sS --cacert "$CA" --cert $1.pem --key $1.key -X POST $URL/devicecontrol/deviceAccessToken "${@:2}"; }
R=$(token pump-0042); T=$(echo "$R" | jq -r .accessToken)
ok "$(echo "$R" | jq '.accessToken==.access_token')" true "under both names"
ok "$(echo $T | tr -cd . | wc -c | tr -d ' ')" 2 "three parts"
life(){ python3 -c "import base64,json,sys; c=json.loads(base64.urlsafe_b64decode('$1'.split('.')[1]+'==')); print(c['exp']-c['iat'])"; }
ok "$(life $T)" 3600 "an hour"
as(){ curl -sS --cacert "$CA" -H "Authorization: Bearer $T" "$@"; }
ok "$(as $URL/tenant/currentTenant | jq -r .name)" t2250 "it is good over HTTPS"
ok "$(as $URL/user/currentUser | jq -r .userName)" device_pump-0042 "for the device's user"
ok "$(code as $TC)" 403 "and for no more than that"
ok "$(raw --cert pump-0042.pem --key pump-0042.key --id pump-0042)" "CONNACK 0 sp 0" "the device connects"
ok "$(token stranger | jq -r '[.error,.message] | join("|")')" "security/Unauthorized|Invalid certificate chain!" "a stranger"
ok "$(token stranger | jq -r .details.exceptionMessage | grep -c 'CN=stranger is self-signed')" 1 "is told why"
ok "$(code curl -sS --cacert "$CA" -X POST $URL/devicecontrol/deviceAccessToken)" 401 "nobody"
ok "$(code token below)" 401 "a chain with a gap"
ok "$(code token below -H "X-Ssl-Cert-Chain: $(tr '\n' ' ' < middle.pem)")" 200 "which the header closes"
ok "$(code token below -H "X-Ssl-Cert-Chain: nonsense")" 400 "but not with nonsense"
c8y -X PUT $TC/$(fp ca.pem) -d '{"autoRegistrationEnabled":false}' > /dev/null
ok "$(token pump-0043 | jq -r .error)" "Device Certificates/Unprocessable Entity" "nobody registers by itself any more"
ok "$(code token pump-0042)" 200 "who is known stays"
"""

# As thin-edge.io asks (`tedge cert download c8y` and `tedge cert renew`): the request without its PEM lines, at the tenant's
# host and without a label; first with the device's name and one-time password, then by the device's token through a proxy.
THIN_EDGE = r"""
EST="$URL/.well-known/est"
tedge(){ curl -sS --cacert "$CA" -H "Host: factory.broker.lan:$HTTPS" -H 'Content-Type: application/pkcs10' --data-binary "@$1" -o said -w '%{http_code}' "${@:2}"; }
csr(){ [ -e $1.key ] || ec $1; openssl req -new -key $1.key -subj "/CN=${2:-$1}/O=Thin Edge/OU=Test Device" 2>/dev/null | grep -v -- ----- > $1.csr; }
got(){ tr -d '\r\n' < said | openssl base64 -d -A | openssl pkcs7 -inform DER -print_certs | openssl x509 -out $1.pem; }
csr tedge1; csr tedge1b tedge1
OTP=$(c8y -d '{"device":"tedge1"}' "$URL/api/v1/tenants/$C8Y/enrolment-tokens" | jq -r .token)
ok "$(tedge tedge1.csr -u tedge1:another-password "$EST/simpleenroll")" 401 "a wrong one-time password"
ok "$(tedge tedge1.csr -u "tedge1:$OTP" "$EST/simpleenroll")" 200 "the right one"
got tedge1
ok "$(raw --cert tedge1.pem --key tedge1.key --id tedge1)" "CONNACK 0 sp 0" "thin-edge.io connects"
D=$(token tedge1 | jq -r .accessToken)
ok "$(tedge tedge1b.csr -H "Authorization: Bearer $D" "$EST/simplereenroll")" 200 "its token renews its certificate"
got tedge1b
ok "$(openssl x509 -in tedge1b.pem -noout -subject)" "subject=CN = tedge1" "for its own name"
ok "$(raw --cert tedge1b.pem --key tedge1b.key --id tedge1)" "CONNACK 0 sp 0" "with another key"
csr tedge2
ok "$(tedge tedge2.csr -H "Authorization: Bearer $D" "$EST/simplereenroll")" 403 "for another name it does not"
ok "$(tedge tedge1b.csr -H "Authorization: Bearer ${D}x" "$EST/simplereenroll")" 401 "a forged token"
c8y -d '{"target":"device","value":"tedge1","reason":"keyCompromise"}' "$URL/api/v1/tenants/$C8Y/revocations" > /dev/null
ok "$(tedge tedge1b.csr -H "Authorization: Bearer $D" "$EST/simplereenroll" | cut -c1)" 4 "a device that was revoked renews nothing by a token of before"
"""

OPTION = r"""
O=$URL/tenant/options/oauth.internal/device-token.lifespan.seconds
ok "$(c8y $O | jq -r '[.category,.key,.value] | join(" ")')" "oauth.internal device-token.lifespan.seconds 3600" "the default"
ok "$(code c8y -X PUT $O -d '{"value":"299"}')" 422 "below minimum"; ok "$(code c8y -X PUT $O -d '{"value":"300"}')" 200 "minimum"
ok "$(code c8y -X PUT $O -d '{"value":"soon"}')" 422 "no number"
ok "$(life $(token pump-0042 | jq -r .accessToken))" 300 "tokens end sooner now"
ok "$(c8y -X POST $URL/tenant/options -d '{"category":"mine","key":"credentials.mail","value":"hush"}' | jq -r .value)" "<<Encrypted>>" "a secret is not told"
ok "$(c8y "$URL/tenant/options?withTotalElements=true" | jq -r '[.statistics.totalElements,(.options|length)] | join(" ")')" "2 2" "the list"
ok "$(code c8y -X DELETE $O)" 204 "back to the default"
ok "$(c8y $O | jq -r .value)" 3600 "which holds again"
ok "$(c8y $URL/tenant/options/no/such | jq -r .error)" "options/Not Found" "an option that is none"
sleep 1.1
ok "$(code as -X POST $URL/user/logout)" 200 "good bye"
ok "$(code as $URL/tenant/currentTenant)" 401 "and the token has ended"
ok "$(curl -sS --cacert "$CA" $URL/tenant/openapi.json | jq -r '.paths | has("/devicecontrol/deviceAccessToken")')" true "all of it is described"
"""


def run(t):
    broker = t.certus(config(t, max_chain_length=3))
    play(t, broker, WORDS + TOKEN + THIN_EDGE + OPTION)
