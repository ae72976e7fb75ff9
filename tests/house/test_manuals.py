# SPDX-License-Identifier: MIT
"""The man pages and doc/: held against the code, and what they tell one to do is done."""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

import dns.zone
import pytest
import qmail_qfilter_verify

from lib import errors, qmail_dk, settings
from lib.qmail import queue
from lib.verifying import letters
from tests.support import dns_server, queue_driver, verifying
from tests.support.documents import CHECKOUT, PAGES, TEXTS, page, text
from tests.support.memory import MEASURED


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_mandoc_has_no_complaint(path):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    done = subprocess.run(["mandoc", "-T", "lint", path], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_man_has_no_complaint(path):
    version = shutil.which("man") and subprocess.run(["man", "--version"], capture_output=True,
                                                     stdin=subprocess.DEVNULL, text=True).stdout
    if not (version or "").startswith("man 2."):
        pytest.skip("man-db is not installed")
    done = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True,
                          env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
    assert (done.returncode, done.stderr) == (0, "")
    assert path.stem in done.stdout


@pytest.mark.parametrize("path", PAGES + TEXTS, ids=lambda path: path.name)
def test_is_plain(path):
    """ASCII; pages and files that are named are there."""
    content = path.read_bytes().decode("ascii")
    assert not [line for line in content.split("\n") if line != line.rstrip()]
    for name in re.findall(r"\bdoc/([a-z-]+)", content):
        assert (CHECKOUT / "doc" / name).is_file(), name
    for name, section in re.findall(r"^\.Nm (qmail-(?:dk\S*|remote-dk)) Ns \((\d)\)", content,
                                    re.M):
        assert (CHECKOUT / "man" / f"{name}.{section}").is_file(), name


def test_settings():
    """The table has each setting, no other, and the defaults that are in force."""
    table = page("qmail-dk-control.5").partition(".Sh SETTINGS\n")[2].partition("\n.Sh")[0]
    found = dict(re.findall(r"^\.It Ev (\w+)\n(?:Signer|Verifier|Administrator)\.\n"
                            r"Default:\s(.*)$", table, re.M))
    assert list(found) == list(settings.DEFAULTS)
    assert len(re.findall(r"^\.It", table, re.M)) == len(found)
    for name, default in settings.DEFAULTS.items():
        if default:
            written = re.fullmatch(r"\.(?:Ql|Pa) (.*?) [.;]", found[name]).group(1)
            assert written == default, name


def test_readme_names_no_other_settings():
    named = set(re.findall(r"\b(?:DK[A-Z]+|DNSCACHEIP)\b", (CHECKOUT / "README").read_text()))
    assert named - {"DKIM"} <= set(settings.DEFAULTS)
    assert len(named) > 5


def verbs():
    """{verb: set of its options} of qmail-dk, without --help."""
    (action,) = [action for action in qmail_dk.parser()._actions
                 if isinstance(action, argparse._SubParsersAction)]
    return {name: {option for action in parser._actions for option in action.option_strings}
            - {"-h", "--help"} for name, parser in action.choices.items()}


def test_verbs_and_options():
    content = page("qmail-dk.8")
    synopsis = content.partition(".Sh SYNOPSIS\n")[2].partition(".Sh DESCRIPTION")[0]
    found = {}
    for name, rest in re.findall(r"^\.Cm ([a-z ]+)\n(.*?)(?=^\.Nm|\Z)", synopsis, re.M | re.S):
        found.setdefault(name, set()).update(
            "--" + option for option in re.findall(r"Fl Fl ([a-z]+)", rest))
    assert found == verbs()
    described = content.partition(".Sh DESCRIPTION\n")[2].partition(".Sh FILES")[0]
    items = re.split(r"^\.It Cm ([a-z ]+)\n", described, flags=re.M)[1:]
    assert dict.fromkeys(items[::2]) == dict.fromkeys(verbs())
    for name, item in zip(items[::2], items[1::2]):
        for option in verbs()[name] - {"--sender"}:
            assert f"Fl Fl {option[2:]}" in item, (name, option)


def test_verbs_and_options_of_install():
    usage = subprocess.run([CHECKOUT / "install.sh", "help"], capture_output=True, text=True,
                           check=True).stdout
    offered = re.findall(r"^  (--[a-z-]+|[a-z]+)(?: [A-Z]+)?(?:  |$)", usage, re.M)
    content = text("installing").partition("\nVerbs\n")[2].partition("\nThe options of an")[0]
    described = re.findall(r"^  (--[a-z-]+|[a-z]+)(?: [A-Z]+)?  ", content, re.M)
    assert sorted(described) == sorted(offered)
    assert "install" in described and "--dry-run" in described


def test_ways_to_run_the_verifier():
    named = re.findall(r"^\.It Fl Fl (\w+)$", page("qmail-dk-verify.8"), re.M)
    assert ["--" + name for name in named] == [queue.QUEUE, queue.FILTER]


def test_exit_codes_of_the_verifier():
    content = page("qmail-dk-verify.8").partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    assert {int(code) for code in re.findall(r"^\.It (\d+)$", content, re.M)} == {
        *queue.VERDICTS, queue.REASON_GIVEN, qmail_qfilter_verify.BUG,
        *qmail_qfilter_verify.EXIT_CODES.values()}


def test_letters():
    """Those of the man page, of doc/verifying and of the code are the same."""
    in_page = dict(re.findall(r'^\.It ([A-Z]) Ta "?([a-z ]+?)"? Ta', page("qmail-dk-verify.8"),
                              re.M))
    in_text = dict(re.findall(r"^  ([A-K])  ([a-z ]+?)(?:  |$)", text("verifying"), re.M))
    assert in_page == in_text == letters.STATUS_WORDS
    assert "".join(in_page) == settings.LETTERS


def figure(content):
    """The memory that a page allows qmail-smtpd, in bytes."""
    (found,) = set(re.findall(r"softlimit -m (\d{6,})", content))
    return int(found)


def test_memory_of_the_resident_programs():
    """README has the sums of doc/high-volume."""
    measured = " ".join(text("high-volume").split())
    usual = re.search(r"(\d+) MiB for the resident signer .* (\d+) MiB for the verifier", measured)
    most = re.search(r"brought the two to (\d+) and (\d+) MiB", measured)
    said = re.search(r"take some (\d+) MiB of memory, (\d+) if",
                     " ".join((CHECKOUT / "README").read_text().split()))
    assert [sum(map(int, found.groups())) for found in (usual, most)] == list(
        map(int, said.groups()))


def test_memory(tmp_path):
    """What the pages allow is enough, also for the largest header that is looked at."""
    allowed = figure(text("verifying"))
    for other in (page("qmail-dk-verify.8"), (CHECKOUT / "README").read_text(),
                  (CHECKOUT / "install" / "report.sh").read_text()):
        assert figure(other) == allowed
    many = b"".join(b"X-%d: x\n" % number for number in range(85_000))
    host = queue_driver.Host(tmp_path)
    host.prefix = ["/bin/sh", "-c", f'ulimit -v {allowed // 1024} && exec "$@"', "sh"]
    with dns_server.DnsServer({verifying.NAME: [verifying.golden_rsa().record()]}) as server:
        host.environment.update(DKVERIFY="DEGIJKfh", DNSCACHEIP=server.address, DKSERVER="no")
        for body in (b"", b"A line of a large message.\n" * 40_000):
            message = verifying.dkim_signed(many + verifying.MESSAGE + body)
            assert message.index(b"\n\n") > 900_000
            outcome = host.smtpd(message)
            assert (outcome.code, outcome.reason) == (0, b""), outcome.log
            assert b"accepted: good (A)" in outcome.log


def test_most_memory(tmp_path):
    """A header of the most fields with ten signatures takes no more than the page says.

    That is more than a small message takes, whatever this machine's Python takes for that.
    """
    small, most, free_threaded = (
        int(re.search(rf"{what} +(\d+) MB", text("verifying"))[1])
        for what in ("a private environment, any of these", "ten signatures over these",
                     "free-threaded"))
    fields = b"X:\n" * 345_000 + verifying.MESSAGE
    signature = verifying.domainkeys_signed(fields, h="from" + ":x" * 400)[:-len(fields)]
    host = queue_driver.Host(tmp_path)
    host.prefix = [sys.executable, "-IS", "-c", MEASURED, str(tmp_path / "most")]
    taken = []
    with dns_server.DnsServer({verifying.NAME: [verifying.golden_rsa().record()]}) as server:
        host.environment.update(DKVERIFY="DEGIJKfh", DNSCACHEIP=server.address, DKSERVER="no")
        for message in (verifying.MESSAGE, fields):
            outcome = host.smtpd(signature * 10 + message)
            assert outcome.code == 0 and outcome.log.count(b"domainkeys=") == 10, outcome
            taken.append(int((tmp_path / "most").read_text()) / 1024)
    assert b"good (A)" in outcome.log
    if sysconfig.get_config_var("Py_GIL_DISABLED"):     # whose objects are larger
        assert taken[1] < free_threaded
    else:
        assert taken[1] - taken[0] < most - small


@pytest.mark.parametrize("line", [b" x\n", b"\r\n", b"x\n", b"\rx", b"xxx"], ids=repr)
def test_memory_for_a_header_that_is_too_long(tmp_path, line):
    """What the pages allow is enough, whatever a header of 8 MB is made of."""
    host = queue_driver.Host(tmp_path)
    host.prefix = ["/bin/sh", "-c", f'ulimit -v {figure(text("verifying")) // 1024} && exec "$@"',
                   "sh"]
    host.environment.update(DKVERIFY="-", DKSERVER="no")
    message = b"From: a@example.com\nX: " + line * (8_000_000 // len(line)) + b"\n\nbody\n"
    outcome = host.smtpd(message)
    assert outcome.code == 0, outcome.log
    assert outcome.queued["message"].endswith(b"DomainKey-Status: bad format\n" + message)


def test_rules():
    """tcpserver's rules in doc/verifying do what they say."""
    if not shutil.which("tcprulescheck"):
        pytest.skip("ucspi-tcp is not installed")
    rules = "".join(line.strip() + "\n" for line in text("verifying").split("\n")
                    if re.match(r"  [\d.]*:allow,", line))
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["tcprules", f"{directory}/cdb", f"{directory}/tmp"], input=rules, text=True,
                       check=True)
        environment = {}
        for address in ("192.0.2.7", "198.51.100.7"):
            said = subprocess.run(["tcprulescheck", f"{directory}/cdb"], check=True, text=True,
                                  capture_output=True, env={"TCPREMOTEIP": address,
                                                            "PATH": os.environ["PATH"]}).stdout
            environment[address] = re.findall(r"^set environment variable (.*)$", said, re.M)
    assert environment == {"192.0.2.7": ["RELAYCLIENT="], "198.51.100.7": ["DKVERIFY=DEGIJKfh"]}


def test_blank_behind_a_comma(tmp_path):
    """As doc/verifying warns: no complaint, and no DKVERIFY."""
    if not shutil.which("tcprulescheck"):
        pytest.skip("ucspi-tcp is not installed")
    subprocess.run(["tcprules", tmp_path / "cdb", tmp_path / "tmp"], check=True,
                   input=b':allow,RELAYCLIENT="", DKVERIFY="-"\n')
    said = subprocess.run(["tcprulescheck", tmp_path / "cdb"], check=True, text=True,
                          capture_output=True).stdout
    assert "set environment variable  DKVERIFY=-\n" in said
    assert "variable DKVERIFY" not in said


def test_quotes_in_rules_of_ipsvd():
    """They get into the value, and mail waits; without them it is taken."""
    value = re.search(r"^  \+DKVERIFY=(.*)$", text("verifying"), re.M)[1]
    assert settings.Settings({"DKVERIFY": value}).letters() == value
    with pytest.raises(errors.SettingTrouble):
        settings.Settings({"DKVERIFY": f'"{value}"'}).letters()


def test_pattern_for_multilog(tmp_path):
    """The command of doc/log takes the refusals, also where the line goes on for long."""
    if not shutil.which("multilog"):
        pytest.skip("daemontools is not installed")
    start = "qmail-qfilter-verify: qp 4711 "
    refused = [f"{start}rejected: bad (B); dkim=fail d=example.com",
               f"{start}rejected: no key (D); " + "dkim=permerror d=example.com; " * 60]
    others = [f"{start}accepted: bad (B); dkim=fail (it was rejected: no)",
              f"{start}deferred: no key (F)", "tcpserver: status: 1/40",
              "qmail-qfilter-verify: deferred: SettingTrouble: unable"]
    command = re.search(r"^  (multilog t .*)$", text("log"), re.M)[1]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, text=True,
                   input="".join(line + "\n" for line in others + refused + others))
    found = (tmp_path / "refused" / "current").read_text().splitlines()
    assert [line.partition(" ")[2] for line in found] == refused
    assert len((tmp_path / "main" / "current").read_text().splitlines()) == 10


def test_multilog_looks_at_1000_bytes(tmp_path):
    if not shutil.which("multilog"):
        pytest.skip("daemontools is not installed")
    lines = ["x" * length + "END" for length in (996, 1000)]
    subprocess.run(["multilog", "-*", "+*END", "./found"], cwd=tmp_path, check=True, text=True,
                   input="\n".join(lines) + "\n")
    assert (tmp_path / "found" / "current").read_text() == lines[0] + "\n"


def test_recommended_letters():
    """Each is a value that is taken."""
    found = re.findall(r'DKVERIFY="(.*?)"', text("verifying"))
    assert {"-", "f", "DEGIJKfh"} == set(found)
    for value in found:
        assert settings.Settings({"DKVERIFY": value}).letters() == value


def test_words_of_the_log():
    content = text("log")
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert set(re.findall(r"^  (\w+Trouble) ", content, re.M)) == kinds - {
        "Trouble", "PublishTrouble", "RequestTrouble"}      # the latter two are qmail-dk's
    for status in ("none", "pass", "fail", "policy", "neutral", "permerror", "temperror"):
        assert re.search(rf"^  {status} +\w", content, re.M), status
    for word in letters.STATUS_WORDS.values():
        assert word in content or word == "no resources"


def zone_lines(name):
    """-> (records for BIND, records for tinydns) in a page of doc/: lists of lines."""
    lines = re.sub(r" \(\s*(\".*\")\s*\n\s+(\".*\") \)", r" \1 \2", text(name)).split("\n")
    return ([line.strip() for line in lines if re.match(r"  \S+\. 3600 IN ", line)],
            [line.strip() for line in lines if re.match(r"  ['C][^ ]+:", line)])


@pytest.mark.parametrize("name", ["dns", "many-domains", "changing-keys"])
def test_zone_data(name, tmp_path):
    """Both forms say the same, and name servers load them."""
    bind, tinydns = zone_lines(name)
    assert len(bind) == len(tinydns) > 0
    by_name = dict.fromkeys(line.split()[0] for line in bind)
    for line, other in zip(bind, tinydns):
        # A zone of one record: a page may show two states of a name.
        parsed = dns.zone.from_text(f"@ 3600 IN SOA a. b. 1 1 1 1 1\n@ IN NS a.\n{line}\n",
                                    origin=".", relativize=False)
        (record,) = [(str(owner), data) for owner, _, data in parsed.iterate_rdatas()
                     if data.rdtype.name in ("TXT", "CNAME")]
        kind, owner, value = re.match(r"(.)([^:]+):([^:]*):3600$", other).groups()
        value = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), value)
        assert owner + "." == record[0]
        if kind == "C":
            assert value + "." == str(record[1].target)
        else:
            assert shortened(value) == shortened(b"".join(record[1].strings).decode())
    assert by_name
    if shutil.which("tinydns-data"):
        (tmp_path / "data").write_text("\n".join(tinydns) + "\n")
        subprocess.run(["tinydns-data"], cwd=tmp_path, check=True)
    if shutil.which("named-checkzone"):
        (tmp_path / "zone").write_text("\n".join(
            ["@ 3600 IN SOA ns.test. root.test. 1 1 1 1 1", "@ 3600 IN NS ns.test.",
             "ns.test. 3600 IN A 127.0.0.1", *bind]) + "\n")
        subprocess.run(["named-checkzone", ".", tmp_path / "zone"], check=True,
                       stdout=subprocess.DEVNULL)


def shortened(value):
    """A key record without its key, of which the pages show parts."""
    return re.sub(r"p=MII.*", "p=", value)
