"""A client of a few lines that shows the bytes: what CONNACK says, and when a connection ends.

What lives here: CONNECT of every level over TCP and TLS, and the smallest packets to keep a connection talking. What does
not: a client to rely on. It never checks the broker's manners beyond what a test asks for.
"""

import socket
import ssl
import struct
import time

NOT_NOW = ("TLS", "NET", "CLOSED")


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(raw)) + raw


def packet(first, body):
    size, out = len(body), bytes([first])
    while True:
        size, low = divmod(size, 128)
        out += bytes([low | (0x80 if size else 0)])
        if not size:
            return out + body


def connect_packet(client_id, *, level=4, clean=True, user=None, password=None, keep_alive=30, will=None, properties=b""):
    """CONNECT; `will` is (topic, payload, qos, retain)."""
    flags = (2 if clean else 0) | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    payload = text(client_id)
    if will:
        flags |= 4 | will[2] << 3 | (0x20 if will[3] else 0)
        payload += (b"\0" if level == 5 else b"") + text(will[0]) + text(will[1])
    payload += b"".join(text(field) for field in (user, password) if field is not None)
    head = text("MQIsdp" if level & 0x7F == 3 else "MQTT") + bytes([level, flags]) + struct.pack(">H", keep_alive)
    if level == 5:
        head += bytes([len(properties)]) + properties
    return packet(0x10, head + payload)


def tls_context(ca, cert=None, key=None, version=None):
    context = ssl.create_default_context(cafile=str(ca))
    if cert:
        # Otherwise openssl keeps weak certificates to itself, and nobody sees what the broker makes of them.
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(str(cert), str(key))
    if version:
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, f"TLSv1_{version[-1]}")
    return context


class Raw:
    """One connection. `verdict` is what a person reads: "CONNACK 0 sp 0", "TLS …", "NET …" or "CLOSED"."""

    def __init__(self, port, *, ca=None, cert=None, key=None, version=None, host="localhost", wait=5):
        self.level, self.rest, self.verdict = 4, b"", None
        self.aside = []  # packets that came while another was awaited
        try:
            self.socket = socket.create_connection(("127.0.0.1", port), wait)
            self.socket.settimeout(wait)
            if ca:
                self.socket = tls_context(ca, cert, key, version).wrap_socket(self.socket, server_hostname=host)
        except ssl.SSLError as error:
            self.verdict = f"TLS {error.reason or error}"
        except OSError as error:
            self.verdict = f"NET {error}"

    def connect(self, client_id, **kind):
        """Sends CONNECT and reads the answer."""
        self.level = kind.get("level", 4) & 0x7F
        if self.verdict:
            return self.verdict
        try:
            self.socket.sendall(connect_packet(client_id, **kind))
            answer = self.read_packet()
        except ssl.SSLError as error:
            self.verdict = f"TLS {error.reason or error}"
        except (ConnectionResetError, BrokenPipeError):
            self.verdict = "CLOSED"
        except OSError as error:
            self.verdict = f"NET {error}"
        else:
            said = answer and answer[0] >> 4 == 2
            self.verdict = f"CONNACK {answer[1][1]} sp {answer[1][0] & 1}" if said else "CLOSED"
            self.connack = answer[1] if said else b""
        return self.verdict

    def read_packet(self):
        """(first byte, body), or None at the end of the stream."""
        while True:
            taken = self._split()
            if taken:
                return taken
            more = self.socket.recv(65536)
            if not more:
                return None
            self.rest += more

    def _split(self):
        size, shift, at = 0, 0, 1
        while at < len(self.rest):
            size |= (self.rest[at] & 0x7F) << shift
            if not self.rest[at] & 0x80:
                end = at + 1 + size
                if len(self.rest) < end:
                    return None
                first, body, self.rest = self.rest[0], self.rest[at + 1 : end], self.rest[end:]
                return first, body
            at, shift = at + 1, shift + 7
        return None

    def subscribe(self, topic, qos=0):
        """Sends SUBSCRIBE and returns the answer's last byte."""
        self.socket.sendall(packet(0x82, b"\0\1" + (b"\0" if self.level == 5 else b"") + text(topic) + bytes([qos])))
        return self.await_packet(9)[-1]

    def publish(self, topic, payload, qos=0, retain=False):
        """Sends PUBLISH (QoS 0 or 1) and awaits its answer."""
        head = text(topic) + (b"\0\7" if qos else b"") + (b"\0" if self.level == 5 else b"")
        self.socket.sendall(packet(0x30 | qos << 1 | retain, head + text(payload)[2:]))
        return self.await_packet(4) if qos else b""

    def await_packet(self, kind):
        """The body of the next packet of that kind; others are kept aside."""
        for at, got in enumerate(self.aside):
            if got[0] >> 4 == kind:
                return self.aside.pop(at)[1]
        while True:
            got = self.read_packet()
            if got is None:
                raise ConnectionResetError("closed by the broker")
            if got[0] >> 4 == kind:
                return got[1]
            self.aside.append(got)

    def ended_within(self, seconds):
        """Whether the broker closes within that time. Packets that come before are swallowed."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:
            return True
        return False

    def alive(self):
        """Whether the broker answers PINGREQ."""
        try:
            self.socket.settimeout(5)
            self.socket.sendall(b"\xc0\0")
            self.await_packet(13)
            return True
        except OSError:
            return False

    def close(self):
        if getattr(self, "socket", None):
            self.socket.close()


def verdict(port, client_id="x", *, ca=None, cert=None, key=None, version=None, **kind):
    """Connects, tells what happened, closes."""
    raw = Raw(port, ca=ca, cert=cert, key=key, version=version)
    said = raw.connect(client_id, **kind)
    raw.close()
    return said
