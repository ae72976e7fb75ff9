# SPDX-License-Identifier: MIT
"""An SMTP server on loopback that keeps the bytes of DATA as they came over the wire.

It does no more than a client needs, since a real server would change these bytes.
"""

import socketserver
import threading


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        self.reply(b"220 sink.example.net")
        for command in self.rfile:
            verb = command[:4].upper()
            if verb == b"DATA":
                self.reply(b"354 go ahead")
                self.server.messages.append(self.data())
                self.reply(b"250 kept")
            elif verb == b"QUIT":
                self.reply(b"221 goodbye")
                return
            else:
                self.reply(b"250 ok")

    def reply(self, line):
        self.wfile.write(line + b"\r\n")

    def data(self):
        """Returns the bytes after DATA, up to the first lone dot and without it."""
        lines = [b"\r\n"]
        for line in self.rfile:
            if line == b".\r\n" and lines[-1].endswith(b"\r\n"):
                return b"".join(lines[1:])
            lines.append(line)
        return b"(cut short) " + b"".join(lines[1:])


class SmtpSink(socketserver.ThreadingTCPServer):
    """The server, a context manager.  port: its number; messages: list of DATA bytes."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Conversation)
        self.port = self.server_address[1]
        self.messages = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exception):
        self.shutdown()
        super().__exit__(*exception)
