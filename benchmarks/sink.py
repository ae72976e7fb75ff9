# SPDX-License-Identifier: MIT
"""An SMTP server on loopback that accepts any message and keeps none.

    python3 sink.py         (prints its port; exits at the end of descriptor 0)
"""

import asyncio
import sys

ANSWERS = {b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 goodbye\r\n"}


class Conversation(asyncio.Protocol):
    """The conversation with one client."""

    def connection_made(self, transport):
        self.transport = transport
        self.unfinished = b""
        self.in_message = False
        transport.write(b"220 sink.example.net\r\n")

    def data_received(self, data):
        self.unfinished += data
        if self.in_message:
            if not self.unfinished.endswith(b"\r\n.\r\n"):
                self.unfinished = self.unfinished[-4:]
                return
            self.in_message = False
            self.unfinished = b""
            self.transport.write(b"250 taken\r\n")
        while b"\n" in self.unfinished:
            command, _, self.unfinished = self.unfinished.partition(b"\n")
            verb = command[:4].upper()
            self.transport.write(ANSWERS.get(verb, b"250 ok\r\n"))
            if verb == b"QUIT":
                self.transport.close()
            self.in_message = verb == b"DATA"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Conversation, "127.0.0.1", 0, backlog=200)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = loop.create_future()
    loop.add_reader(0, lambda: sys.stdin.buffer.read1(1) or ended.done() or ended.set_result(None))
    await ended

asyncio.run(main())
