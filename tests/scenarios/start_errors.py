"""A start that cannot succeed ends at once, with one line that names the thing, the reason and the remedy (OPS)."""

import os
import socket

from support.scenario import tenant


def run(t):
    ca = t.pki.root("plant")
    config = tenant("lab", "open", ca)
    good = t.certus(config, home="good")
    good.stop()

    def spoiled(name, **changes):
        """A broker with the certificates of the good one, some of them changed: file name without dots to a path."""
        broker = t.certus(config, start=False, home=name)
        broker.certs.mkdir()
        for file in good.certs.iterdir():
            (broker.certs / file.name).write_bytes(file.read_bytes())
            (broker.certs / file.name).chmod(file.stat().st_mode & 0o777)
        for file, source in changes.items():
            (broker.certs / file.replace("_", ".")).write_bytes(source.read_bytes())
        return broker

    def refused(broker, pattern, text, exit_codes=(1,)):
        code, said = broker.fails()
        t.check(code in exit_codes, f"{text}: exit code {exit_codes[0]}", f"got {code}: {said[-500:]}")
        last = [line for line in said.splitlines() if line.strip()]
        t.matches(last[-1] if last else "", pattern, f"{text}: the last line says what to do")

    with socket.socket() as taken:
        broker = spoiled("taken")
        taken.bind(("127.0.0.1", broker.tls))
        taken.listen()
        refused(broker, rf"{broker.tls}.*(in use|taken)|(in use|taken).*{broker.tls}", "port taken")

    other_key = spoiled("mismatch", server_key=t.pki.leaf(ca, "elsewhere").key)
    refused(other_key, r"server\.(key|pem)", "a key that does not match its certificate")

    server_ca = t.pki.root("server-root")
    old = t.pki.expired(server_ca, "localhost", name="old-server")
    refused(spoiled("expired", server_pem=old.cert, server_key=old.key), r"server\.pem.*(expired|ended|2021)", "an expired server certificate")

    unreadable = spoiled("unreadable")
    unreadable.state.mkdir()
    unreadable.state.chmod(0o777)
    if os.geteuid() == 0:
        real = unreadable.command
        unreadable.command = lambda: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *real()]
    else:
        (unreadable.certs / "server.key").chmod(0)
    refused(unreadable, r"server\.key.*([Pp]ermission|read)", "an unreadable key")

    if os.geteuid() == 0:
        barred = spoiled("barred")
        for file in (barred.certs, *barred.certs.iterdir()):
            os.chown(file, 65534, 65534)
        barred.state.mkdir()
        (barred.state / "store").mkdir(mode=0o700)
        as_root = barred.command
        barred.command = lambda: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *as_root()]
        refused(barred, r"data/store.*[Pp]ermission.*give it to the user that runs the broker", "a store of another user")
        t.ok(list((barred.state / "store").iterdir()), [], "and nothing was made in it")

    torn = spoiled("torn")
    (torn.certs / "server.key").unlink()
    refused(torn, r"server\.key", "a key that is missing beside its certificate", (1, 2))

    wrong = t.certus(config + "nonsense = 1\n[limits]\nbacklog = \"many\"\n", start=False, home="wrong")
    code, said = wrong.fails()
    t.ok(code, 2, "a wrong configuration: exit code 2")
    t.check("nonsense" in said and "backlog" in said, "every mistake is told at once", said)
    t.matches(said, r"config\.toml:\d+", "with file and line")
    t.ok(t.sh(t.binary, "check-config", "--config", wrong.file)[0], 2, "check-config says the same")
    t.ok(t.sh(t.binary, "check-config", "--config", good.file)[0], 0, "and finds nothing wrong with a good file")

    lasting = t.certus('[storage]\ndurability = "disk"\n' + config, start=False, home="lasting")
    refused(lasting, r"memory", "a durability that does not exist", (2,))
    second = t.certus(config, start=False, home="second")
    second.state = good.state
    good.start()
    refused(second, r"in use by process \d+.*state_dir", "a store that another broker has")
    good.stop()
    newer = t.certus(config, start=False, home="newer")
    (newer.state / "store").mkdir(parents=True)
    (newer.state / "store" / "format").write_text("certus store 99\n")
    refused(newer, r"format 99.*version that wrote it", "a store of a newer version")
    (newer.state / "store" / "format").write_text("letters\n")
    refused(newer, r"not a store of certus", "a directory that is no store")

    keyless = spoiled("keyless")
    keyless.file.write_text(f'sealing_key_file = "{t.home}/sealing.key"\n' + config)
    refused(keyless, r"sealing key.*sealing\.key: it cannot be read", "a key for keys at rest that is not where it was said to be")
    (t.home / "sealing.key").write_text("5e" * 32)
    (t.home / "sealing.key").chmod(0o644)
    refused(keyless, r"sealing\.key.*0?644", "one that everybody may read")
    (t.home / "sealing.key").chmod(0o600)
    keyless.start()
    t.check(keyless.said(rf"private keys at rest are sealed key=\S+ from={t.home}/sealing.key", 0) and not (keyless.state / "sealing.key").exists(), "a good one is taken, and no other one made")
    keyless.stop()
    keyless.file.write_text(config)
    keyless.env["CERTUS_SEALING_KEY"] = "5e" * 32
    keyless.start()
    t.check(keyless.said(r"are sealed key=\S+ from=CERTUS_SEALING_KEY", 0), "or one of the environment")
    t.check(not any("CERTUS_SEALING_KEY stands for no key" in line for line in keyless.log()), "which is not taken for a mistake")
    keyless.stop()

    absent = t.certus(config, start=False, home="absent")
    absent.file.unlink()
    refused(absent, r"config\.toml", "a named file that is not there", (2,))
