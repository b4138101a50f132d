"""paho-mqtt driven by lines: one JSON command a line in, one JSON event a line out (the protocol stands in conversation.py).

Runs with paho 1.6 and 2.x. A handle that was disconnected stays so: paho would connect again, and take over in its turn.
"""

import json
import socket
import ssl
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

handles, lock = {}, threading.Lock()


def tell(name, event, **more):
    with lock:
        print(json.dumps({"as": name, "event": event, **more}), flush=True)


def code_of(reason):
    return getattr(reason, "value", reason)


class Handle:
    def __init__(self, name, o):
        self.name, self.open, self.told = name, False, False
        protocol = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}[o["version"]]
        first = [mqtt.CallbackAPIVersion.VERSION1] if hasattr(mqtt, "CallbackAPIVersion") else []
        clean = {} if o["version"] == 5 else {"clean_session": o["clean"]}
        clean["reconnect_on_failure"] = False
        if o.get("web"):
            clean["transport"] = "websockets"
        client = self.client = mqtt.Client(*first, client_id=o["id"], protocol=protocol, **clean)
        client.ws_set_options(path="/mqtt")
        if o.get("tls"):
            tls = o["tls"]
            context = ssl.create_default_context(cafile=tls["ca"])
            if tls.get("cert"):
                context.load_cert_chain(tls["cert"], tls["key"])
            if tls.get("version") == "1.2":
                context.maximum_version = ssl.TLSVersion.TLSv1_2
            client.tls_set_context(context)
        if o.get("will"):
            client.will_set(o["will"]["topic"], o["will"]["payload"], o["will"]["qos"])
        client.on_connect = lambda _c, _u, flags, reason, *_: self.connected(flags, reason)
        client.on_message = lambda _c, _u, m: tell(
            name, "message", topic=m.topic, payload=m.payload.decode(), qos=m.qos, retain=bool(m.retain))
        client.on_subscribe = lambda _c, _u, _m, granted, *_: tell(name, "subscribed", granted=[code_of(g) for g in granted])
        client.on_disconnect = lambda _c, _u, reason, *_: self.disconnected(reason)
        client.on_publish = lambda *_: tell(name, "published")
        more = {}
        if o["version"] == 5:
            more["clean_start"] = o["clean"]
            if o.get("expiry"):
                more["properties"] = Properties(PacketTypes.CONNECT)
                more["properties"].SessionExpiryInterval = o["expiry"]
        try:
            client.connect("localhost" if o.get("tls") else "127.0.0.1", o["port"], keepalive=30, **more)
        except OSError as error:
            self.refused(None, str(error))
            return
        client.loop_start()

    def connected(self, flags, reason):
        code = code_of(reason)
        if code != 0:
            self.refused(code, str(reason))
            return
        self.open = True
        present = flags["session present"] if isinstance(flags, dict) else flags.session_present
        tell(self.name, "connected", session=bool(present))

    def refused(self, code, why):
        if not self.told:
            self.told = True
            tell(self.name, "refused", code=code, why=why)

    def disconnected(self, reason):
        self.client.disconnect()
        if self.open and not self.told:
            self.told = True
            tell(self.name, "closed", why=str(reason))
        self.refused(None, str(reason))

    def stop(self, politely):
        self.told = True
        if politely:
            self.client.disconnect()
        elif self.client.socket():
            stream = self.client.socket()
            getattr(stream, "_socket", stream).shutdown(socket.SHUT_RDWR)
        self.client.loop_stop()



for line in sys.stdin:
    o = json.loads(line)
    name, do = o["as"], o["do"]
    if do == "connect":
        handles[name] = Handle(name, o)
    elif do == "subscribe":
        handles[name].client.subscribe([(topic, o["qos"]) for topic in o["filters"]])
    elif do == "publish":
        handles[name].client.publish(o["topic"], o["payload"], o["qos"], o["retain"])
    elif do in ("disconnect", "kill"):
        handles.pop(name).stop(do == "disconnect")
        tell(name, "gone")
