# SPDX-License-Identifier: MIT
"""An SMTP server on the loopback address that keeps its messages (aiosmtpd)."""

import asyncio
import contextlib
import threading

from aiosmtpd.smtp import SMTP

from . import Failure

ADDRESS = "127.0.0.1"
NAME = "mx.example.net"


class Session(SMTP):
    line_length_limit = 16 * 1024 * 1024    # bytes; qmail has no limit, so no line may be cut


class Sink:
    """Accepts every message.

    port: its number
    arrived: list of aiosmtpd Envelopes, whose content is the bytes of DATA with CR LF
    line ends and dots unstuffed
    """

    def __init__(self):
        self.port = None
        self.arrived = []

    async def handle_DATA(self, server, session, envelope):     # aiosmtpd's name for it
        self.arrived.append(envelope)
        return "250 2.0.0 kept"


@contextlib.contextmanager
def listening():
    """A context in which a Sink listens; gives it.  Raises Failure if no port is free."""
    sink = Sink()
    loop = asyncio.new_event_loop()
    try:
        server = loop.run_until_complete(loop.create_server(
            lambda: Session(sink, hostname=NAME, data_size_limit=None, loop=loop),
            ADDRESS, 0))
    except OSError as error:
        loop.close()
        raise Failure(f"no TCP port to be had on {ADDRESS}: {error.strerror}") from error
    sink.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield sink
    finally:
        server.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        unfinished = asyncio.all_tasks(loop)    # sessions of clients that did not send QUIT
        for task in unfinished:
            task.cancel()
        if unfinished:
            loop.run_until_complete(asyncio.wait(unfinished))
        loop.close()
