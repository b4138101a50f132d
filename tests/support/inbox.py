"""A mail server that keeps what it is sent, with and without TLS, and the logins that it was shown."""

import base64
import socket
import ssl
import threading


class Inbox:
    """`tls` is None, "starttls" or "tls"; `pair` its certificate; `login` the only "user:password" that it takes."""

    def __init__(self, tls=None, pair=None, login=None):
        self.mails, self.logins, self.tls, self.login = [], [], tls, login
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.context = None
        if pair:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(pair.cert, pair.key)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.settimeout(10)
            try:
                if self.tls == "tls":
                    peer = self.context.wrap_socket(peer, server_side=True)
                self._talk(peer, self.tls != "starttls")
            except (OSError, ValueError):
                pass  # the client went away, or did not trust us
            peer.close()

    def _talk(self, peer, secure, greet=True):
        stream, known = peer.makefile("rwb"), self.login is None

        def say(*lines):
            stream.write(b"".join(line + b"\r\n" for line in lines))
            stream.flush()
        if greet:
            say(b"220 inbox")
        while line := stream.readline():
            verb = line.strip().upper()
            if verb.startswith(b"EHLO"):
                say(b"250-inbox", b"250 AUTH PLAIN" if secure else b"250 STARTTLS")
            elif verb == b"STARTTLS":
                say(b"220 go on")
                return self._talk(self.context.wrap_socket(peer, server_side=True), True, greet=False)
            elif verb.startswith(b"AUTH PLAIN"):
                _, user, password = base64.b64decode(line.split()[2]).split(b"\0")
                self.logins.append(f"{user.decode()}:{password.decode()}")
                known = self.logins[-1] == self.login
                say(b"235 welcome" if known else b"535 no")
            elif not known and verb != b"QUIT":
                say(b"530 log in first")
            elif verb == b"DATA":
                say(b"354 go on")
                mail = []
                while (line := stream.readline()) not in (b".\r\n", b""):
                    mail.append(line)
                self.mails.append(b"".join(mail).decode())
                say(b"250 fine")
            else:
                say(b"221 bye" if verb == b"QUIT" else b"250 fine")
                if verb == b"QUIT":
                    return

    def close(self):
        self.listener.close()
