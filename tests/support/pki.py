"""Certificates made by the openssl command line, as a person would make them.

What lives here: authorities and what they sign, good and bad. What does not: what a broker should think of them.
Everything is written below one directory; keys are EC P-256 unless asked otherwise, because they are made in no time.
"""

import secrets
import subprocess
from pathlib import Path

CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE{pathlen}\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
LEAF_EXTENSIONS = (
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage={usage}\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
)


def openssl(*args, cwd=None, stdin=None):
    """Runs openssl and returns its output; its words are in the error when it fails."""
    done = subprocess.run(["openssl", *map(str, args)], cwd=cwd, input=stdin, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(map(str, args))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


class Pair:
    """A certificate file and its key file. `chain` holds the certificate and those above it that a client sends."""

    def __init__(self, directory, name):
        self.directory, self.name = Path(directory), name
        self.cert, self.key = self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def chain_with(self, *others, name=None):
        """A file with this certificate first and the others behind it."""
        out = self.directory / f"{name or self.name + '_chain'}.pem"
        out.write_text(self.cert.read_text() + "".join(other.cert.read_text() for other in others))
        return out


class Pki:
    """A directory of certificates."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)

    def key(self, path, kind="ec"):
        if kind == "ec":
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
        else:
            openssl("genrsa", "-out", path, kind)

    def root(self, name, *, subject=None, days=365, pathlen=None, kind="ec"):
        """A self-signed authority."""
        pair = Pair(self.directory, name)
        self.key(pair.key, kind)
        self._sign(pair, subject or f"/CN={name}", None, CA_EXTENSIONS.format(pathlen=self._pathlen(pathlen)), days)
        return pair

    def intermediate(self, parent, name, *, pathlen=None, days=365):
        """An authority below another one."""
        pair = Pair(self.directory, name)
        self.key(pair.key)
        self._sign(pair, f"/CN={name}", parent, CA_EXTENSIONS.format(pathlen=self._pathlen(pathlen)), days)
        return pair

    def leaf(self, ca, cn, *, name=None, version=3, usage="clientAuth", days=30, kind="ec", subject=None, more=""):
        """A device's certificate. Version 1 is what `openssl x509 -req` makes without an extension file."""
        pair = Pair(self.directory, name or cn)
        self.key(pair.key, kind)
        extensions = LEAF_EXTENSIONS.format(usage=usage) + more if version == 3 else None
        self._sign(pair, subject or f"/CN={cn}", ca, extensions, days)
        return pair

    def expired(self, ca, cn, *, name=None):
        """A certificate that ended yesterday."""
        pair = Pair(self.directory, name or f"{cn}-expired")
        self.key(pair.key)
        self._sign(pair, f"/CN={cn}", ca, LEAF_EXTENSIONS.format(usage="clientAuth"), None, ("20200101000000Z", "20210101000000Z"))
        return pair

    @staticmethod
    def _pathlen(pathlen):
        return "" if pathlen is None else f",pathlen:{pathlen}"

    def _sign(self, pair, subject, ca, extensions, days, dates=None):
        request = pair.directory / f"{pair.name}.csr"
        openssl("req", "-new", "-key", pair.key, "-subj", subject, "-out", request)
        if dates:
            self._sign_with_dates(pair, request, ca, extensions, dates)
            return
        args = ["x509", "-req", "-in", request, "-out", pair.cert, "-days", days, "-sha256"]
        args += ["-CA", ca.cert, "-CAkey", ca.key, "-set_serial", f"0x{secrets.token_hex(8)}"] if ca else ["-signkey", pair.key]
        if extensions is not None:
            file = pair.directory / f"{pair.name}.ext"
            file.write_text(extensions)
            args += ["-extfile", file]
        openssl(*args)

    def _sign_with_dates(self, pair, request, ca, extensions, dates):
        """`openssl x509` of 3.0 cannot choose dates; `openssl ca` can."""
        home = pair.directory / f"{pair.name}.ca"
        home.mkdir()
        (home / "index.txt").write_text("")
        (home / "cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            f"[p]\ncommonName=supplied\n[x]\n{extensions}"
        )
        who = ["-cert", ca.cert, "-keyfile", ca.key] if ca else ["-selfsign", "-keyfile", pair.key]
        openssl("ca", "-batch", "-notext", "-config", "cnf", "-extensions", "x", *who, "-startdate", dates[0], "-enddate", dates[1],
                "-in", request, "-out", pair.cert, cwd=home)
