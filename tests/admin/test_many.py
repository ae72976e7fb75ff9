# SPDX-License-Identifier: MIT
"""keygen, dns and rotate take many domains, from the command line or a list."""

import pytest

from tests.support.administrator import GROUP, Administrator, records

DOMAINS = ["example.com", "example.net", "example.org"]


@pytest.fixture
def admin(tmp_path):
    return Administrator(tmp_path)


def test_a_list(admin):
    """Blank lines, comments and CRs do no harm; a name on the command line goes with it."""
    listed = "# ours\r\nexample.com\r\n\n  EXAMPLE.net. \n"
    output = admin.succeed("keygen", "-", "example.org", "--selector", "s1", "--group", GROUP,
                           stdin=listed.encode())
    names = [name for domain in DOMAINS
             for name in (f"s1._domainkey.{domain}", f"_domainkey.{domain}")]
    assert list(records(output)) == names
    assert list(records(admin.succeed("dns", "-", stdin="\n".join(DOMAINS).encode()))) == names
    admin.succeed("rotate", *DOMAINS, "--activate", "--force")
    admin.succeed("rotate", "--all", "--selector", "s2", "--group", GROUP)
    admin.succeed("rotate", "--activate", "--force", "-", stdin="\n".join(DOMAINS).encode())
    assert admin.succeed("rotate", "--retire", *DOMAINS).count("s1 was replaced on") == 3


# Arguments -> (exit code, the domain that fails, and what is said of it); the others succeed.
ONE_FAILS = {
    "no domain": (("keygen", "x", *DOMAINS), 100, "x: 'x' is not a domain name"),
    "no key": (("dns", "example.com", "other.example"), 100, "other.example: other.example has no"),
    "a key": (("keygen", "has.example", "example.com"), 100, "has.example: "),
    "waits": (("rotate", "waits.example", "has.example"), 100, "waits.example: "),
    "no file": (("dns", "broken.example", "has.example"), 111, "broken.example: "),
}


@pytest.mark.parametrize("name", ONE_FAILS)
def test_one_that_fails_does_not_stop_the_others(admin, name):
    arguments, code, words = ONE_FAILS[name]
    for domain in "has.example", "waits.example":
        admin.keygen("s1", domain=domain)
    admin.make_key("s1", domain="example.com") if arguments[0] == "dns" else None
    admin.succeed("rotate", "waits.example", "--selector", "s2", "--group", GROUP)
    (admin.keys / "broken.example").mkdir()
    (admin.keys / "broken.example" / "default").write_text("no key\n")
    options = ("--group", GROUP, "--selector", "s3") if arguments[0] != "dns" else ()
    done = admin.run(*arguments, *options)
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"qmail-dk: {words}")
    failing = words.partition(":")[0]
    for domain in set(arguments[1:]) - {failing}:
        assert [name for name in records(done.stdout) if name.endswith(f"._domainkey.{domain}")]


MISUSED = {
    "no domain": (("rotate",), "which domain?"),
    "an empty list": (("dns", "-"), "standard input names no domain"),
    "an empty list to rotate": (("rotate", "-"), "standard input names no domain"),
    "an empty list of due ones": (("rotate", "--due", "-"), "standard input names no domain"),
    "all and one": (("rotate", "--all", "example.com"), "name none"),
    "nobody": (("rotate", "--all"), "no domain has a key"),
    "all and due": (("rotate", "--all", "--due"), "not allowed with"),
    "a selector for all that is due": (("rotate", "--due", "--selector", "s2"), "chooses"),
    "a type that is due": (("rotate", "--due", "--type", "ed25519"), "chooses"),
    "a form of what is due": (("rotate", "--due", "--bind"), "are for making the next key"),
    "keygen": (("keygen",), "domain"), "remove": (("remove",), "domain"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_misused(admin, name):
    arguments, words = MISUSED[name]
    assert words in admin.refused(*arguments)
