"""AS-10: PKCS#12, JKS and trust store, used by Java's own TLS (TLS-01, TLS-04, SYS-07).

The client pins the server's certificate, as the platform's guide tells it to; a restart of the broker must not break it.
"""

from pathlib import Path

from support.scenario import openssl, tenant

CLIENT = Path(__file__).with_name("JsseClient.java")


def run(t):
    ca = t.pki.root("plant", kind="2048")
    pump = t.pki.leaf(ca, "pump-0042", kind="2048")
    chain = pump.chain_with(ca)
    broker = t.certus(tenant("t2250", "cumulocity", (ca, {"auto_registration": True})))

    openssl("pkcs12", "-export", "-name", "devicekeyentry", "-inkey", pump.key, "-in", chain, "-passout", "pass:ks1234",
            "-out", t.home / "device.pkcs12")
    t.ok(t.sh("keytool", "-importkeystore", "-noprompt", "-srckeystore", "device.pkcs12", "-srcstoretype", "PKCS12", "-srcstorepass", "ks1234",
              "-destkeystore", "device.jks", "-deststoretype", "JKS", "-deststorepass", "ks1234")[0], 0, "PKCS#12 becomes JKS")
    t.matches(t.sh("keytool", "-list", "-v", "-keystore", "device.jks", "-storepass", "ks1234")[1], r"chain length: 2", "both certificates are in it")

    _, shown = t.sh("openssl", "s_client", "-showcerts", "-connect", f"localhost:{broker.tls}", stdin=b"")
    pinned = t.home / "server.pem"
    pinned.write_bytes(openssl("x509", "-outform", "PEM", stdin=shown.encode()))
    t.ok(openssl("x509", "-in", pinned, "-noout", "-fingerprint"), openssl("x509", "-in", broker.certs / "server.pem", "-noout", "-fingerprint"),
         "the server's certificate is had without showing one")
    for kind in ("pkcs12", "jks"):
        t.ok(t.sh("keytool", "-importcert", "-noprompt", "-keystore", f"trust.{kind}", "-storetype", kind, "-storepass", "ts1234",
                  "-alias", "servercertificate", "-file", pinned)[0], 0, f"it is pinned in {kind}")

    def java(kind, version):
        return t.sh("java", "-XX:TieredStopAtLevel=1", CLIENT, broker.tls, "d:pump-0042", f"device.{kind}", "ks1234", kind.upper(), f"trust.{kind}",
                    "ts1234", version, seconds=60)[1]

    want = r"CONNACK 0 {0}\s+SUBACK \d+\s+PUBACK 2"
    t.matches(java("pkcs12", "TLSv1.3"), want.format("TLSv1.3"), "Java, PKCS12, TLS 1.3")
    broker.stop()
    broker.start()
    t.matches(java("jks", "TLSv1.2"), want.format("TLSv1.2"), "Java, JKS, TLS 1.2, after a restart")
