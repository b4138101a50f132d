"""A mail server that keeps what it is sent."""

import socket
import threading


class Inbox:
    def __init__(self):
        self.mails, self.listener = [], socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                self._talk(peer.makefile("rwb"))

    def _talk(self, stream):
        def say(line):
            stream.write(line + b"\r\n")
            stream.flush()
        say(b"220 inbox")
        while line := stream.readline():
            verb = line.strip().upper()
            if verb == b"DATA":
                say(b"354 go on")
                mail = []
                while (line := stream.readline()) not in (b".\r\n", b""):
                    mail.append(line)
                self.mails.append(b"".join(mail).decode())
            say(b"221 bye" if verb == b"QUIT" else b"250 fine")
            if verb == b"QUIT":
                return

    def close(self):
        self.listener.close()
