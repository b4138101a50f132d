"""What two clients say to each other through a broker, and how libraries and a command line are made to say it.

What lives here: the drivers and the conversation. What does not: starting brokers, certificates, the matrix (run.py).

The protocol of an agent: a JSON object a line, each with "as", the name of a connection.
    {"do": "connect", "id", "version": 3|4|5, "port", "clean", "web"?, "tls": {"ca", "cert", "key", "version"}?, "will": {"topic",
     "payload", "qos"}?, "expiry"?}   ->  "connected" {"session"}  or  "refused" {"code", "why"}
    {"do": "subscribe", "filters", "qos"} -> "subscribed" · {"do": "publish", "topic", "payload", "qos", "retain"} -> "published"
    {"do": "disconnect"} or {"do": "kill"} (without DISCONNECT) -> "gone"
Without being asked: "message" {"topic", "payload", "qos", "retain"}, "closed".
"""

import itertools
import json
import queue
import subprocess
import threading

WAIT = 10


class Refused(Exception):
    """The broker said no; `code` is CONNACK's, None when TLS or the stream ended first."""

    def __init__(self, code, why):
        super().__init__(f"code {code}: {why}")
        self.code, self.why = code, why or ""


class Agent:
    """A process that holds many connections of one library."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.queues, self.names, self.lock, self.noise = {}, itertools.count(), threading.Lock(), []
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self.noise.extend(self.child.stderr), daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            event = json.loads(line)
            self.queues[event["as"]].put(event)
        for waiting in self.queues.values():
            waiting.put({"event": "dead"})

    def open(self, client_id, **kind):
        return Connection(self, client_id, **kind)

    def tell(self, **command):
        with self.lock:
            if self.child.poll() is not None:
                raise ChildProcessError(self.last_words())
            self.child.stdin.write(json.dumps(command) + "\n")
            self.child.stdin.flush()

    def last_words(self):
        return f"the client's process ended: {''.join(self.noise[-4:])}"

    def stop(self):
        try:
            self.child.stdin.close()
            self.child.wait(3)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.child.kill()


class Connection:
    """One connection of an agent."""

    reconnects = False
    leaves_its_will = False

    def __init__(self, agent, client_id, **kind):
        self.agent, self.name, self.kind = agent, f"h{next(agent.names)}", {"id": client_id, **kind}
        self.events, self.messages, self.is_closed = queue.Queue(), [], False
        agent.queues[self.name] = self.events

    def _await(self, *wanted):
        while True:
            try:
                event = self.events.get(timeout=WAIT)
            except queue.Empty:
                raise TimeoutError(f"no {' or '.join(wanted)} within {WAIT} s; {''.join(self.agent.noise[-3:])}") from None
            if event["event"] == "dead":
                raise ChildProcessError(self.agent.last_words())
            if event["event"] == "message":
                self.messages.append(event)
            elif event["event"] == "closed":
                self.is_closed = True
            if event["event"] in wanted:
                return event
            if event["event"] == "closed" and "gone" not in wanted:
                raise ConnectionError(f"closed while waiting for {wanted}: {event}")

    def connect(self, clean=True, will=None, expiry=None):
        """Returns whether the session was there already."""
        self.agent.tell(**{"do": "connect", "as": self.name, "clean": clean, "will": will, "expiry": expiry, **self.kind})
        event = self._await("connected", "refused")
        if event["event"] == "refused":
            raise Refused(event["code"], event["why"])
        return event["session"]

    def receive(self, filters, qos, clean=True, will=None):
        self.connect(clean, will, None if clean else 3600)
        self.agent.tell(do="subscribe", filters=filters, qos=qos, **{"as": self.name})
        self._await("subscribed")
        return self

    def resume(self, filters, qos):
        """Comes back to a session; the subscriptions are there already."""
        present = self.connect(clean=False, expiry=3600)
        if not present and self.kind["version"] != 3:  # 3.1 has no such flag
            raise AssertionError("session present is 0")
        return self

    def send(self, topic, payload, qos, retain=False):
        self.agent.tell(do="publish", topic=topic, payload=payload, qos=qos, retain=retain, **{"as": self.name})
        self._await("published")

    def take(self, count):
        while len(self.messages) < count:
            self._await("message")
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def was_closed(self):
        if not self.is_closed:
            self._await("closed")
        return True

    def leave(self):
        self.agent.tell(do="disconnect", **{"as": self.name})
        self._await("gone")

    def kill(self):
        self.agent.tell(do="kill", **{"as": self.name})
        self._await("gone")


class Mosquitto:
    """mosquitto_sub and mosquitto_pub in the role of an agent: each step a process."""

    def open(self, client_id, **kind):
        return CommandLine(client_id, **kind)

    def stop(self):
        pass


class CommandLine:
    reconnects = True  # mosquitto_sub does, and nothing switches it off

    def __init__(self, client_id, version, port, tls=None):
        self.base = ["-i", client_id, "-V", {3: "mqttv31", 4: "mqttv311", 5: "5"}[version], "-p", str(port), "-k", "30"]
        self.base += ["-h", "localhost" if tls else "127.0.0.1"]
        for option, key in (("--cafile", "ca"), ("--cert", "cert"), ("--key", "key")):
            if tls and tls.get(key):
                self.base += [option, str(tls[key])]
        if tls and tls.get("version") == "1.2":
            self.base += ["--tls-version", "tlsv1.2"]
        self.version, self.child, self.events, self.lines = version, None, queue.Queue(), []
        self.messages = []
        self.leaves_its_will = version == 5  # mosquitto_sub then says "disconnect with will message"

    def connect(self):
        """Publishes nothing of interest: enough to hear CONNACK."""
        self.send("certus/hello", "", 0)

    def receive(self, filters, qos, clean=True, will=None):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", "%j", "-q", str(qos), *self.base]
        for topic in filters:
            command += ["-t", topic]
        if not clean:
            command += ["-c"] + (["-x", "3600"] if self.version == 5 else [])
        if will:
            command += ["--will-topic", will["topic"], "--will-payload", will["payload"], "--will-qos", str(will["qos"])]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, args=(self.child,), daemon=True).start()
        self._until(lambda line: line.startswith("Subscribed (mid"))
        return self

    def resume(self, filters, qos):
        return self.receive(filters, qos, clean=False)

    def _read(self, child):
        for line in child.stdout:
            self.events.put(line.strip())
        self.events.put(None)

    def _until(self, wanted):
        while True:
            try:
                line = self.events.get(timeout=WAIT)
            except queue.Empty:
                raise TimeoutError(f"mosquitto_sub is silent after: {self.lines[-3:]}") from None
            if line is None:
                raise ConnectionError(f"mosquitto_sub ended: {self.lines[-3:]}")
            self.lines.append(line)
            if line.startswith("{"):
                self.messages.append({**json.loads(line), "retain": bool(json.loads(line).get("retain"))})
            if wanted(line):
                return

    def send(self, topic, payload, qos, retain=False):
        body = ["-m", payload] if payload else ["-n"]
        command = ["mosquitto_pub", *self.base, "-t", topic, "-q", str(qos), *body, *(["-r"] if retain else [])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
        if done.returncode != 0 or done.stderr:
            words = (done.stderr + done.stdout).strip()
            text = words.lower()
            code = (135 if self.version == 5 else 5) if "not authori" in text else 133 if "identifier not valid" in text else None
            raise Refused(code, words)

    def take(self, count):
        while len(self.messages) < count:
            self._until(lambda line: line.startswith("{"))
        taken, self.messages = self.messages[:count], self.messages[count:]
        return taken

    def leave(self):
        if self.child:
            self.child.terminate()
            self.child.wait(5)
            self.child = None

    def kill(self):
        self.child.kill()
        self.child.wait(5)


def expect(got, want, what):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


class Conversation:
    """The cells of one row of the matrix. `who(role, **changes)` opens a connection that may be called `role`."""

    def __init__(self, who, root):
        self.who, self.root = who, root

    def seen(self, messages):
        return [(m["topic"].removeprefix(self.root + "/"), m["payload"], m["qos"], m["retain"]) for m in messages]

    def round_trip(self, qos):
        receiver = self.who("rx").receive([f"{self.root}/q{qos}"], qos)
        sender = self.who("tx")
        if not sender.reconnects:
            sender.connect()
        for n in range(3):
            sender.send(f"{self.root}/q{qos}", f"m{n}", qos)
        expect(self.seen(receiver.take(3)), [(f"q{qos}", f"m{n}", qos, False) for n in range(3)], "messages in order")
        sender.leave()
        receiver.leave()

    def one(self, topic, payload, qos, retain=False):
        sender = self.who("tx")
        if not sender.reconnects:
            sender.connect()
        sender.send(topic, payload, qos, retain)
        sender.leave()

    def retained(self):
        topic = f"{self.root}/retained"
        self.one(topic, "kept", 1, retain=True)
        receiver = self.who("rx").receive([topic], 1)
        expect(self.seen(receiver.take(1)), [("retained", "kept", 1, True)], "the retained message comes at subscription")
        self.one(topic, "live", 1, retain=False)
        expect(self.seen(receiver.take(1)), [("retained", "live", 1, False)], "a live message carries no retain flag")
        receiver.leave()
        self.one(topic, "", 1, retain=True)
        receiver = self.who("rx").receive([topic, f"{self.root}/marker"], 1)
        self.one(f"{self.root}/marker", "end", 1)
        expect(self.seen(receiver.take(1)), [("marker", "end", 1, False)], "an empty message clears the retained one")
        receiver.leave()

    def will(self):
        watcher = self.who("rx").receive([f"{self.root}/will"], 1)
        mortal = self.who("tx").receive([f"{self.root}/nothing"], 0, will={"topic": f"{self.root}/will", "payload": "gone", "qos": 1})
        mortal.kill()
        expect(self.seen(watcher.take(1)), [("will", "gone", 1, False)], "the will comes after a cut")
        polite = self.who("tx").receive([f"{self.root}/nothing"], 0, will={"topic": f"{self.root}/will", "payload": "never", "qos": 1})
        polite.leave()
        if polite.leaves_its_will:
            expect(self.seen(watcher.take(1)), [("will", "never", 1, False)], "a client may leave its will")
        self.one(f"{self.root}/will", "end", 1)
        expect(self.seen(watcher.take(1)), [("will", "end", 1, False)], "no will after DISCONNECT")
        watcher.leave()

    def session(self):
        filters = [f"{self.root}/queued/#"]
        self.who("rx").receive(filters, 2, clean=False).leave()
        sender = self.who("tx")
        if not sender.reconnects:
            sender.connect()
        for n, qos in enumerate((1, 2, 1, 2)):
            sender.send(f"{self.root}/queued/{n}", f"m{n}", qos)
        sender.leave()
        back = self.who("rx").resume(filters, 2)
        seen = self.seen(back.take(4))
        # Libraries show a message of QoS 2 when PUBREL has come, so the order holds within a QoS.
        for qos, numbers in ((1, (0, 2)), (2, (1, 3))):
            want = [(f"queued/{n}", f"m{n}", qos, False) for n in numbers]
            expect([m for m in seen if m[2] == qos], want, f"what was queued with QoS {qos}, in order")
        back.leave()
        self.who("rx").receive([f"{self.root}/nothing"], 0).leave()  # clean: nothing is left behind

    def wildcard(self):
        receiver = self.who("rx").receive([f"{self.root}/w/+/temp", f"{self.root}/w/deep/#"], 1)
        for topic in ("w/a/temp", "w/a/b/temp", "w/deep", "w/deep/x/y", "w/b/temp"):
            self.one(f"{self.root}/{topic}", topic, 1)
        expect([m[0] for m in self.seen(receiver.take(4))], ["w/a/temp", "w/deep", "w/deep/x/y", "w/b/temp"], "what + and # match")
        receiver.leave()

    def takeover(self):
        first = self.who("rx").receive([f"{self.root}/t"], 1)
        second = self.who("rx").receive([f"{self.root}/t"], 1)
        self.one(f"{self.root}/t", "to the newer", 1)
        expect(self.seen(second.take(1)), [("t", "to the newer", 1, False)], "the newer connection receives")
        if first.reconnects:
            first.kill()
        else:
            first.was_closed()
        expect(len(first.messages), 0, "messages at the older connection")
        second.leave()

    def refusal(self, changes):
        """How an attempt with other credentials ends."""
        client = self.who("tx", **changes)
        try:
            client.connect()
        except Refused as refused:
            return refused
        client.leave()
        return None
