# SPDX-License-Identifier: MIT
"""Real name servers on loopback: tinydns, and named and knotd that take dynamic updates.

The latter two have the configuration that doc/dns shows, but for addresses and paths.
"""

import base64
import contextlib
import os
import random
import shutil
import socket
import subprocess
import textwrap
import time

import dnslib
import pytest

from tests.support.administrator import DOMAIN
from tests.support.documents import text

# Beside the name servers: an address for all hosts of the domain, a domain that others
# have, and an alias where a key could be.
ZONE = f"""$ORIGIN {DOMAIN}.
$TTL 60
@ SOA ns1 root 1 60 60 60 60
@ NS ns1
ns1 A 127.0.0.1
* TXT "any"
sub NS ns.sub
ns.sub A 127.0.0.9
alias._domainkey CNAME key.example.net.
"""


def free_address():
    """An address on loopback whose port 53 nobody has."""
    for _ in range(20):
        address = "127." + ".".join(str(random.randrange(1, 250)) for _ in range(3))
        with contextlib.suppress(OSError):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with socket.socket(socket.AF_INET, kind) as connection:
                    connection.bind((address, 53))
            return address
    pytest.skip("port 53 can't be used here")


def wait_for(process, address, port=53):
    """Waits until a name server answers at all."""
    for _ in range(200):
        if process.poll() is not None:
            pytest.skip(f"{process.args[0]} does not run here")
        with contextlib.suppress(OSError):
            wire = dnslib.DNSRecord.question(DOMAIN, "NS").send(address, port, timeout=0.2)
            if dnslib.DNSRecord.parse(wire).rr:
                return
        time.sleep(0.02)
    raise AssertionError(f"no answer from {address}")


@contextlib.contextmanager
def tinydns(directory, address, lines=""):
    """tinydns with the lines that qmail-dk printed for it; -> function that replaces them."""
    directory.mkdir()

    def publish(lines):
        (directory / "data").write_text(f".{DOMAIN}:{address}:ns1.{DOMAIN}:60\n{lines}\n")
        subprocess.run(["tinydns-data"], cwd=directory, check=True)

    publish(lines)
    environment = {**os.environ, "IP": address, "ROOT": str(directory), "UID": "0", "GID": "0"}
    with subprocess.Popen(["tinydns"], env=environment, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(process, address)
            yield publish
        finally:
            process.kill()


def free_port(address="127.0.0.1"):
    """Returns a port of an address that nobody has, for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, \
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            stream.bind((address, 0))
            with contextlib.suppress(OSError):
                datagram.bind(stream.getsockname())
                return stream.getsockname()[1]


class Key:
    """A TSIG key, and a file in BIND's form that holds it."""

    def __init__(self, path, name="qmail-dk", algorithm="hmac-sha256", secret=None):
        self.path = path
        self.name = name
        self.algorithm = algorithm
        self.secret = secret or base64.b64encode(os.urandom(32)).decode()
        path.write_text(f'key "{name}" {{\n\talgorithm {algorithm};\n'
                        f'\tsecret "{self.secret}";\n}};\n')
        path.chmod(0o640)


class Primary:
    """A primary server that takes updates.  process: subprocess.Popen

    key: the Key that may write below _domainkey; other: one that may not; port: number
    """

    def __init__(self, process, port, key, other):
        self.process = process
        self.port = port
        self.key = key
        self.other = other
        self.publish = self.with_key(key)

    def with_key(self, key, server="127.0.0.1"):
        """Returns the value of DKPUBLISH for this server and a Key, or None."""
        return f"nsupdate:{server}#{self.port} {key.path if key else ''}"


def example(start):
    """Returns the example of doc/dns that starts so, str without the indentation."""
    found = text("dns").partition(f"\n  {start}")[2].partition("\n\n")[0]
    assert found, start
    return textwrap.dedent(f"  {start}{found}\n")


@contextlib.contextmanager
def primary(directory, program, conf, *arguments):
    """Runs a server until it answers for its zone.  conf: function of port, keys -> text"""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    directory.mkdir()
    (directory / "database").mkdir()
    (directory / "zone").write_text(ZONE)
    key, other = Key(directory / "qmail-dk.key"), Key(directory / "other.key", "other")
    port = free_port()
    (directory / "conf").write_text(conf(port, key, other))
    with open(directory / "log", "wb") as log, subprocess.Popen(
            [program, *arguments, "-c", directory / "conf"], stdout=log, stderr=log) as process:
        try:
            with contextlib.suppress(pytest.skip.Exception):
                wait_for(process, "127.0.0.1", port)
            assert process.poll() is None, (directory / "log").read_text()
            yield Primary(process, port, key, other)
        finally:
            process.kill()


def named(directory):
    """Context: named, with the lines of doc/dns."""
    def conf(port, key, other):
        shown = example("include")
        for there, here in (("/etc/bind/qmail-dk.key", key.path),
                            ("/var/lib/bind/example.com", directory / "zone")):
            assert there in shown
            shown = shown.replace(there, str(here))
        return (f'options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }};'
                f' listen-on-v6 port {port} {{ ::1; }}; pid-file "{directory}/pid"; recursion no;'
                f' session-keyfile "{directory}/key"; }};\ncontrols {{ }};\n'
                f'include "{other.path}";\n{shown}')
    return primary(directory, "named", conf, "-g")


def knotd(directory):
    """Context: knotd, with the lines of doc/dns."""
    def conf(port, key, other):
        shown = example("key:").replace("SECRET", key.secret)
        shown = shown.replace("acl:\n", f"  - id: other\n    algorithm: {other.algorithm}\n"
                              f"    secret: {other.secret}\nacl:\n", 1)
        return (f"server:\n  rundir: {directory}\n  listen: 127.0.0.1@{port}\n"
                f"database:\n  storage: {directory}/database\n"
                f"log:\n  - target: stderr\n    any: info\n{shown}    file: {directory}/zone\n")
    return primary(directory, "knotd", conf)
