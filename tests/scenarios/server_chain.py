"""What the handshake shows to somebody without a certificate (TLS-01, TLS-02, TLS-04, TLS-05, TLS-10)."""

from support.scenario import tenant


def run(t):
    ca = t.pki.root("plant-root")
    config = tenant("lab", "open", ca)
    strict = t.certus(config)
    hidden = t.certus(tenant("lab", "open", ca, send_ca_names=False))

    def shown(broker, *more):
        return t.sh("openssl", "s_client", "-showcerts", "-ign_eof", "-connect", f"localhost:{broker.tls}", "-servername", "localhost",
                    "-CAfile", broker.ca, *more, stdin=b"")[1]

    own = t.sh("openssl", "x509", "-in", strict.certs / "server.pem")[1].split("\n")[1]
    for version in ("-tls1_2", "-tls1_3"):
        said = shown(strict, version)
        t.check(own in said, f"s_client -showcerts {version} without a certificate shows the server's chain", said[-600:])
        t.matches(said, "Verification: OK|Verify return code: 0", f"{version}: it leads to server-ca.pem")
        t.matches(said, "Acceptable client certificate CA names.*plant-root", f"{version}: the anchors are named to the client")
        t.check("plant-root" not in shown(hidden, version), f"{version}: send_ca_names = false hides them")
        t.matches(said, "alert number (116|40)|certificate.required|handshake failure", f"{version}: and the handshake ends with the right alert")
    t.matches(shown(strict, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"), "alert protocol version|alert number 70|no protocols available",
              "TLS 1.1 is refused")
    t.matches(shown(strict, "-tls1_3", "-alpn", "mqtt"), "ALPN protocol: mqtt", "ALPN mqtt is taken")
    foreign = shown(strict, "-tls1_3", "-alpn", "h2")
    t.check(own in foreign and "no_application_protocol" not in foreign, "an unknown ALPN is ignored", foreign[-600:])
