# SPDX-License-Identifier: MIT
"""A DNS server that answers late, however many questions wait: slow_dns.py SECONDS ZONE ADDRESS...

It listens on port 53 of each ADDRESS.  ZONE is a JSON file, {"name TYPE": [hexadecimal
rdata, ...]}; other names don't exist.  It prints a line when it listens.  It serves many
questions a second with little CPU, so that it is not what is measured.
"""

import asyncio
import json
import struct
import sys

TYPES = {"A": 1, "NS": 2, "MX": 15, "TXT": 16}


class LateAnswers(asyncio.DatagramProtocol):
    """Answers each question after some seconds.  zone: {(wire name, type): rdata list}"""

    def __init__(self, zone, seconds):
        self.zone = zone
        self.names = {name for name, _ in zone}
        self.seconds = seconds

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        asyncio.get_running_loop().call_later(self.seconds, self.transport.sendto,
                                              self.answer(data), addr)

    def answer(self, query):
        """Returns the answer to a query, both bytes (RFC 1035 section 4)."""
        end = query.index(b"\0", 12) + 1
        name, kind = query[12:end].lower(), int.from_bytes(query[end:end + 2], "big")
        found = self.zone.get((name, kind), ())
        # Authoritative and recursive; NXDOMAIN unless the name exists.
        flags = 0x8580 | (0 if name in self.names else 3)
        return b"".join([query[:2], struct.pack(">HHHHH", flags, 1, len(found), 0, 0),
                         query[12:end + 4],
                         *(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 3600, len(rdata)) + rdata
                           for rdata in found)])


def wire_name(name):
    """Returns a domain name as it is in messages.  name: str"""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


async def serve(addresses, seconds, zone):
    for address in addresses:
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: LateAnswers(zone, seconds), local_addr=(address, 53))
    print("listening", flush=True)
    await asyncio.Event().wait()


def main(seconds, path, *addresses):
    with open(path, encoding="ascii") as file:
        zone = {(wire_name(key.split()[0]), TYPES[key.split()[1]]): list(map(bytes.fromhex, data))
                for key, data in json.load(file).items()}
    asyncio.run(serve(addresses, float(seconds), zone))


if __name__ == "__main__":
    main(*sys.argv[1:])
