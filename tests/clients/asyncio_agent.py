"""aiomqtt or gmqtt (the first argument) driven by lines: one JSON command a line in, one JSON event a line out (the protocol
stands in conversation.py).
"""

import asyncio
import json
import socket
import ssl
import sys


def tell(name, event, **more):
    print(json.dumps({"as": name, "event": event, **more}), flush=True)


def tls_context(tls):
    context = ssl.create_default_context(cafile=tls["ca"])
    if tls.get("cert"):
        context.load_cert_chain(tls["cert"], tls["key"])
    return context


def options(o):
    """(host, TLS context or None)"""
    return ("localhost", tls_context(o["tls"])) if o.get("tls") else ("127.0.0.1", None)


class Aiomqtt:
    """One connection: a task inside `async with`, which ends when the connection does."""

    def __init__(self, name):
        self.name, self.client, self.task, self.session, self.left = name, None, None, None, False

    def build(self, o):
        import aiomqtt
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        host, context = options(o)
        more = {"clean_start": o["clean"]} if o["version"] == 5 else {"clean_session": o["clean"]}
        if o.get("expiry") and o["version"] == 5:
            more["properties"] = Properties(PacketTypes.CONNECT)
            more["properties"].SessionExpiryInterval = o["expiry"]
        if o.get("will"):
            more["will"] = aiomqtt.Will(o["will"]["topic"], o["will"]["payload"], o["will"]["qos"])
        if o.get("web"):
            more |= {"transport": "websockets", "websocket_path": "/mqtt"}
        client = aiomqtt.Client(host, o["port"], identifier=o["id"], protocol=aiomqtt.ProtocolVersion(o["version"]), keepalive=30,
                                tls_context=context, **more)
        # aiomqtt keeps the session flag of CONNACK to itself, and waits for CONNACK for ten seconds when the stream has ended.
        inner = client._client.on_connect

        def on_connect(c, userdata, flags, *rest):
            self.session = flags.session_present
            inner(c, userdata, flags, *rest)

        def on_disconnect(c, userdata, flags, reason, *rest):
            ended(c, userdata, flags, reason, *rest)
            if self.session is None:
                tell(self.name, "refused", code=None, why=str(reason))
                self.task.cancel()

        ended, client._client.on_connect = client._client.on_disconnect, on_connect
        client._client.on_disconnect = on_disconnect
        return client

    async def connect(self, o):
        self.task = asyncio.create_task(self.live(o))

    async def live(self, o):
        import aiomqtt

        # paho shows the codes of the older versions as those of 5.0.
        older = {0x84: 1, 0x85: 2, 0x88: 3, 0x86: 4, 0x87: 5}
        self.client = self.build(o)
        try:
            async with self.client:
                tell(self.name, "connected", session=self.session)
                async for m in self.client.messages:
                    tell(self.name, "message", topic=m.topic.value, payload=m.payload.decode(), qos=m.qos, retain=bool(m.retain))
        except aiomqtt.MqttError as error:
            if self.session is None or isinstance(error, aiomqtt.exceptions.MqttConnectError):
                code = getattr(getattr(error, "rc", None), "value", None)
                tell(self.name, "refused", code=code if o["version"] == 5 else older.get(code), why=str(error))
            elif not self.left:
                tell(self.name, "closed", why=str(error))

    async def subscribe(self, o):
        await self.client.subscribe([(topic, o["qos"]) for topic in o["filters"]])
        tell(self.name, "subscribed")

    async def publish(self, o):
        await self.client.publish(o["topic"], o["payload"], o["qos"], o["retain"])
        tell(self.name, "published")

    async def disconnect(self, _):
        self.left = True
        self.task.cancel()
        await asyncio.wait([self.task])
        tell(self.name, "gone")

    async def kill(self, _):
        self.left = True
        stream = self.client._client.socket()
        getattr(stream, "_socket", stream).shutdown(socket.SHUT_RDWR)
        await asyncio.wait([self.task])
        tell(self.name, "gone")


class Gmqtt:
    def __init__(self, name):
        self.name, self.client, self.ended, self.open, self.left = name, None, asyncio.Event(), False, False

    def build(self, o):
        import gmqtt
        from gmqtt.storage import PersistentStorage

        more = {"session_expiry_interval": o["expiry"]} if o.get("expiry") and o["version"] == 5 else {}
        if o.get("will"):
            more["will_message"] = gmqtt.Message(o["will"]["topic"], o["will"]["payload"], qos=o["will"]["qos"])
        self.storage = PersistentStorage()
        client = gmqtt.Client(o["id"], clean_session=o["clean"], persistent_storage=self.storage, **more)
        # 0 still lets it come back once, and -1 always: it would take over in its turn.
        client.set_config({"reconnect_retries": -2})
        client.on_connect = self.connected
        client.on_message = self.message
        client.on_subscribe = lambda *_: tell(self.name, "subscribed")
        client.on_disconnect = self.disconnected
        return client

    def connected(self, _client, session, _code, _properties):
        self.open = True
        tell(self.name, "connected", session=bool(session))

    def message(self, _client, topic, payload, qos, properties):
        tell(self.name, "message", topic=topic, payload=payload.decode(), qos=qos, retain=bool(properties["retain"]))
        return 0

    def disconnected(self, _client, _packet, _error=None):
        self.ended.set()
        if self.open and not self.left:
            tell(self.name, "closed")

    async def connect(self, o):
        import gmqtt

        host, context = options(o)
        self.client = self.build(o)
        # It waits for CONNACK for ever when the stream ends before.
        trying = asyncio.create_task(self.client.connect(host, o["port"], ssl=context or False, keepalive=30, version=o["version"]))
        ending = asyncio.create_task(self.ended.wait())
        await asyncio.wait([trying, ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        trying.cancel()
        if not self.open:
            error = trying.exception() if trying.done() and not trying.cancelled() else None
            code = error._code if isinstance(error, gmqtt.mqtt.handler.MQTTConnectError) else None
            tell(self.name, "refused", code=code, why=str(error))

    async def subscribe(self, o):
        import gmqtt

        self.client.subscribe([gmqtt.Subscription(topic, qos=o["qos"]) for topic in o["filters"]])

    async def publish(self, o):
        self.client.publish(o["topic"], o["payload"], qos=o["qos"], retain=o["retain"])
        await self.storage.wait_empty()
        tell(self.name, "published")

    async def disconnect(self, _):
        self.left = True
        try:
            await self.client.disconnect()
        except ssl.SSLError as error:
            # A PUBREL that was under way when it said goodbye.
            if "APPLICATION_DATA_AFTER_CLOSE_NOTIFY" not in str(error):
                raise
        tell(self.name, "gone")

    async def kill(self, _):
        self.left = True
        self.client._connection._transport.abort()
        tell(self.name, "gone")


async def act(handle, o):
    try:
        await getattr(handle, o["do"])(o)
    except Exception as error:  # noqa: BLE001 - the conversation shows the last words of the agent
        print(f"{o}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


async def main():
    library = {"aiomqtt": Aiomqtt, "gmqtt": Gmqtt}[sys.argv[1]]
    handles, acts = {}, set()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        o = json.loads(line)
        if o["do"] == "connect":
            handles[o["as"]] = library(o["as"])
        task = asyncio.create_task(act(handles[o["as"]], o))
        acts.add(task)
        task.add_done_callback(acts.discard)


asyncio.run(main())
