"""Bridges (MQTT-CON-07): the mark 0x83 or 0x84 in CONNECT, and mosquitto as the other broker when it is installed."""

import shutil
import socket

from support import wire
from support.broker import Process, free_port, until

BRIDGE = """
listener {port} 127.0.0.1
allow_anonymous true
connection certus
address 127.0.0.1:{certus}
remote_clientid mosquitto-bridge
bridge_protocol_version {version}
try_private true
notifications false
topic # both 1
"""


def marked(t, broker):
    for level in (0x83, 0x84):
        bridge, other = wire.Raw(broker.plain), wire.Raw(broker.plain)
        t.ok(bridge.connect(f"bridge-{level:x}", level=level), "CONNACK 0 sp 0", f"{level:#x} is taken")
        t.ok(other.connect(f"other-{level:x}"), "CONNACK 0 sp 0", "another client")
        bridge.subscribe("b/#", 1)
        other.subscribe("b/#", 1)
        bridge.publish("b/1", "from the bridge", 1)
        t.matches(other.await_packet(3), "from the bridge", f"{level:#x}: others hear the bridge")
        other.publish("b/2", "from the other", 1)
        t.matches(bridge.await_packet(3), "from the other", f"{level:#x}: the bridge hears others, and not itself first")
        plain = wire.Raw(broker.plain)
        plain.connect(f"plain-{level:x}", level=level & 0x7F)
        plain.subscribe("b/#", 0)
        plain.publish("b/3", "its own", 0)
        t.matches(plain.await_packet(3), "its own", f"{level & 0x7F}: without the mark a client hears itself")
        for raw in (bridge, other, plain):
            raw.close()


def mosquitto(t, broker, version):
    port, file = free_port(), t.home / f"bridge-{version}.conf"
    file.write_text(BRIDGE.format(port=port, certus=broker.plain, version=version))
    before = broker.mark()
    process = Process(["mosquitto", "-c", file])
    try:
        t.check(broker.said("mosquitto-bridge", before, 10), f"{version}: mosquitto's bridge connects", process.err)
        there, here = wire.Raw(port), wire.Raw(broker.plain)
        there.connect("there")
        here.connect("here")
        there.subscribe("x/#", 1)
        here.subscribe("x/#", 1)
        for sender, receiver, name in ((there, here, "there"), (here, there, "here")):
            def sent(sender=sender, receiver=receiver, name=name):
                """Until the bridge has subscribed, what is said does not come over."""
                sender.publish(f"x/{name}", f"word of {name}", 1)
                sender.await_packet(3)
                receiver.socket.settimeout(0.5)
                try:
                    return receiver.await_packet(3)
                except socket.timeout:
                    return None
            t.matches(until(sent, 8), f"word of {name}", f"{version}: what is said {name} comes over")
        for raw in (here, there):
            raw.socket.settimeout(0.5)
            try:
                extra = raw.await_packet(3)
            except socket.timeout:
                extra = None
            t.ok(extra, None, f"{version}: and comes once, without an echo")
        there.close()
        here.close()
    finally:
        process.stop()


def run(t):
    broker = t.certus()
    marked(t, broker)
    if shutil.which("mosquitto"):
        for version in ("mqttv31", "mqttv311"):
            mosquitto(t, broker, version)
