# SPDX-License-Identifier: MIT
"""A host on which qmail-dk rotate --due runs: a clock, name servers, and a publisher for them.

The name servers are DnsServers, which read their zones from a file: DKPUBLISH names a
program that edits it.
"""

import contextlib
import json
import os
import subprocess
import sys

from tests.support import rspawn
from tests.support.administrator import GROUP, Administrator
from tests.support.clock import Clock
from tests.support.dns_server import DnsServer

DAY = 86400

# It asks name servers at a port that a test can have.
OTHER_PORT = """
from lib.admin import due
due.PATIENCE = {patience}
from lib.lookup import name_servers
name_servers.PORT = "{port}"
"""

# Adds a record to each file of a directory, or removes it; it fails for a domain that a
# file there names.
PUBLISHER = """#!{python} -IS
import glob, json, os, sys
directory, verb, name, ttl, text = sys.argv[1:]
with open(directory + "/calls", "a") as file:
    file.write(verb + " " + name + "\\n")
if os.path.exists(directory + "/refuses") and open(directory + "/refuses").read() in name:
    sys.exit("the provider says no")
for path in glob.glob(directory + "/*.json"):
    zone = json.load(open(path))
    if verb == "add":
        zone[name] = [text]
    else:
        zone.pop(name, None)
    with open(path + ".new", "w") as file:
        json.dump(zone, file)
    os.rename(path + ".new", path)
"""


class Zone:
    """The records of a file, and more of them, as DnsServer.zone."""

    def __init__(self, path):
        self.path = path
        path.write_text("{}")

    def get(self, name, default):
        return json.loads(self.path.read_text()).get(name, default)


class DueHost(Administrator):
    """An administrator of a host with a clock.

    resolver: DnsServer; clock: Clock; a, b: the name servers of all domains, DnsServers
    """

    def __init__(self, directory, stack, patience=0.5):
        super().__init__(directory)
        self.clock = Clock(directory / "clock")
        self.resolver = stack.enter_context(DnsServer({
            "a.ns.test": {"A": ["127.0.0.2"]}, "b.ns.test": {"A": ["127.0.0.3"]}}))
        self.servers = []
        for number, name in ((2, "a"), (3, "b")):
            server = stack.enter_context(DnsServer({}, f"127.0.0.{number}", self.resolver.port))
            server.zone = Zone(directory / f"{name}.json")
            self.servers.append(server)
        self.clock.give(self, rspawn.CHECKOUT,
                        OTHER_PORT.format(port=self.resolver.port, patience=patience))
        publisher = directory / "publisher"
        publisher.write_text(PUBLISHER.format(python=sys.executable))
        publisher.chmod(0o755)
        self.environment.update(DNSCACHEIP=self.resolver.address, DKTIMEOUT="2",
                                DKPUBLISH=f"run:{publisher} {directory}")

    def serve(self, *domains):
        """Makes the name servers those of domains."""
        for domain in domains:
            self.resolver.zone[domain] = {"NS": ["a.ns.test", "b.ns.test"]}

    def due(self, *arguments, code=0):
        """Runs rotate --due.  Returns its lines."""
        done = self.run("rotate", "--due", "--group", GROUP, *arguments)
        assert (done.returncode, done.stderr) == (code, ""), done
        return done.stdout.splitlines()

    def change_dns(self, verb, *names, text=""):
        """Adds records with a text, or removes those with the names, as an administrator does."""
        for name in names:
            subprocess.run([self.directory / "publisher", self.directory, verb, name, "3600", text],
                           check=True)

    def links(self, domain):
        """Returns {name: target} of the links beside a domain's keys."""
        directory = self.keys / domain
        return {path.name: os.readlink(path) for path in directory.iterdir()
                if path.is_symlink()} if directory.exists() else None

    def published(self, server="a"):
        """Returns the names of records that a name server has, a sorted list."""
        return sorted(json.loads((self.directory / f"{server}.json").read_text()))


@contextlib.contextmanager
def due_host(directory, *domains):
    """A context that gives a DueHost which serves domains."""
    with contextlib.ExitStack() as stack:
        host = DueHost(directory, stack)
        host.serve(*domains)
        yield host
