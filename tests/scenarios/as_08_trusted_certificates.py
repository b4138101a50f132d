"""AS-08: a CA by configuration file, uploaded without line breaks, and devices that become known by it (C8Y-TC, C8Y-REG-01)."""

from support.cumulocity import WORDS, config
from support.scenario import tenant
from support.shell import play

# The configuration that the platform's documentation prints for a CA of one's own.
CA_CONFIG = """
[ca]
default_ca = CA_default
[CA_default]
dir = .
new_certs_dir = $dir/deviceCertificates
database = $dir/database.txt
serial = $dir/serial
private_key = $dir/caKey.pem
certificate = $dir/caCert.pem
default_md = sha256
default_days = 365
preserve = no
policy = signing_policy
crl_extensions = crl_ext
[signing_policy]
commonName = supplied
[req]
default_bits = 4096
distinguished_name = req_dn
string_mask = utf8only
default_md = sha256
x509_extensions = v3_ca
[req_dn]
commonName = Common Name
[v3_ca]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
basicConstraints = critical,CA:true,pathlen:10
keyUsage = critical,digitalSignature,cRLSign,keyCertSign
[v3_signed]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid,issuer
basicConstraints = critical,CA:false
keyUsage = critical,nonRepudiation,digitalSignature,keyEncipherment
[crl_ext]
authorityKeyIdentifier = keyid:always
"""

MAKE = r"""
mkdir caCertificate && cd caCertificate && touch database.txt && echo 1000 > serial && mkdir deviceCertificates crl
printf '%s' "$CA_CONFIG" > caConfig.cnf
{
openssl genrsa -aes256 -passout pass:k1k1k1 -out caKey.pem 4096
openssl req -config caConfig.cnf -key caKey.pem -passin pass:k1k1k1 -new -x509 -days 7300 -sha256 -extensions v3_ca -subj "/CN=Plant 7 Root" -out caCert.pem
openssl genrsa -aes256 -passout pass:k2k2k2 -out deviceCertificates/deviceKey.pem 4096
openssl req -config caConfig.cnf -new -sha256 -key deviceCertificates/deviceKey.pem -passin pass:k2k2k2 -subj /CN=pump-0042 -out deviceCertificates/deviceCsr.pem
openssl ca -batch -config caConfig.cnf -passin pass:k1k1k1 -extensions v3_signed -days 365 -notext -md sha256 -in deviceCertificates/deviceCsr.pem -out deviceCertificates/deviceCert.pem
openssl req -config caConfig.cnf -new -newkey rsa:2048 -nodes -keyout late.key -subj /CN=pump-late -out late.csr
openssl ca -batch -config caConfig.cnf -passin pass:k1k1k1 -extensions v3_signed -days 365 -notext -md sha256 -in late.csr -out late.pem
} 2>/dev/null
ok "$(openssl verify -partial_chain -CAfile caCert.pem deviceCertificates/deviceCert.pem)" "deviceCertificates/deviceCert.pem: OK" "openssl takes the chain"
cat deviceCertificates/deviceCert.pem caCert.pem > deviceCertificates/deviceCertChain.pem; cat late.pem caCert.pem > late-chain.pem; cd ..
D=caCertificate/deviceCertificates; openssl rsa -in $D/deviceKey.pem -passin pass:k2k2k2 -out $D/plain.key 2>/dev/null
"""

UPLOAD = r"""
CERT_PEM_VALUE=$(tr -d '\n' < caCertificate/caCert.pem)
R=$(c8y -X POST $TC -d "{\"status\":\"ENABLED\",\"name\":\"plant root\",\"autoRegistrationEnabled\":\"true\",\"certInPemFormat\":\"$CERT_PEM_VALUE\"}")
FP=$(fp caCertificate/caCert.pem)
ok "$(echo "$R" | jq -r .fingerprint)" "$FP" "fingerprint"
ok "$(echo "$R" | jq -r .autoRegistrationEnabled)" true "the flag came as a text and is answered as a boolean"
ok "$(echo "$R" | jq -r '[.algorithmName,.version,.status,.name,.tenantCertificateAuthority,.proofOfPossessionValid] | join(" ")')" "SHA256withRSA 3 ENABLED plant root false false" "what is told of it"
ok "$(echo "$R" | jq -r .subject)" "CN=Plant 7 Root" "subject"
HEX=$(openssl x509 -in caCertificate/caCert.pem -noout -serial | cut -d= -f2)
ok "$(echo "$R" | jq -r .serialNumber)" "$(python3 -c "print(int('$HEX',16))")" "the serial number is decimal"
ok "$(echo "$R" | jq -r .certInPemFormat)" "$(sed '/-----/d' caCertificate/caCert.pem)" "base64 with line breaks, without markers"
ok "$(echo "$R" | jq -r '.notBefore,.notAfter,.proofOfPossessionVerificationCodeUsableUntil' | grep -Ec '^[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z$')" 3 "dates have milliseconds"
ok "$(echo "$R" | jq -r .self)" "$TC/$FP" "and it names its address"
ok "$(code c8y -X POST $TC -d "{\"status\":\"ENABLED\",\"certInPemFormat\":\"$CERT_PEM_VALUE\"}")" 409 "duplicate"
c(){ raw --cert $D/deviceCertChain.pem --key $D/plain.key --id "$1"; }
for i in pump-0042 d:pump-0042 d:pump-0042:gw_v3; do ok "$(c $i)" "CONNACK 0 sp 0" "$i connects"; done
ok "$(c d:pump-9999)" "CONNACK 5 sp 0" "CN mismatch"; ok "$(c x:pump-0042)" "CONNACK 2 sp 0" "unknown type"
ok "$(code c8y -X PUT $TC/$(echo $FP | tr a-f A-F) -d '{"autoRegistrationEnabled":false,"fingerprint":"read over","version":9}')" 200 "no further device registers by itself"
ok "$(raw --cert caCertificate/late-chain.pem --key caCertificate/late.key --id pump-late)" "CONNACK 5 sp 0" "an unknown device is refused"
ok "$(c pump-0042)" "CONNACK 0 sp 0" "a known one is not"
"""

FORMS = r"""
mk(){ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -sha256 -days 30 -out $1.pem -subj "/CN=$1" 2>/dev/null; }
for name in escaped printed bare broken; do mk $name; done
put(){ jq -n --rawfile pem "$1" '{status:"ENABLED",certInPemFormat:$pem}' | code c8y -X POST $TC -d @-; }
esc escaped.pem > escaped.txt; openssl x509 -in printed.pem -text > printed.txt; sed '/-----/d' bare.pem | tr -d '\n' > bare.txt
ok "$(put escaped.txt)" 201 "line breaks as the two characters \\n"
ok "$(put printed.txt)" 201 "the output of openssl x509 -text"
ok "$(put bare.txt)" 201 "bare base64"
head -c 300 broken.pem > broken.txt
ok "$(put broken.txt)" 422 "a certificate that is cut off"
openssl req -x509 -key bare.key -config /dev/null -sha256 -days 3 -subj /CN=v1 -out v1.pem 2>/dev/null || { openssl req -new -key bare.key -subj /CN=v1 | openssl x509 -req -signkey bare.key -days 3 -out v1.pem; } 2>/dev/null
ok "$(put v1.pem)" 422 "version 1 is no CA"
openssl req -x509 -key bare.key -sha256 -days 3 -subj /CN=leaf -addext basicConstraints=critical,CA:FALSE -out leaf.pem 2>/dev/null
ok "$(put leaf.pem)" 422 "no CA at all"
ok "$(code c8y -X POST $TC -d '{"status":"ENABLED"}')" 422 "nothing to trust"
ok "$(code c8y -X POST $TC -d '{"certInPemFormat":"x"}')" 422 "no status"
mk one; mk two
bulk(){ jq -n --rawfile a "$1" --rawfile b "$2" '{certificates:[{status:"ENABLED",name:"a",certInPemFormat:$a},{status:"DISABLED",name:"b",certInPemFormat:$b}]}' | c8y -X POST $TC/bulk -d @- "${@:3}"; }
ok "$(bulk one.pem broken.txt -o /dev/null -w '%{http_code}')" 422 "one of a list is bad"
ok "$(code c8y $TC/$(fp one.pem))" 404 "then none is taken"
ok "$(bulk one.pem two.pem | jq -r '[.certificates[].status] | join(" ")')" "ENABLED DISABLED" "all together"
ok "$(c8y "$TC?pageSize=2&currentPage=2&withTotalPages=true" | jq -r '[.statistics.currentPage,.statistics.pageSize,.statistics.totalPages,(.certificates|length)] | join(" ")')" "2 2 3 2" "a page of the list"
ok "$(c8y "$TC?pageSize=2&currentPage=2" | jq -r '.next,.prev' | grep -c "^$TC?currentPage=[13]&pageSize=2\$")" 2 "with its neighbours"
ok "$(c8y "$TC?certificateAuthority=true" | jq '.certificates|length')" 0 "none is the tenant's own"
ok "$(curl -sS --cacert "$CA" -u "$C8Y/$C8Y_AUTH" -H 'Accept:' -H 'Content-Type: application/json' -X PUT $TC/$(fp two.pem) -d '{"name":"second"}' -w '%{http_code}')" 200 "without Accept nothing is shown"
ok "$(c8y $TC/$(fp two.pem) | jq -r '[.name,.status] | join(" ")')" "second DISABLED" "but it is changed"
"""

PROOF = r"""
POP="$URL/tenant/tenants/$C8Y/trusted-certificates-pop/$(fp one.pem)"
c8y -X POST $POP/verification-code | jq -rj .proofOfPossessionUnsignedVerificationCode > code.txt
signed(){ openssl dgst -sha256 -sign $1 code.txt | openssl base64 -A; }
pop(){ c8y -X POST $POP/pop -d "{\"proofOfPossessionSignedVerificationCode\":\"$1\"}" "${@:2}"; }
ok "$(pop "$(signed two.key)" -o /dev/null -w '%{http_code}')" 400 "signed by another key"
ok "$(pop "$(signed two.key)" | jq -r .error)" "tenants/Bad Request" "by its name"
ok "$(code c8y -X POST $POP/confirmed)" 403 "a tenant does not confirm itself"
ok "$(pop "$(signed one.key)" | jq -r .proofOfPossessionValid)" true "possession is proved"
"""

ERRORS = r"""
ok "$(code curl -sS --cacert "$CA" $TC)" 401 "nobody"
ok "$(curl -sS --cacert "$CA" -u x:y $TC | jq -r '[.error,.message] | join("|")')" "security/Unauthorized|Invalid credentials! : Bad credentials" "a wrong password"
ok "$(curl -sS --cacert "$CA" $TC -D - -o /dev/null | grep -ic 'content-type: application/vnd.com.nsn.cumulocity.error+json')" 1 "errors have their type"
ok "$(c8y ${TC/t2250/other} | jq -r '[.error,.message] | join("|")')" "security/Forbidden|Access is denied." "another tenant"
ok "$(c8y ${TC/t2250/nowhere} | jq -r '[.error,.message] | join("|")')" "security/Not Found|There is no tenant with id = nowhere" "no such tenant"
ok "$(c8y $TC/00 | jq -r '[.error,.message] | join("|")')" "certificate/Not Found|Cannot find certificate with fingerprint 00." "no such certificate"
ok "$(code c8y -X PATCH $TC/00)" 405 "wrong method"
ok "$(c8y $URL/tenant/nothing | jq -r .error)" "tenants/Not Found" "unknown path"
ok "$(code c8y "$TC?pageSize=2001")" 400 "a page that is too long"
ok "$(curl -sS --cacert "$CA" --connect-to factory.broker.lan:$HTTPS:localhost:$HTTPS -k -u "$C8Y_AUTH" https://factory.broker.lan:$HTTPS/tenant/currentTenant | jq -r '[.name,.domainName] | join(" ")')" "t2250 factory.broker.lan" "the domain tells the tenant"
ok "$(curl -sS --cacert "$CA" -u "$C8Y_AUTH" $URL/tenant/currentTenant | jq -r .name)" t2250 "and without one the first of this profile is meant"
ok "$(c8y $URL/user/currentUser | jq -r '[.userName,(.effectiveRoles[]|select(.id=="ROLE_TENANT_ADMIN").id)] | join(" ")')" "admin ROLE_TENANT_ADMIN" "who one is"
ok "$(code c8y -X POST $URL/user/logout)" 200 "good bye"
ok "$(code c8y -X DELETE $TC/$(fp two.pem))" 204 "deleted"
ok "$(code c8y -X DELETE $TC/$(fp two.pem))" 404 "once"
"""

LIMIT = r"""
ok "$(trust a true two.pem | jq -r .status)" ENABLED "the first of one"
trust b true one.pem > refused.json
ok "$(jq -r .error refused.json)" "tenants/Unprocessable Entity" "the second is one too many"
ok "$(jq -r .message refused.json | grep -c 'the 1 CA certificates')" 1 "and the bound is named"
"""


def run(t):
    broker = t.certus(config(t, more=tenant("other", "open")))
    play(t, broker, WORDS + MAKE + UPLOAD + FORMS + PROOF + ERRORS, CA_CONFIG=CA_CONFIG)
    limited = t.certus(config(t, max_anchors=1))
    play(t, limited, WORDS + LIMIT)
