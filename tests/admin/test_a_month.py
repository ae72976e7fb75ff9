# SPDX-License-Identifier: MIT
"""A month in a minute: keys of 30 domains change while mail is signed, and runs are killed.

One host publishes by tinydns, whose second server gets the data a day late; another by
updates of named.  A key is due after nine days.  Deliveries go on all the while.  Each
message must verify by what each name server says when it has been sent, and what they
say must stay so for a week.
"""

import contextlib
import os
import random
import re
import shutil
import subprocess
import threading
import time

import dnslib
import pytest

from tests.support import judges, real_name_servers, rspawn
from tests.support.administrator import DOMAIN, GROUP, Administrator
from tests.support.clock import Clock
from tests.support.dns_server import DnsServer

DAY = 86400
DAYS = 31
AGE = 9
DOMAINS = 15                # of each host
REMOVED_ON = 10             # the day on which the last domain of each host is removed

ORIGINAL = "#!/bin/sh\ncat >\"$SCRATCH/sent.$$\"\nprintf 'r\\0K%s\\n\\0' \"$SCRATCH/sent.$$\"\n"

OTHER_PORT = """
from lib.admin import due
due.PATIENCE = 0
from lib.lookup import name_servers
name_servers.PORT = "{port}"
from lib.packages import add_site_packages
add_site_packages()
import types, dns.message, dns.renderer
from tests.support.clock import REAL
for module in dns.message, dns.renderer:        # named has the real time, and TSIG depends on it
    module.time = types.SimpleNamespace(time=REAL["time"])
"""

UPDATED = """
options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; recursion no;
    listen-on-v6 {{ none; }}; pid-file "{directory}/pid"; session-keyfile "{directory}/key"; }};
controls {{ }};
include "{key}";
zone "example.com" {{ type primary; file "{directory}/zone";
    update-policy {{ grant qmail-dk zonesub TXT; }}; }};
"""


class Host(Administrator):
    """A host with half of the domains.

    servers: [(address, port)] of its name servers; copied: function that brings the
    second one up to date; expected: seconds that a run takes
    """

    def __init__(self, directory, number, stack, clock):
        directory.mkdir()
        super().__init__(directory)
        self.clock = clock
        self.domains = [f"d{number}{n:02}.{DOMAIN}" for n in range(DOMAINS)]
        self.copied = lambda: None
        self.expected = 1.0
        self.kills = 0
        original = directory / "original"
        original.write_text(ORIGINAL)
        original.chmod(0o755)
        self.launcher = rspawn.install_launcher(directory)
        self.environment.update(DKROTATE=str(AGE), DKREMOTE=str(original), DKTIMEOUT="5",
                                DKPROTOCOLS="dkim", SCRATCH=str(directory))
        getattr(self, ("with_tinydns", "with_named")[number])(directory / "dns", stack)
        names = [f"ns{n}.{DOMAIN}" for n in range(len(self.servers))]
        resolver = stack.enter_context(DnsServer({DOMAIN: {"NS": names}, **{
            name: {"A": [address]} for name, (address, _) in zip(names, self.servers)}}))
        self.environment["DNSCACHEIP"] = resolver.address
        clock.give(self, rspawn.CHECKOUT, OTHER_PORT.format(port=self.servers[0][1]))

    def with_tinydns(self, directory, stack):
        directory.mkdir()
        addresses = real_name_servers.free_address(), real_name_servers.free_address()
        for name, address in zip("ab", addresses):
            stack.enter_context(real_name_servers.tinydns(directory / name, address))
        (directory / "a" / "Makefile").write_text("data.cdb: data\n\ttinydns-data\n")
        self.servers = [(address, 53) for address in addresses]
        self.environment["DKPUBLISH"] = f"tinydns:{directory}/a/data"

        def copied():
            shutil.copy(directory / "a" / "data.cdb", directory / "b" / "new")
            os.rename(directory / "b" / "new", directory / "b" / "data.cdb")
        self.copied = copied

    def with_named(self, directory, stack):
        primary = stack.enter_context(real_name_servers.primary(
            directory, "named", lambda port, key, _: UPDATED.format(
                directory=directory, port=port, key=key.path), "-g"))
        self.servers = [("127.0.0.1", primary.port)]
        self.environment["DKPUBLISH"] = primary.publish

    def run_due(self, chance):
        """Runs rotate --due; once in two times it is killed first, at a random moment."""
        command = [self.command, "rotate", "--due", "--group", GROUP, "--bits", "1024"]
        if chance.random() < 0.5:
            with subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(0, self.expected))
                self.kills += process.poll() is None
                process.kill()
            self.assert_consistent()
        started = time.monotonic()
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        self.expected = (self.expected + time.monotonic() - started) / 2
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "todo" not in done.stdout, done.stdout
        self.assert_consistent()

    def assert_consistent(self):
        """Each link of each domain leads to a key, but that of a key which is being removed."""
        for domain in self.domains:
            for path in (self.keys / domain).glob("default*"):
                assert path.exists() or path.name == "default.former", path
            assert (self.keys / domain / "default").exists()

    def texts(self, name):
        """Returns what each name server has at a name, list of str, None for nothing."""
        return [txt(name, *server) for server in self.servers]

    def deliver(self, domain):
        """Has a message signed and sent.  Returns it as it arrived, bytes."""
        message = self.directory / "message"
        message.write_bytes(f"From: joe@{domain}\nSubject: test\n\nHello.\n".encode())
        delivery = rspawn.deliver([self.launcher], message, self.environment,
                                  ("example.net", f"joe@{domain}", "jane@example.net"))
        assert delivery.verdict == "K", delivery
        with open(delivery.text.strip(), "rb") as file:
            arrived = file.read().replace(b"\n", b"\r\n")
        os.unlink(delivery.text.strip())
        return arrived


def txt(name, address, port):
    for _ in range(5):
        with contextlib.suppress(OSError):      # a datagram may be lost
            wire = dnslib.DNSRecord.question(name, "TXT").send(address, port, timeout=2)
            for answer in dnslib.DNSRecord.parse(wire).rr:
                return b"".join(answer.rdata.data).decode()
            return None
    raise AssertionError(f"{address} does not answer")


class Mail:
    """Deliveries in a thread.  count: of messages; used: {(host, name): (text, when at last)}"""

    def __init__(self, hosts, chance, clock):
        self.hosts, self.chance, self.clock = hosts, chance, clock
        self.count = 0
        self.used = {}
        self.wrong = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.deliver_all)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.over.set()
        self.thread.join()

    def deliver_all(self):
        while not self.over.is_set():
            host = self.chance.choice(self.hosts)
            domain = self.chance.choice(host.domains)
            try:
                self.deliver(host, domain)
            except Exception as error:
                if domain in host.domains:      # else it is being removed
                    self.wrong.append((domain, repr(error)))
            self.over.wait(0.05)

    def deliver(self, host, domain):
        """Verifies a message by what each server says; notes the record for a week."""
        arrived = host.deliver(domain)
        found = re.search(rb"\bs=([^;]+);", arrived)
        assert found or domain not in host.domains, "not signed"
        name = f"{found[1].decode()}._domainkey.{domain}"
        texts = host.texts(name)
        (verdict,) = judges.dkimpy(arrived, {name: texts[0]})
        assert verdict.result == "pass" and len(set(texts)) == 1, (verdict, texts)
        self.count += 1
        self.used[host, name] = texts[0], self.clock.now()

    def assert_verifiable(self):
        """All that was signed within a week still is, by each server."""
        assert not self.wrong
        for (host, name), (text, when) in list(self.used.items()):
            if when > self.clock.now() - 7 * DAY:
                assert host.texts(name) == [text] * len(host.servers), name


@pytest.mark.root       # for port 53
@pytest.mark.slow
def test_a_month(tmp_path):
    for program in "tinydns", "tinydns-data", "named", "make":
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    seed = int(os.environ.get("SEED", random.randrange(10**9)))
    print("SEED", seed)         # shown if it fails
    chance, clock = random.Random(seed), Clock(tmp_path / "clock")
    with contextlib.ExitStack() as stack:
        hosts = [Host(tmp_path / str(number), number, stack, clock) for number in range(2)]
        for host in hosts:
            host.succeed("keygen", *host.domains, "--bits", "1024", "--group", GROUP)
            host.run("rotate", "--due", "--group", GROUP)
            host.copied()
            host.run("rotate", "--due", "--group", GROUP)
        removed = []
        with Mail(hosts, random.Random(seed), clock) as mail:
            for day in range(DAYS):
                for host in hosts:
                    if day == REMOVED_ON:
                        removed.append(host.domains.pop())
                        host.succeed("remove", removed[-1])
                    host.run_due(chance)
                mail.assert_verifiable()
                for host in hosts:
                    host.copied()
                mail.assert_verifiable()
                clock.advance(DAY)
        assert not mail.wrong
        print(mail.count, "messages,", [host.kills for host in hosts], "kills")
        assert mail.count > 100 and all(host.kills for host in hosts)
        for host in hosts:
            assert_changed(host, mail, removed)


def assert_changed(host, mail, removed):
    """Each domain's key has changed, and no key or record is left that nothing needs."""
    unnamed = 0
    for domain in host.domains:
        names = set(os.listdir(host.keys / domain))
        linked = {os.readlink(host.keys / domain / link) for link in names
                  if link.startswith("default")}
        assert os.readlink(host.keys / domain / "default")[1:] > time.strftime(
            "%Y%m%d", time.localtime(host.clock.now() - (AGE + 3) * DAY))
        assert len(linked) <= 2 and "default.next" not in names
        unnamed += len({name for name in names if not name.startswith("default")} - linked)
    assert unnamed <= host.kills        # killed between the key and its link
    for other, name in mail.used:
        domain = name.partition("._domainkey.")[2]
        if other is host and (domain in removed or not any(
                path.name == name.partition(".")[0] for path in (host.keys / domain).iterdir())):
            assert not any(text and "p=" in text for text in host.texts(name)), name
    assert not any((host.keys / domain).exists() for domain in removed)
