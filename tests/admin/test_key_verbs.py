# SPDX-License-Identifier: MIT
"""qmail-dk keygen and dns: what lies on disk, what the DNS serves."""

import base64
import grp
import os
import re
import resource
import shutil
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization

from lib.admin import records as admin_records
from lib.crypto import openssl, package
from tests.support import judges, signing
from tests.support.administrator import DOMAIN, GROUP, Administrator, records

LABEL = "x" * 63
MESSAGE = b"From: joe@example.com\nSubject: test\n\nHello.\n"


@pytest.fixture
def admin(tmp_path):
    return Administrator(tmp_path)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def private_key(admin, selector="s1"):
    pem = (admin.keys / DOMAIN / selector).read_bytes()
    return serialization.load_pem_private_key(pem, None)


def test_keygen(admin):
    output = admin.succeed("keygen", "Example.COM", "--selector", "s1", "--group", GROUP)
    directory = admin.keys / DOMAIN
    assert sorted(os.listdir(directory)) == ["default.next", "s1"]
    assert os.readlink(directory / "default.next") == "s1"
    assert (mode(directory), mode(directory / "s1"), mode(admin.keys)) == (0o750, 0o640, 0o755)
    assert private_key(admin).key_size == 2048
    text = records(output)[f"s1._domainkey.{DOMAIN}"]
    assert text == "v=DKIM1; " + signing.record((directory / "s1").read_bytes())


def test_selector_has_the_date(admin):
    admin.succeed("keygen", DOMAIN, "--group", GROUP)
    assert re.fullmatch(r"s20\d{6}", os.readlink(admin.keys / DOMAIN / "default.next"))


def test_selector_of_the_pattern_needs_no_link(admin):
    """Its file would sign at once by its own name, so it gets that later."""
    output = admin.make_key("default")
    assert os.listdir(admin.keys / DOMAIN) == ["default.next"]
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    assert os.listdir(admin.keys / DOMAIN) == ["default"]
    assert not (admin.keys / DOMAIN / "default").is_symlink()
    assert list(records(output)) == [f"default._domainkey.{DOMAIN}", f"_domainkey.{DOMAIN}"]
    assert records(admin.succeed("dns", DOMAIN)) == records(output)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_never_open_to_others(admin, umask):
    """A key file has its mode and group before it has content, and then its name."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    log = admin.directory / "strace"
    admin.run("keygen", DOMAIN, "--selector", "s1", "--group", GROUP, umask=umask, command=[
        "strace", "-f", "-o", log, "-e",
        "trace=open,openat,mkdir,mkdirat,chown,fchown,?fchown32,chmod,fchmod,fchmodat,write,link,"
        "linkat,rename,prctl",
        # With a key in memory it lets nobody read that, not even an ordinary user's strace.
        "-e", "inject=prctl:retval=0"])
    calls = [line.partition(" ")[2].strip() for line in log.read_text().splitlines()]
    opened = next(i for i, call in enumerate(calls) if "O_TMPFILE" in call)
    assert calls[opened].partition(" = ")[0].endswith("O_TMPFILE, 0600)")
    fd = calls[opened].rpartition("= ")[2]
    of_key = [call for call in calls[opened + 1:]
              if f"({fd}," in call or call.startswith("link")]
    assert [re.match("[a-z]+", call).group() for call in of_key[:4]] == [
        "fchown", "fchmod", "write", "linkat"]
    assert "0640)" in of_key[1]
    directories(admin, calls[:opened])


def directories(admin, calls):
    """They are made under another name, and are complete when they get theirs."""
    for path, of_it in ((admin.keys, "0755)"), (admin.keys / DOMAIN, "0750)")):
        named = next(i for i, call in enumerate(calls)
                     if call.startswith("rename") and f', "{path}")' in call)
        other = calls[named].split('"')[1]
        made = next(i for i, call in enumerate(calls) if f'mkdir("{other}", 0700)' in call)
        kinds = [call.split("(")[0].replace("fchown32", "fchown") for call in calls[made:named]]
        assert kinds.index("fchown") < kinds.index("fchmod")
        assert of_it in calls[made + kinds.index("fchmod")]
    assert not [call for call in calls if "mkdir" in call and ".qmail-dk-new." not in call]


REFUSED = {
    "no domain": (["keygen", "example"], "is not a domain name"),
    "path in domain": (["keygen", "../../etc"], "is not a domain name"),
    "blank": (["keygen", "example.com "], "is not a domain name"),
    "long label": (["keygen", f"x{LABEL}.com"], "is not a domain name"),
    "international": (["keygen", "b\u00fccher.example"], "xn--"),
    "option": (["keygen", DOMAIN, "--bits"], "--bits"),
    "abbreviated": (["keygen", DOMAIN, "--sel", "x"], "--sel"),
    "path in selector": (["keygen", DOMAIN, "--selector", "../s1"], "is not a selector"),
    "empty label": (["keygen", DOMAIN, "--selector", "a..b"], "is not a selector"),
    "hidden": (["keygen", DOMAIN, "--selector", ".s1"], "is not a selector"),
    "long selector": (["keygen", DOMAIN, "--selector", "x" + LABEL], "is not a selector"),
    "as a link's": (["keygen", DOMAIN, "--selector", "default.former"], "ends as the links do"),
    "as the next link's": (["keygen", DOMAIN, "--selector", "default.next"], "ends as the links"),
    "as another's link": (["keygen", DOMAIN, "--selector", "S1.Former"], "ends as the links do"),
    "few bits": (["keygen", DOMAIN, "--bits", "512"], "512 bits"),
    "many bits": (["keygen", DOMAIN, "--bits", "65536"], "65536 bits"),
    "bits": (["keygen", DOMAIN, "--bits", "2k"], "2k"),
    "no bits": (["keygen", DOMAIN, "--bits", "0"], "0 bits"),
    "bits of Ed25519": (["keygen", DOMAIN, "--type", "ed25519", "--bits", "4096"],
                        "--bits is for RSA keys"),
    "bits of no new key": (["rotate", DOMAIN, "--activate", "--bits", "0"],
                           "are for making the next key"),
    "type": (["keygen", DOMAIN, "--type", "dsa"], "dsa"),
    "group": (["keygen", DOMAIN, "--group", "no-such-group"], "no group no-such-group"),
    "no key": (["dns", DOMAIN], "qmail-dk keygen"),
    "no verb": ([], "VERB"),
    "other verb": (["destroy"], "destroy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(admin, name):
    arguments, words = REFUSED[name]
    if arguments[:1] == ["keygen"] and "--group" not in arguments:
        arguments = arguments[:2] + ["--group", GROUP] + arguments[2:]
    assert words in admin.refused(*arguments)


def test_never_overwrites(admin):
    admin.keygen()
    line = admin.refused("keygen", DOMAIN, "--selector", "s2", "--group", GROUP)
    assert "default exists already" in line and "qmail-dk rotate" in line
    (admin.keys / DOMAIN / "default").unlink()
    (admin.keys / DOMAIN / "s1").chmod(0o600)
    assert "s1 exists already" in admin.refused("keygen", DOMAIN, "--selector", "s1",
                                                "--group", GROUP)
    (admin.keys / DOMAIN / "default").symlink_to("nowhere")
    assert "default exists already" in admin.refused("keygen", DOMAIN, "--group", GROUP)


def test_never_a_second_key_that_waits(admin):
    admin.make_key("s1")
    line = admin.refused("keygen", DOMAIN, "--selector", "s2", "--group", GROUP)
    assert "default.next exists already" in line
    assert f"qmail-dk rotate {DOMAIN} --activate makes it sign" in line
    (admin.keys / DOMAIN / "s1").unlink()
    line = admin.refused("keygen", DOMAIN, "--selector", "s2", "--group", GROUP)
    assert "default.next is a link to nothing; remedy: rm" in line


@pytest.mark.parametrize("pattern", ["/etc/key", "/%", "/etc/keys/%"])
def test_pattern_without_directory(admin, pattern):
    admin.environment["DKSIGN"] = pattern
    assert "directory of its own" in admin.refused("keygen", DOMAIN, "--group", GROUP)


def test_full_disk(admin):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    line = admin.refused("keygen", DOMAIN, "--selector", "s1", "--group", GROUP, preexec_fn=limit)
    assert "too large" in line


def test_ordinary_user(admin):
    """Without --group: only root can give keys to qmail's group."""
    if os.getuid() == 0:
        pytest.skip("needs not to be root")
    assert "only root" in admin.refused("keygen", DOMAIN)


def test_key_for_qmail(admin):
    """As root, without --group."""
    try:
        number = grp.getgrnam("qmail").gr_gid
    except KeyError:
        assert "group qmail" in admin.refused("keygen", DOMAIN)
        return
    if os.getuid() != 0:
        pytest.skip("needs to be root")
    admin.succeed("keygen", DOMAIN, "--selector", "s1")
    for path in (admin.keys / DOMAIN, admin.keys / DOMAIN / "s1"):
        state = path.stat()
        assert (state.st_uid, state.st_gid) == (0, number)


def test_ed25519_beside_rsa(admin):
    admin.make_key()
    admin.environment["DKSIGN"] += f":{admin.keys}/%/ed25519"
    output = admin.make_key("ed1", "--type", "ed25519")
    assert f"qmail-dk rotate {DOMAIN} --activate --type ed25519\n" in output
    assert "signs next" in admin.succeed("dns", DOMAIN)
    for algorithm in "rsa", "ed25519":
        admin.succeed("rotate", DOMAIN, "--activate", "--force", "--type", algorithm)
    assert "signs next" not in admin.succeed("dns", DOMAIN)
    raw = private_key(admin, "ed1").public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert records(output) == {     # the policy was printed with the first one
        f"ed1._domainkey.{DOMAIN}": "v=DKIM1; k=ed25519; p=" + base64.b64encode(raw).decode()}
    assert list(records(admin.succeed("dns", DOMAIN))) == [
        f"s1._domainkey.{DOMAIN}", f"ed1._domainkey.{DOMAIN}", f"_domainkey.{DOMAIN}"]


def test_dns_prints_what_keygen_printed(admin):
    made = records(admin.keygen())
    printed = records(admin.succeed("dns", "EXAMPLE.com."))
    assert printed == made and made[f"_domainkey.{DOMAIN}"] == "o=~"
    assert "t=y" not in str(made)
    assert "; t=y; p=" in str(records(admin.succeed("dns", DOMAIN, "--test")))


@pytest.mark.parametrize("backend", [openssl, package])
@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_backends_give_the_same_public_key(backend, algorithm):
    pem = backend.generate(algorithm, 1024).pem()
    expected = signing.record(pem).rpartition("p=")[2]
    public = backend.key_from_pem(pem).public_key()
    assert base64.b64encode(public).decode() == expected


def test_judges_accept_the_record(admin):
    """Also DomainKeys' verifiers, which know nothing of v=."""
    published = records(admin.keygen())
    signed = admin.run("sign", stdin=MESSAGE).stdout
    message = signed.encode().replace(b"\n", b"\r\n")
    for judge, verdicts in judges.verdicts(message, published).items():
        assert [v.result for v in verdicts] == ["pass"] * len(verdicts), judge
        if judge == "mail_dkim":
            assert [v.protocol for v in verdicts] == ["dkim", "domainkeys"]


ODD_TEXTS = {
    "plain": "v=DKIM1; k=rsa; p=MIIB",
    "special": 'colon:backslash\\quote"semicolon;(comment)$@',
    "octal?": "\\072\\134 :072",
    "controls": "\0\1\n\r\t\x7f",
    "8 bit": "\xe4\xf6\xff",
    "255 bytes": "a" * 255,
    "256 bytes": "a" * 256,
    "long": "".join(chr(65 + i % 26) for i in range(1000)),
    "only odd": ':\\"' * 200,
}


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_bind(name, tmp_path):
    text = ODD_TEXTS[name]
    line = admin_records.bind("s1._domainkey.example.com", text)
    assert named_checkzone(tmp_path, line) == {"s1._domainkey.example.com": text}


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_tinydns(name, tmp_path):
    text = ODD_TEXTS[name]
    line = admin_records.tinydns("s1._domainkey.example.com", text)
    assert tinydns(tmp_path, line, "s1._domainkey.example.com") == text


def test_both_servers_load_what_is_printed(admin, tmp_path):
    admin.keygen()
    expected = f"v=DKIM1; {signing.record((admin.keys / DOMAIN / 's1').read_bytes())}"
    output = admin.succeed("dns", DOMAIN)
    bind_part, _, tinydns_part = output.partition("# tinydns\n")
    names = {f"s1._domainkey.{DOMAIN}": expected, f"_domainkey.{DOMAIN}": "o=~"}
    assert named_checkzone(tmp_path, bind_part) == names
    for name, text in names.items():
        assert tinydns(tmp_path, tinydns_part, name) == text


@pytest.mark.parametrize("command", ["keygen", "rotate", "dns"])
def test_one_form_can_be_loaded_as_it_is(admin, tmp_path, command):
    """Its comments are that server's, and nothing of the other is there."""
    if command != "keygen":
        admin.keygen()
    if command == "dns":
        admin.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)
    arguments = {"keygen": ("--selector", "s2", "--group", GROUP), "dns": ("--only", "next"),
                 "rotate": ("--selector", "s2", "--group", GROUP)}[command]
    outputs = {}
    for form in "--bind", "--tinydns":
        outputs[form] = admin.succeed(command, DOMAIN, form, *arguments)
        if command != "dns":
            (admin.keys / DOMAIN / "default.next").unlink()     # it is taken up again
    expected = f"v=DKIM1; {signing.record((admin.keys / DOMAIN / 's2').read_bytes())}"
    policy = {f"_domainkey.{DOMAIN}": "o=~"} if command == "keygen" else {}
    assert named_checkzone(tmp_path, outputs["--bind"]) == {
        f"s2._domainkey.{DOMAIN}": expected, **policy}
    assert tinydns(tmp_path, outputs["--tinydns"], f"s2._domainkey.{DOMAIN}") == expected


def test_records_of_one_kind(admin):
    """What is in the DNS already need not be printed again."""
    admin.keygen()
    assert "that signs next" in admin.refused("dns", DOMAIN, "--only", "next")
    admin.succeed("rotate", DOMAIN, "--selector", "s2", "--group", GROUP)
    admin.succeed("rotate", DOMAIN, "--activate", "--force")
    admin.succeed("rotate", DOMAIN, "--selector", "s3", "--group", GROUP)
    names = {kind: list(records(admin.succeed("dns", DOMAIN, "--only", kind)))
             for kind in ("now", "next", "former", "policy")}
    assert names == {"now": [f"s2._domainkey.{DOMAIN}"], "next": [f"s3._domainkey.{DOMAIN}"],
                     "former": [f"s1._domainkey.{DOMAIN}"], "policy": [f"_domainkey.{DOMAIN}"]}


def test_no_record_twice(admin):
    """While an activation was interrupted, a key has two names."""
    admin.keygen()
    (admin.keys / DOMAIN / "default.former").symlink_to("s1")
    assert admin.succeed("dns", DOMAIN, "--tinydns").count("\n'") == 2


def named_checkzone(directory, lines):
    """The TXT records that BIND reads from zone file lines: {name: text}."""
    if not shutil.which("named-checkzone"):
        pytest.skip("needs the Debian package bind9-utils")
    zone = directory / "zone"
    zone.write_bytes(b"$TTL 60\n@ IN SOA ns.example.net. root.example.net. 1 1 1 1 1\n"
                     b"@ IN NS ns.example.net.\n" + lines.encode("ascii") + b"\n")
    output = subprocess.run(["named-checkzone", "-q", "-D", "-o", "-", "example.com", zone],
                            check=True, capture_output=True).stdout.decode("ascii")
    found = {}
    for line in output.splitlines():
        name, _, _, kind, data = line.split(None, 4)
        if kind == "TXT":
            strings = re.findall(r'"((?:[^"\\]|\\.)*)"', data)
            found[name.rstrip(".")] = re.sub(
                r"\\(\d{3}|.)", lambda m: chr(int(m[1])) if m[1].isdigit() else m[1],
                "".join(strings))
    return found


def tinydns(directory, lines, name):
    """The text that tinydns answers from data file lines."""
    program = "/usr/sbin/tinydns-data"
    if not os.path.exists(program) or not shutil.which("tinydns-get"):
        pytest.skip("needs the Debian package tinydns")
    (directory / "data").write_bytes(lines.encode("ascii") + b"\n.example.com:127.0.0.1:a\n")
    subprocess.run([program], cwd=directory, check=True)
    output = subprocess.run(["tinydns-get", "txt", name], cwd=directory, check=True,
                            capture_output=True).stdout.decode("ascii")
    (answer,) = [line for line in output.splitlines() if line.startswith("answer: ")]
    # Each string's length comes first; odd bytes are shown in octal.
    data = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)),
                  answer.split(" 16 ", 1)[1]).encode("latin-1")
    text = b""
    while data:
        text += data[1:1 + data[0]]
        data = data[1 + data[0]:]
    return text.decode("latin-1")
