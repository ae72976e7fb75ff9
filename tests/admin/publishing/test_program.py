# SPDX-License-Identifier: MIT
"""Programs that publish: how they are called, what becomes of their failures, doc/dns's example."""

import http.server
import os
import shutil
import signal
import textwrap
import threading
import time
import urllib.parse

import pytest

from lib.admin.publishing import command
from lib.admin.publishing.choice import publisher
from lib.admin.publishing.record import Record
from lib.errors import PublishTrouble
from lib.settings import Settings
from tests.support.documents import text
from tests.support.processes import is_running

RECORDS = [Record("s1._domainkey.example.com", 3600, 'v=DKIM1; k=rsa; p=A+/="$(id)`\\ *'),
           Record("_domainkey.example.com", 60, "o=~")]


def program(tmp_path, content, mode=0o755):
    """Writes a script.  Returns the publisher that runs it with one argument, a number."""
    path = tmp_path / "publish"
    path.write_text(content)
    path.chmod(mode)
    return publisher(Settings({"DKPUBLISH": f"run:{path} 7"}))


def trouble(publishing, verb="add"):
    with pytest.raises(PublishTrouble) as raised:
        getattr(publishing, verb)(RECORDS)
    said = str(raised.value)
    assert "\n" not in said and "; remedy: " in said
    return said


def test_arguments(tmp_path):
    publishing = program(tmp_path, f"#!/bin/sh\nprintf '%s|' \"$@\" >>{tmp_path}/called\n"
                                   f"echo >>{tmp_path}/called; echo said; pwd >>{tmp_path}/called\n"
                                   f"cat >>{tmp_path}/called\n")
    assert publishing.add(RECORDS) == publishing.remove(RECORDS[:1]) == publishing.add([]) == ""
    assert (tmp_path / "called").read_text() == "".join(
        f"7|{verb}|{record.name}|{record.ttl}|{record.text}|\n/\n"
        for verb, record in [*(("add", record) for record in RECORDS), ("remove", RECORDS[0])])


def test_environment(tmp_path, monkeypatch):
    for name, value in (("DKSIGN", "x"), ("BASH_ENV", "x"), ("HOME", "/root"), ("LD_PRELOAD", ""),
                        ("PATH", "/bin:.:bin::/usr/bin")):
        monkeypatch.setenv(name, value)
    program(tmp_path, f"#!/usr/bin/env -S sh\nenv >{tmp_path}/seen\n").add(RECORDS[:1])
    seen = dict(line.split("=", 1) for line in (tmp_path / "seen").read_text().splitlines())
    assert set(seen) - {"PWD", "_", "SHLVL", "OLDPWD"} <= {"PATH", *command.KEPT}
    assert seen["HOME"] == "/root"
    assert seen["PATH"] == "/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin"


@pytest.mark.parametrize("script, words", [
    ("echo early >&2; echo late >&2; echo; exit 3", "7 _: late (exit code 3); remedy"),
    ("exit 1", "no message (exit code 1)"),
    ("echo '  '>&2; printf 'no end' >&2; echo >&2; exit 1", "no end (exit code 1)"),
    ("printf 'a\\033[31m\\377\\200b' >&2; exit 1", "a?[31m??b (exit code 1)"),
    ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "x" * 200 + " (exit code 1)"),
    ("kill -9 $$", "no message (signal 9)"),
])
def test_failures(tmp_path, script, words):
    said = trouble(program(tmp_path, f"#!/bin/sh\n{script}\n"))
    assert words.replace("7 _", f"{tmp_path}/publish add {RECORDS[0].name}") in said
    assert len(said) < 500


def test_it_ends_at_the_first_failure(tmp_path):
    """The records before it are added; a repeated call goes on."""
    publishing = program(tmp_path, f'#!/bin/sh\necho "$3" >>{tmp_path}/called; [ "$4" != 60 ]\n')
    assert f"add {RECORDS[1].name}: no message" in trouble(publishing)
    assert (tmp_path / "called").read_text().split() == [record.name for record in RECORDS]


@pytest.mark.parametrize("content, mode, words", [
    (None, 0, "No such file or directory"),
    ("#!/bin/sh\n", 0o644, "Permission denied"),
    ("exit 0\n", 0o755, "Exec format error"),
    ("#!/no/such/shell\n", 0o755, "No such file or directory"),
])
def test_it_cannot_be_run(tmp_path, content, mode, words):
    publishing = program(tmp_path, content or "", mode)
    if content is None:
        (tmp_path / "publish").unlink()
    said = trouble(publishing, "remove")
    assert f"unable to run {tmp_path}/publish, which DKPUBLISH names: {words}; remedy" in said


def test_it_takes_too_long(tmp_path, monkeypatch):
    """It is killed with what it has started."""
    monkeypatch.setattr(command, "LONGEST", 1)
    said = trouble(program(tmp_path, f"#!/bin/sh\nsleep 100 & echo $! >{tmp_path}/child; wait\n"))
    assert "took more than 1 seconds; remedy" in said
    assert has_ended(int((tmp_path / "child").read_text()))


def test_a_process_that_stays_is_not_waited_for(tmp_path):
    program(tmp_path, f"#!/bin/sh\nsleep 100 & echo $! >{tmp_path}/child\n").add(RECORDS[:1])
    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def has_ended(process):
    for _ in range(500):
        if not is_running(process):
            return True
        time.sleep(0.02)
    return False


class Provider(http.server.BaseHTTPRequestHandler):
    """Takes forms, and keeps what they say."""

    def do_POST(self):
        for name, content, ttl in self.forms():
            self.server.found[name, content] = ttl

    def do_DELETE(self):
        for name, content, _ in self.forms():
            self.server.found.pop((name, content), None)

    def forms(self):
        """Returns [(name, text, ttl)], [] without the right token."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        right = (self.path, self.headers["Authorization"]) == ("/records/txt", "Bearer token")
        self.send_response(200 if right else 403)
        self.end_headers()
        form = dict(urllib.parse.parse_qsl(body))
        return [(form["name"], form["text"], form["ttl"])] if right else []

    def log_message(self, *arguments):
        pass


def test_example_of_the_document(tmp_path):
    """A provider gets the records by the script that doc/dns shows."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    shown = text("dns").partition("\n  #!/bin/sh\n")[2].partition("\n\n")[0]
    script = "#!/bin/sh\n" + textwrap.dedent(shown)
    assert len(script.splitlines()) <= 10
    (tmp_path / "options").write_text('header = "Authorization: Bearer token"\n')
    with http.server.HTTPServer(("127.0.0.1", 0), Provider) as server:
        server.found = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        for there, here in (("/etc/publish-key", tmp_path / "options"), (
                "https://dns.example.net", f"http://127.0.0.1:{server.server_port}")):
            assert there in script
            script = script.replace(there, str(here))
        publishing = program(tmp_path, script)
        publishing.arguments.pop()
        for _ in range(2):
            publishing.add(RECORDS)
            assert server.found == {(record.name, record.text): str(record.ttl)
                                    for record in RECORDS}
        for _ in range(2):
            publishing.remove(RECORDS)
            assert server.found == {}
        (tmp_path / "options").write_text("")
        assert "403" in trouble(publishing)
        server.shutdown()
