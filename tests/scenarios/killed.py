"""AS-19 and AS-01 around `kill -9`: what was acknowledged is there after the next start (SYS-05, MQTT-SES-01, MQTT-QOS-02/03)."""

from support.scenario import NO_TENANT, tenant

LEVELS = "fsync", "os"


def on(level, *anchors):
    return f'[storage]\ndurability = "{level}"\n' + NO_TENANT.replace('1883"', '1883", default_tenant = "lab"') + tenant("lab", "open", *anchors)


def kill(broker):
    broker.process.child.kill()
    broker.process.finish()
    broker.start()


def plain(t, broker, level):
    base = ("-h", "127.0.0.1", "-V", "mqttv311", "-p", broker.plain)
    keep = ("mosquitto_sub", *base, "-i", "keep1", "-c", "-q", "2", "-t", "k/#")
    t.ok(t.sh("timeout", "2", *keep)[0], 124, f"{level}: a subscriber comes and goes")
    for n in "123":
        t.sh("mosquitto_pub", *base, "-q", "2", "-t", f"k/{n}", "-m", n)
    t.sh("mosquitto_pub", *base, "-q", "1", "-r", "-t", "state", "-m", "on")
    kill(broker)
    code, said = t.sh(*keep, "-W", "5", "-C", "3")
    t.ok((code, said.split()), (0, ["1", "2", "3"]), f"{level}: the missed messages, in order")
    t.ok(t.sh("timeout", "2", *keep)[1], "", f"{level}: and none of them twice")
    t.ok(t.sh("mosquitto_sub", *base, "-t", "state", "-C", "1", "-W", "5")[1].strip(), "on", f"{level}: what was retained")
    kill(broker)
    t.ok(t.sh("timeout", "2", *keep)[1], "", f"{level}: nor after another kill")


def by_certificate(t, broker, pair, level):
    """The session belongs to the certificate's name, over the start as well."""
    oven, lamp = pair

    def sub(leaf, client_id, *more):
        return t.sh("mosquitto_sub", "-h", "localhost", "-p", broker.tls, "--cafile", broker.ca, "--cert", leaf.cert, "--key", leaf.key,
                    "-V", "mqttv311", "-i", client_id, "-c", "-q", "1", "-t", "heat", *more)

    t.ok(sub(oven, "oven", "-E")[0], 0, f"{level}: a device subscribes with its certificate")
    t.mosquitto_pub(broker, lamp, "lamp", "-q", "1", "-t", "heat", "-m", "200")
    kill(broker)
    t.check(sub(lamp, "oven", "-W", "3", "-C", "1")[0] != 0, f"{level}: another certificate does not get its session")
    code, said = sub(oven, "oven", "-W", "5", "-C", "1")
    t.ok((code, said.strip()), (0, "200"), f"{level}: its own does, with what it missed")
    for leaf, client_id, want in ((oven, "oven", "CONNACK 0 sp 0"), (oven, "other", "CONNACK 5 sp 0")):
        t.ok(t.verdict(broker, leaf, client_id), want, f"{level}: the start trusts and refuses as before: {client_id}")


def run(t):
    anchor = t.pki.root("lab-ca")
    pair = t.pki.leaf(anchor, "oven", version=1), t.pki.leaf(anchor, "lamp")
    for level in LEVELS:
        broker = t.certus(on(level, anchor), home=level)
        plain(t, broker, level)
        by_certificate(t, broker, pair, level)
    forgetful = t.certus(on("memory", anchor), home="memory")
    base = ("-h", "127.0.0.1", "-V", "mqttv311", "-p", forgetful.plain)
    t.sh("mosquitto_pub", *base, "-q", "1", "-r", "-t", "state", "-m", "on")
    kill(forgetful)
    t.check(t.sh("mosquitto_sub", *base, "-t", "state", "-C", "1", "-W", "2")[0] != 0, "memory: nothing is there, as it says")
