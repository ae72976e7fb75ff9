# SPDX-License-Identifier: MIT
"""Runs the servers on loopback that the measured programs talk to."""

import contextlib
import os
import socket
import subprocess
import time

from scratch import DOMAIN, ENVIRONMENT, HERE, SELECTOR, with_packages


@contextlib.contextmanager
def dns(scratch):
    """A context that serves the key, SPF and DMARC with the tests' dnslib; gives the port."""
    port = unused_port()
    zone = f"{scratch.directory}/zone"
    with open(zone, "w", encoding="ascii") as file:
        file.write(f"{SELECTOR}._domainkey.{DOMAIN}. 300 IN TXT {key_record(scratch.key)}\n"
                   f'{DOMAIN}. 300 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"\n'
                   f'_dmarc.{DOMAIN}. 300 IN TXT "v=DMARC1; p=reject"\n')
    with open(f"{scratch.directory}/dns.log", "wb") as log:
        server = subprocess.Popen(
            [ENVIRONMENT if os.path.exists(ENVIRONMENT) else scratch.python, "-m",
             "dnslib.zoneresolver", "--zone", zone, "--address", "127.0.0.1",
             "--port", str(port)], stdout=log, stderr=log)
    try:
        wait_for_dns(server, port)
        yield port
    finally:
        server.kill()
        server.wait()


def key_record(path):
    """Returns the key record of a private RSA key, as quoted strings of a zone file."""
    public = subprocess.run(["openssl", "rsa", "-in", path, "-pubout"], check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    record = "v=DKIM1; k=rsa; p=" + "".join(public.split("\n")[1:-2])
    return " ".join(f'"{record[at:at + 200]}"' for at in range(0, len(record), 200))


def unused_port():
    """Returns a UDP port of loopback that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for_dns(server, port):
    """Waits until the DNS server answers or has ended."""
    query = b"\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.1)
        while server.poll() is None:
            try:
                client.send(query)
                client.recv(512)
                return
            except socket.timeout:
                pass
            except ConnectionRefusedError:
                time.sleep(0.05)


class Verifyd:
    """The running resident verifier.  socket: its path, for DKSERVER."""

    def __init__(self, process, path, log):
        self.process = process
        self.socket = path
        self.log = log

    def cpu(self):
        """Returns the CPU seconds that its workers have used so far."""
        nanoseconds = 0
        for worker in children(self.process.pid):
            with open(f"/proc/{worker}/schedstat", encoding="ascii") as file:
                nanoseconds += int(file.read().split()[0])
        return nanoseconds / 1e9

    def answers(self):
        """Returns the number of messages that it has verified so far."""
        with open(self.log, encoding="ascii") as file:
            return sum(": A, " in line for line in file)

    def memory(self):
        """Returns the MiB of all its processes; shared pages count once."""
        return sum(map(proportional_share, [self.process.pid, *children(self.process.pid)]))


@contextlib.contextmanager
def verifyd(scratch, dns_port):
    """A context in which the resident verifier runs; gives a Verifyd, None if it can't run."""
    python = with_packages(scratch.python)
    if not python or not os.path.exists("/proc/self/schedstat"):
        yield None
        return
    path, log = f"{scratch.directory}/verify.sock", f"{scratch.directory}/verifyd.log"
    command = [python, "-IS", f"{scratch.directory}/installed/lib/qmail_dk_verifyd.py",
               *(["--user", "nobody"] if os.geteuid() == 0 else [])]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stderr=output, env={
            "DKSERVER": path, "DNSCACHEIP": f"127.0.0.1#{dns_port}"})
    try:
        while not os.path.exists(path) and process.poll() is None:
            time.sleep(0.05)
        yield Verifyd(process, path, log)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def sink(python):
    """A context with an SMTP server that accepts everything and keeps nothing; gives its port."""
    with subprocess.Popen([python, f"{HERE}/sink.py"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as server:
        yield int(server.stdout.readline())
        server.stdin.close()


def children(process):
    """Returns the ids of a process's children.  Linux only."""
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return list(map(int, file.read().split()))


def proportional_share(process):
    """Returns the MiB of a process with its part of shared pages (Pss).  Linux only."""
    with open(f"/proc/{process}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
