"""A web address that keeps what is posted to it, and answers as it is told."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hook:
    """`answers` are the statuses of the first posts; those after them are 204."""

    def __init__(self, pair, answers=()):
        self.posts, self.others, answers = [], [], list(answers)
        hook = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                hook.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status = answers.pop(0) if answers else 204
                self.send_response(status)
                if status // 100 == 3:
                    self.send_header("Location", f"https://localhost:{hook.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self):
                hook.others.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a client that does not trust us

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
