"""MQTT in WebSocket frames, a few lines that show the frames (RFC 6455).

What lives here: a socket that frames what is sent and unframes what comes, and `Raw` over it. What does not: a WebSocket
client to rely on.
"""

import base64
import os
import socket

from support.wire import Raw, tls_context

REQUEST = ("GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: {key}\r\n{more}\r\n")


def request(path="/mqtt", protocol="mqtt", origin=None):
    more = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    more += f"Origin: {origin}\r\n" if origin else ""
    return REQUEST.format(path=path, key=base64.b64encode(os.urandom(16)).decode(), more=more).encode()


def frame(opcode, payload, last=True):
    """A frame as clients send it."""
    size, mask = len(payload), os.urandom(4)
    head = bytes([opcode | (0x80 if last else 0)])
    head += bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big") if size < 65536 else bytes([0xFF]) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


class Frames:
    """A socket to `Raw`. Pongs and the close frame are kept in `control`."""

    def __init__(self, stream, rest):
        self.stream, self.rest, self.control = stream, rest, []

    def sendall(self, payload):
        self.stream.sendall(frame(2, payload))

    def settimeout(self, seconds):
        self.stream.settimeout(seconds)

    def close(self):
        self.stream.close()

    def recv(self, _):
        """The payload of the next data frame; nothing behind a close frame and at the end."""
        while (taken := self.read_frame()) is not None:
            opcode, payload = taken
            if opcode == 2:
                return payload
            self.control.append((opcode, payload))
            if opcode == 8:
                return b""
        return b""

    def read_frame(self):
        """(type, payload), or None at the end of the stream."""
        head = self._take(2)
        if head is None:
            return None
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
        return head[0] & 15, self._take(size)

    def _take(self, count):
        while len(self.rest) < count:
            more = self.stream.recv(65536)
            if not more:
                return None
            self.rest += more
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


class Web(Raw):
    """One connection over ws or wss; `answer` is the head of the HTTP answer."""

    def __init__(self, port, *, opening=None, **tls):
        super().__init__(port, **tls)
        self.answer = ""
        if self.verdict:
            return
        try:
            self.socket.sendall(opening or request())
            said = b""
            while b"\r\n\r\n" not in said and (more := self.socket.recv(65536)):
                said += more
        except OSError as error:
            self.verdict = f"NET {error}"
            return
        head, _, rest = said.partition(b"\r\n\r\n")
        self.answer = head.decode()
        if " 101 " in self.answer:
            self.socket = Frames(self.socket, rest)
        else:
            self.verdict = f"HTTP {self.answer.split(' ')[1] if self.answer else 'nothing'} {rest.decode().strip()}"


def behind(balancer_says, port, ca, cert, key):
    """A TLS connection whose first bytes are a balancer's header."""
    raw = Raw.__new__(Raw)
    raw.level, raw.rest, raw.verdict, raw.aside = 4, b"", None, []
    try:
        raw.socket = socket.create_connection(("127.0.0.1", port), 5)
        raw.socket.sendall(balancer_says)
        raw.socket = tls_context(ca, cert, key).wrap_socket(raw.socket, server_hostname="localhost")
    except OSError as error:
        raw.verdict = f"NET {error}"
    return raw
