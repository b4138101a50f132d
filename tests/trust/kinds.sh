#!/bin/bash
# Makes, with plain openssl commands, every kind of client certificate that
# deps.md section 2.3 lists and a few more, in the current directory.
set -euo pipefail
export OPENSSL_CONF=/dev/null

key() { # name, then what genpkey wants
    local name=$1; shift
    openssl genpkey -out "$name.key" "$@" 2>/dev/null
}
ec() { key "$1" -algorithm EC -pkeyopt "ec_paramgen_curve:$2"; }
rsa() { key "$1" -algorithm RSA -pkeyopt "rsa_keygen_bits:$2"; }

printf '[req]\ndistinguished_name=dn\n[dn]\n' >request.cnf
request() { # key, subject
    openssl req -new -config request.cnf -utf8 -key "$1.key" -subj "$2"
}
extensions() { # the extensions (none: version 1); sets EXT
    EXT=()
    if [ -n "$1" ]; then printf '%b' "$1" >extensions.cnf; EXT=(-extfile extensions.cnf); fi
}
root() { # name, key, days, extensions
    extensions "$4"
    request "$2" "/O=Lab/CN=$1" | openssl x509 -req -signkey "$2.key" -days "$3" -set_serial 1 -sha256 "${EXT[@]}" -out "$1.pem" 2>/dev/null
}
SERIAL=1000
sign() { # name, key, CN, CA, CA key, days, extensions, further options
    local name=$1 key=$2 cn=$3 ca=$4 cakey=$5 days=$6 extensions=$7; shift 7
    extensions "$extensions"
    SERIAL=$((SERIAL + 1))
    request "$key" "/O=Lab/CN=$cn" |
        openssl x509 -req -CA "$ca.pem" -CAkey "$cakey.key" -days "$days" -set_serial "${NUMBER:-$SERIAL}" -sha256 "${EXT[@]}" "$@" -out "$name.pem" 2>/dev/null
}

ec ca P-256; ec sub P-256; ec sub2 P-256; ec sub3 P-256; ec other P-256
ec leaf P-256; ec leaf384 P-384; ec leaf521 P-521; ec leafk1 secp256k1
ec ca521 P-521; ec ca384 P-384
key ed -algorithm ED25519; key ca-ed -algorithm ED25519; key ed448 -algorithm ED448
rsa rsa1024 1024; rsa rsa2048 2048; rsa rsa3072 3072; rsa rsa4096 4096; rsa ca-rsa 2048

CA='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n'
LEAF='basicConstraints=CA:FALSE\n'
USE='extendedKeyUsage=clientAuth\n'

# Roots.
root root ca 3650 "$CA"
root root-other other 3650 "$CA"
root root-v1 ca 3650 ''
root root-plain ca 3650 'subjectKeyIdentifier=hash\n'
root root-nosign ca 3650 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n'
root root-server ca 3650 "${CA}extendedKeyUsage=serverAuth\n"
root root-short ca 1 "$CA"
root root-p521 ca521 3650 "$CA"
root root-p384 ca384 3650 "$CA"
root root-ed ca-ed 3650 "$CA"
root root-rsa ca-rsa 3650 "$CA"
root root-pathlen2 ca 3650 'basicConstraints=critical,CA:TRUE,pathlen:2\nkeyUsage=critical,keyCertSign\n'
# The same name as root, another key.
openssl x509 -req -in <(request other /O=Lab/CN=root) -signkey other.key -days 3650 -set_serial 1 -extfile <(printf '%b' "$CA") -out root-namesake.pem 2>/dev/null

# Intermediates.
sign sub sub sub root ca 3650 "$CA"
sign sub-v1 sub sub root ca 3650 ''
sign sub-noca sub sub root ca 3650 "$LEAF"
sign sub-short sub sub root ca 1 "$CA"
sign b1 sub b1 root-pathlen2 ca 3650 'basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=critical,keyCertSign\n'
sign c0 sub2 c0 b1 sub 3650 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n'
sign d sub3 d c0 sub2 3650 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n'
# The same intermediate again, under a root that nobody trusts.
sign sub-cross sub sub root-other other 3650 "$CA"

# Leaves by extension.
sign eku-client leaf press root ca 3650 "$LEAF$USE"
sign eku-none leaf press root ca 3650 "$LEAF"
sign san-only leaf press root ca 3650 'subjectAltName=DNS:press\n'
sign san-many leaf press root ca 3650 "${LEAF}subjectAltName=URI:urn:dev:press,email:press@lab,otherName:1.2.3.4;UTF8:press\n"
sign san-none leaf press root ca 3650 "${LEAF}subjectKeyIdentifier=hash\n"
sign eku-server leaf press root ca 3650 "${LEAF}extendedKeyUsage=serverAuth\n"
sign eku-any leaf press root ca 3650 "${LEAF}extendedKeyUsage=anyExtendedKeyUsage\n"
sign eku-both leaf press root ca 3650 "${LEAF}extendedKeyUsage=serverAuth,clientAuth\n"
sign ku-encipherment rsa2048 press root ca 3650 "${LEAF}keyUsage=critical,keyEncipherment\n"
sign ca-true leaf press root ca 3650 "$CA"
sign critical leaf press root ca 3650 "${LEAF}1.2.3.4.5=critical,ASN1:UTF8String:x\n"
sign short leaf press root ca 1 "$LEAF"
sign foreign leaf press root-other other 3650 "$LEAF"
sign namesake leaf press root-namesake other 3650 "$LEAF"
sign below-sub leaf press sub sub 3650 "$LEAF"
sign below-v1-sub leaf press sub-v1 sub 3650 "$LEAF"
sign below-noca leaf press sub-noca sub 3650 "$LEAF"
sign below-short leaf press sub-short sub 3650 "$LEAF"
sign below-c leaf press c0 sub2 3650 "$LEAF"
sign below-d leaf press d sub3 3650 "$LEAF"

# Leaves of version 1: `openssl x509 -req` as it stands in the seeds.
sign v1-ec leaf press root ca 3650 ''
sign v1-rsa rsa2048 press root ca 3650 ''

# Leaves by issuer.
sign under-v1 leaf press root-v1 ca 3650 "$LEAF"
sign v1-under-v1 leaf press root-v1 ca 3650 ''
sign under-plain leaf press root-plain ca 3650 "$LEAF"
sign under-nosign leaf press root-nosign ca 3650 "$LEAF"
sign under-server leaf press root-server ca 3650 "$LEAF"
sign under-short leaf press root-short ca 3650 "$LEAF"
sign under-p521 leaf press root-p521 ca521 3650 "$LEAF"
sign under-p384 leaf press root-p384 ca384 3650 "$LEAF" -sha384
sign under-ed leaf press root-ed ca-ed 3650 "$LEAF"
sign under-rsa leaf press root-rsa ca-rsa 3650 "$LEAF"

# Leaves by key.
for key in rsa1024 rsa2048 rsa3072 rsa4096 leaf384 leaf521 leafk1 ed ed448; do
    sign "key-$key" "$key" press root ca 3650 "$LEAF"
done

# Signatures and serials.
sign sha1 leaf press root-rsa ca-rsa 3650 "$LEAF" -sha1
sign sha1-ec leaf press root ca 3650 "$LEAF" -sha1
sign pss-default leaf press root-rsa ca-rsa 3650 "$LEAF" -sigopt rsa_padding_mode:pss
sign pss-digest leaf press root-rsa ca-rsa 3650 "$LEAF" -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
NUMBER=0 sign serial-0 leaf press root ca 3650 "$LEAF"
NUMBER=-5 sign serial-negative leaf press root ca 3650 "$LEAF"
NUMBER=0x800102030405060708090a0b0c0d0e0f1011121314 sign serial-21 leaf press root ca 3650 "$LEAF"

# Self-signed device certificates.
openssl req -x509 -config <(printf '[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nbasicConstraints=critical,CA:TRUE\n') \
    -key leaf.key -subj /O=Lab/CN=press -days 3650 -set_serial 7 -out self-ca.pem
openssl req -x509 -config <(printf '[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nbasicConstraints=CA:FALSE\n') \
    -key leaf.key -subj /O=Lab/CN=press -days 3650 -set_serial 8 -out self-leaf.pem

# Subjects.
openssl x509 -req -in <(request leaf /O=Lab) -CA root.pem -CAkey ca.key -days 3650 -set_serial 2001 -extfile <(printf '%b' "$LEAF") -out cn-none.pem 2>/dev/null
openssl x509 -req -in <(request leaf /CN=a/CN=b) -CA root.pem -CAkey ca.key -days 3650 -set_serial 2002 -extfile <(printf '%b' "$LEAF") -out cn-two.pem 2>/dev/null
openssl x509 -req -in <(request leaf '/CN=press ') -CA root.pem -CAkey ca.key -days 3650 -set_serial 2003 -extfile <(printf '%b' "$LEAF") -out cn-blank.pem 2>/dev/null
openssl x509 -req -in <(request leaf '/CN=Prüfstand 7') -CA root.pem -CAkey ca.key -days 3650 -set_serial 2004 -extfile <(printf '%b' "$LEAF") -out cn-utf8.pem 2>/dev/null
sign tenant-acme leaf acme root ca 3650 "$LEAF"
sign tenant-nobody leaf nobody root ca 3650 "$LEAF"

# The server's own.
ec server P-256
sign server server localhost root-other other 3650 "${LEAF}subjectAltName=DNS:localhost\n"
