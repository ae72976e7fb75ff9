# SPDX-License-Identifier: MIT
"""The man pages and doc/: held against the code, and what they tell one to do is done."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import dns.zone
import pytest

import qmail_qfilter_verify
from lib import errors, qmail_dk, queueing, results, settings
from tests import dns_server, judges, queue_driver, signing, verifying

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted((CHECKOUT / "man").glob("*.[1-8]"))
TEXTS = sorted((CHECKOUT / "doc").iterdir())


def page(name):
    return (CHECKOUT / "man" / name).read_text()


def text(name):
    return (CHECKOUT / "doc" / name).read_text()


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
    found = dict(re.findall(r"^\.It Ev (\w+)\n(?:Signer|Verifier)\.\nDefault:\s(.*)$", table,
                            re.M))
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
    for name, rest in re.findall(r"^\.Cm (\w+)\n(.*?)(?=^\.Nm|\Z)", synopsis, re.M | re.S):
        found.setdefault(name, set()).update(
            "--" + option for option in re.findall(r"Fl Fl ([a-z]+)", rest))
    assert found == verbs()
    described = content.partition(".Sh DESCRIPTION\n")[2].partition(".Sh FILES")[0]
    items = re.split(r"^\.It Cm (\w+)\n", described, flags=re.M)[1:]
    assert dict.fromkeys(items[::2]) == dict.fromkeys(verbs())
    for name, item in zip(items[::2], items[1::2]):
        for option in verbs()[name] - {"--sender"}:
            assert f"Fl Fl {option[2:]}" in item, (name, option)


def test_verbs_and_options_of_install():
    usage = subprocess.run([CHECKOUT / "install.sh", "help"], capture_output=True, text=True,
                           check=True).stdout
    offered = re.findall(r"^  (--[a-z-]+|[a-z]+)(?: [A-Z]+)?(?:  |$)", usage, re.M)
    content = text("installing").partition("\nVerbs\n")[2].partition("\nWhat an installation")[0]
    described = re.findall(r"^  (--[a-z-]+|[a-z]+)(?: [A-Z]+)?  ", content, re.M)
    assert sorted(described) == sorted(offered)
    assert "install" in described and "--dry-run" in described


def test_ways_to_run_the_verifier():
    named = re.findall(r"^\.It Fl Fl (\w+)$", page("qmail-dk-verify.8"), re.M)
    assert ["--" + name for name in named] == [queueing.QUEUE, queueing.FILTER]


def test_exit_codes_of_the_verifier():
    content = page("qmail-dk-verify.8").partition(".Sh EXIT STATUS")[2].partition(".Sh")[0]
    assert {int(code) for code in re.findall(r"^\.It (\d+)$", content, re.M)} == {
        *queueing.VERDICTS, queueing.REASON_GIVEN, qmail_qfilter_verify.BUG,
        *qmail_qfilter_verify.EXIT_CODES.values()}


def test_letters():
    """Those of the man page, of doc/verifying and of the code are the same."""
    in_page = dict(re.findall(r'^\.It ([A-Z]) Ta "?([a-z ]+?)"? Ta', page("qmail-dk-verify.8"),
                              re.M))
    in_text = dict(re.findall(r"^  ([A-K])  ([a-z ]+?)(?:  |$)", text("verifying"), re.M))
    assert in_page == in_text == results.STATUS_WORDS
    assert "".join(in_page) == settings.LETTERS


def figure(content):
    """The memory that a page allows qmail-smtpd, in bytes."""
    (found,) = set(re.findall(r"softlimit -m (\d{6,})", content))
    return int(found)


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
        "Trouble", "RequestTrouble"}     # the latter is qmail-dk's
    for status in ("none", "pass", "fail", "policy", "neutral", "permerror", "temperror"):
        assert re.search(rf"^  {status} +\w", content, re.M), status
    for word in results.STATUS_WORDS.values():
        assert word in content or word == "no resources"


def zone_lines(name):
    """-> (records for BIND, records for tinydns) in a page of doc/: lists of lines."""
    lines = re.sub(r" \(\s*(\".*\")\s*\n\s+(\".*\") \)", r" \1 \2", text(name)).split("\n")
    return ([line.strip() for line in lines if re.match(r"  \S+\. 3600 IN ", line)],
            [line.strip() for line in lines if re.match(r"  ['C][^ ]+:", line)])


@pytest.mark.parametrize("name", ["dns", "many-domains"])
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


def sections():
    """{title: text} of doc/coming-from."""
    parts = re.split(r"^(.+)\n-+\n", text("coming-from"), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2]))


KEY, OTHER_KEY = signing.key("rsa.pem"), signing.key("ed25519.pem")
ETC, CONTROL = "/etc/domainkeys/example.com", "/var/qmail/control/domainkeys/example.com"
KYLE, COPIES = "Kyle Wheeler's scripts", 'Copies of them with a file "selector"'
NELSON, PERL = "Russ Nelson's qmail-dk", "qmailtoaster's and better-qmail-remote's Perl wrappers"
QMAIL_DKIM = "sagredo's qmail, indimail: qmail-dkim"

# What the older tool left: {path: content, or "-> target"}; which of the section's
# lists of commands is run, or None; which of its values of control/dksign is set;
# the domain that signs, and its selectors, as they are in the DNS.
OLDER_TOOLS = {
    "Kyle Wheeler": (KYLE, {f"{ETC}/default": KEY}, None, 0, "example.com", ["default"]),
    "Kyle Wheeler, selector in the script": (
        KYLE, {f"{ETC}/default": KEY}, 0, 0, "example.com", ["s1"]),
    "selector file": (
        COPIES, {f"{ETC}/selector": b"s2014\n", f"{ETC}/rsa.private_s2014": KEY,
                 f"{ETC}/default": f"-> {ETC}/rsa.private_s2014"}, 0, 0, "example.com", ["s2014"]),
    "selector file, default": (
        COPIES, {f"{ETC}/selector": b"default\n", f"{ETC}/rsa.private_default": KEY,
                 f"{ETC}/default": "-> rsa.private_default"}, 0, 0, "example.com", ["default"]),
    "file named by the domain": (
        "Keys named by the domain", {CONTROL: KEY}, 0, 0, "example.com", ["s1"]),
    "qmail-dk": (NELSON, {f"{CONTROL}/private": KEY}, None, 0, "example.com", ["private"]),
    "qmail-dk, link": (NELSON, {f"{CONTROL}/2005": KEY, f"{CONTROL}/private": "-> 2005"}, 0, 0,
                       "example.com", ["private"]),
    "qmailtoaster": (PERL, {"/var/qmail/control/dkim/example.com.key": KEY}, 0, 0,
                     "example.com", ["dkim1"]),
    "better-qmail-remote": (PERL, {"/var/qmail/control/dkim/global.key": KEY}, 1, 0,
                            "example.org", ["global"]),
    "qmail-dkim": (QMAIL_DKIM, {f"{CONTROL}/default": KEY, f"{CONTROL}/default.pub": b"x"}, None,
                   0, "example.com", ["default"]),
    "qmail-dkim, link": (
        QMAIL_DKIM, {f"{CONTROL}/rsa.private_default": KEY,
                     f"{CONTROL}/default": f"-> {CONTROL}/rsa.private_default"}, 0, 0,
        "example.com", ["default"]),
    "qmail-dkim, two keys": (
        QMAIL_DKIM, {f"{CONTROL}/default": KEY, f"{CONTROL}/ed25519": OTHER_KEY}, None, 1,
        "example.com", ["default", "ed25519"]),
    "qmail-dkim, dkimkeys": (QMAIL_DKIM, {"/var/qmail/control/keys/s1": KEY}, 1, 2,
                             "example.com", ["s1"]),
}


class OlderHost:
    """A scratch tree with what an older tool left; paths in it begin with root."""

    def __init__(self, root, files):
        self.root = str(root)
        for name, content in files.items():
            path = pathlib.Path(self.root + name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(self.rooted(content.partition("-> ")[2]))
            else:
                path.write_bytes(content)

    def rooted(self, words):
        return re.sub(r"/(?=etc/|var/qmail/)", self.root + "/", words)

    def signatures(self, dksign, domain):
        """-> (the signed message, [(d=, s=)] of its signatures)."""
        value = settings.DEFAULTS["DKSIGN"] if dksign == "none" else dksign
        os.makedirs(self.root + "/signer", exist_ok=True)
        signer = signing.Signer(self.root + "/signer", (), DKSIGN=self.rooted(value))
        signed = signer.sign(f"From: joe@{domain}\nSubject: x\n\nx\n".encode(), f"joe@{domain}")
        return signed, [(signing.tags(field)["d"], signing.tags(field)["s"])
                        for name, field in signing.fields(signed) if name.endswith("-Signature")]


@pytest.mark.parametrize("name", OLDER_TOOLS)
def test_coming_from(name, tmp_path):
    """With the steps and the DKSIGN of the page, keys sign as their records in the DNS say."""
    title, files, block, value, domain, selectors = OLDER_TOOLS[name]
    section = sections()[title]
    dksign = re.findall(r"^  control/dksign: ([^\s,]+)", section, re.M)[value]
    promised = " ".join(re.findall(r"^  selector: (.*)$", section, re.M))
    assert set(selectors) <= set(promised.replace(",", "").split()) or "the file" in promised
    host = OlderHost(tmp_path, files)
    if block is not None:
        lists = re.findall(r"^Keys:\n((?:  .*\n)+)", section, re.M)
        subprocess.run(["/bin/sh", "-eu"], input=host.rooted(lists[block]).encode(), check=True)
    signed, found = host.signatures(dksign, domain)
    # Ed25519 has no DomainKeys signature, so the first selector comes last again.
    assert found == [(domain, selector) for selector in selectors + selectors[:1]]
    records = {f"{selector}._domainkey.{domain}": signing.record(key) for selector, key in
               zip(selectors, (KEY, OTHER_KEY))}
    verdicts = judges.dkimpy(signed.replace(b"\n", b"\r\n"), records)
    assert [verdict.selector for verdict in verdicts] == selectors
    assert {verdict.result for verdict in verdicts} <= {"pass", "unsupported"}


def test_permissions_of_coming_from(tmp_path):
    """Keys that are links to a file of another tool's: qmailr can read it, and nobody else."""
    if os.geteuid() != 0:
        pytest.skip("needs to be root")
    host = OlderHost(tmp_path, {"/var/qmail/control/dkim/global.key": KEY,
                                f"{ETC}/dkim1": "-> /var/qmail/control/dkim/global.key",
                                f"{ETC}/default": "-> dkim1"})
    key = pathlib.Path(host.rooted("/var/qmail/control/dkim/global.key"))
    key.chmod(0o604)
    os.chown(key, 65534, 0)
    commands = re.findall(r"^  (?:chown|chmod) .*$", text("coming-from").partition("=\n")[2], re.M)
    script = host.rooted("\n".join(commands)).replace(":qmail", ":65534")
    subprocess.run(["/bin/sh", "-eu"], input=script.encode(), check=True)
    for path, mode in ((key, 0o640), (pathlib.Path(host.rooted(ETC)), 0o750)):
        state = path.stat()
        assert (state.st_uid, state.st_gid, state.st_mode & 0o7777) == (0, 65534, mode)


@pytest.mark.parametrize("name", [name for name, row in OLDER_TOOLS.items()
                                  if row[2] is not None])
def test_coming_from_needs_its_steps(name, tmp_path):
    """Without them, the selector is another than the one in the DNS, or nothing is signed."""
    title, files, _, value, domain, selectors = OLDER_TOOLS[name]
    dksign = re.findall(r"^  control/dksign: ([^\s,]+)", sections()[title], re.M)[value]
    _, found = OlderHost(tmp_path, files).signatures(dksign, domain)
    assert (domain, selectors[0]) not in found


def test_each_step_of_coming_from_is_tried():
    """No list of commands and no value of the page is left out of the table above."""
    for title, section in sections().items():
        tried = [row for row in OLDER_TOOLS.values() if row[0] == title]
        assert {row[2] for row in tried} - {None} == set(range(section.count("Keys:\n"))), title
        assert {row[3] for row in tried} == set(range(section.count("control/dksign: "))), title
