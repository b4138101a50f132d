"""What the scenarios of Cumulocity begin with: a tenant with an administrator, and its words for shell scripts."""

from support.scenario import NO_TENANT, tenant

ADMIN = "admin:s3cret-word"
# The password that all new devices know.
BOOTSTRAP = "change-me-soon"

# TC: the trusted certificates; fp: a certificate's name there; dev: paths of device control; basic: curl with the login.
WORDS = r"""
C8Y=t2250 C8Y_AUTH='%s' BOOT='%s'
TC="$URL/tenant/tenants/$C8Y/trusted-certificates"
fp()   { openssl x509 -in "$1" -noout -fingerprint -sha1 | sed 's/.*=//;s/://g' | tr A-F a-f; }
flat() { tr -d '\n' < "$1"; }
basic(){ curl -sS --cacert "$CA" -u "$C8Y/$C8Y_AUTH" "$@"; }
trust(){ c8y -X POST $TC -d "{\"status\":\"ENABLED\",\"name\":\"$1\",\"autoRegistrationEnabled\":$2,\"certInPemFormat\":\"$(flat $3)\"}"; }
""" % (ADMIN, BOOTSTRAP)


def config(t, more="", **switches):
    """A broker's configuration with the tenant t2250 and the account `admin` in it."""
    _, accounts = t.accounts(admin=(ADMIN.partition(":")[2], "operator"))
    table = tenant("t2250", "cumulocity", **switches)
    table += f'domain = "factory.broker.lan"\nbootstrap_password = "{BOOTSTRAP}"\n'
    return NO_TENANT + table + accounts + more
