# SPDX-License-Identifier: MIT
"""An SMTP server on loopback that refuses now and then, and verifies accepted messages.

    python -m tests.support.soak_sink SEED      (key records on descriptor 0, a line of JSON)

Prints its port.  When descriptor 0 ends, prints {recipient: list of the messages
accepted for it} as JSON; a message is the selector of its DKIM signature, or a text
that says what is wrong with it.
"""

import asyncio
import hashlib
import json
import random
import sys

from tests.support import judges, wire

REFUSALS = ((0.02, b"451 later"), (0.01, b"550 never"))
CUT_OFF = 0.01      # fraction of messages for which the connection ends before the last answer


class Sink:
    """The results.  taken: {recipient: [selector or flaw]}; known: {hash: selector or flaw}"""

    def __init__(self, seed, records):
        self.random = random.Random(seed)
        self.records = records
        self.known = {}
        self.taken = {}

    def refusal(self):
        chance = self.random.random()
        for share, answer in REFUSALS:
            if chance < share:
                return answer
            chance -= share
        return None

    def take(self, recipient, data):
        digest = hashlib.sha256(data).digest()
        if digest not in self.known:
            self.known[digest] = self.examine(wire.received(data))
        self.taken.setdefault(recipient, []).append(self.known[digest])

    def examine(self, message):
        verdicts = judges.dkimpy(message, self.records)
        if [verdict.result for verdict in verdicts] != ["pass"]:
            return f"wrong: {verdicts}"
        if b"The end.\r\n" != message[-10:]:
            return "wrong: cut short"
        return verdicts[0].selector


async def converse(sink, reader, writer):
    """One client."""
    def answer(line):
        writer.write(line + b"\r\n")
    try:
        answer(b"220 sink.example.net")
        recipient = None
        while True:
            command = await reader.readline()
            verb = command[:4].upper()
            if not command:
                return
            if verb == b"RCPT":
                refusal = sink.refusal()
                recipient = command.partition(b"<")[2].partition(b">")[0].decode()
                answer(refusal or b"250 ok")
            elif verb == b"DATA":
                answer(b"354 go ahead")
                data = await reader.readuntil(b"\r\n.\r\n")
                if sink.random.random() < CUT_OFF:
                    return
                sink.take(recipient, data[:-3])
                answer(b"250 taken")
            elif verb == b"QUIT":
                answer(b"221 goodbye")
                return
            else:
                answer(b"250 ok")
    finally:
        writer.close()


async def main():
    sink = Sink(int(sys.argv[1]), json.loads(sys.stdin.readline()))
    server = await asyncio.start_server(lambda *streams: converse(sink, *streams), "127.0.0.1", 0,
                                        backlog=200, limit=2**25)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(
        0, lambda: sys.stdin.read(1) or ended.done() or ended.set_result(None))
    await ended
    print(json.dumps(sink.taken))


if __name__ == "__main__":
    asyncio.run(main())
