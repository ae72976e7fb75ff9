# SPDX-License-Identifier: MIT
"""SPF records and what comes of them, for the tests and the fuzzer."""

# term -> whether a record may have it.  The openspf suite has the usual ones.
TERMS = [
    ("a:%{d0}.example.com", False),             # RFC 7208 section 7.3: not zero
    ("a:%{d00}.example.com", False),
    ("a:%{d01}.example.com", True),
    ("a:%{d128}.example.com", True),
    ("a:%{d99999999999999999999}.example.com", True),
    ("a:%{D2R-+,/_=.}.example.com", True),      # section 12: letters of any case
    ("a:%{d2x}.example.com", False),
    ("a:%{d-r}.example.com", False),
    ("a:%{d!}.example.com", False),
    ("a:%{}.example.com", False),
    ("a:%{d", False),
    ("a:%", False),
    ("a:%d.example.com", False),
    ("a:example.com%%", True),                  # section 7.1: %% is a macro-expand
    ("a:example.com%-", True),
    ("a:%{d}.", False),
    ("a:%{d}..com", True),
    ("a:.com", True),
    ("a:x.a-b", True),
    ("a:x.1-2", True),
    ("a:x.a-", False),
    ("a:x.a_b", False),
    ("a:x.com..", False),
    ("a:" + "x" * 251 + ".com", True),
    ("a:" + "x" * 252 + ".com", False),         # a limit of ours
    ("a:%{d/}//64", True),
    ("a:%{d}/24//64", True),
    ("a:x/24.com", True),
    ("a:x.com/24/64", False),
    ("a:x.com//64/24", False),
    ("a///64", False),
    ("a//", False),
    ("a/", False),
    ("a/1000", False),
    ("a/" + "1" * 5000, False),                 # more digits than int() takes
    ("x=%{d" + "1" * 5000 + "}", True),
    ("a/24:x.com", False),
    ("A:X.COM/0//0", True),
    ("ip4:192.0.2.1/", False),
    ("ip4:192.0.2.01", False),
    ("ip4:192.0.2", False),
    ("ip4:", False),
    ("ip4/24", False),
    ("ip6:fe80::1%eth0", False),
    ("ip6:::ffff:192.0.2.1/128", True),
    ("ip6:::192.0.2.01", False),
    ("ip6:2001:db8::/00", False),
    ("ip6:192.0.2.1", False),
    ("ip4:2001:db8::1", False),
    ("redirect=example.com", True),
    ("redirect=example.com redirect=example.com", False),
    ("exp=example.com REDIRECT=example.com Exp=example.com", False),
    ("exp=%{c}.example.com", False),            # section 7.2: only in the text itself
    ("x=%{c}%{r}%{t}", True),                   # section 6: the grammar allows it
    ("x=", True),
    ("x=1 x=1 x=2", True),                      # section 6: however often
    ("x=%{z}", False),
    ("+x=1", False),
    ("x:y=1", False),
    ("-", False),
    ("all=", True),                             # a modifier
    ("all:example.com", False),
    ("++all", False),
    ("a:\x00.com", False),
    ("a:\x7f.com", False),
    ("a\tmx", False),
    ("a:b\u00fccher.example", False),
]

# The examples of RFC 7208 section 7.4: macro string -> its expansion there, for this sender.
SENDER = b"strong-bad@email.example.com"
EXAMPLES_FOR = "192.0.2.3"
EXAMPLES = [
    ("%{s}", "strong-bad@email.example.com"),
    ("%{o}", "email.example.com"),
    ("%{d}", "email.example.com"),
    ("%{d4}", "email.example.com"),
    ("%{d3}", "email.example.com"),
    ("%{d2}", "example.com"),
    ("%{d1}", "com"),
    ("%{dr}", "com.example.email"),
    ("%{d2r}", "example.email"),
    ("%{l}", "strong-bad"),
    ("%{l-}", "strong.bad"),
    ("%{lr}", "strong-bad"),
    ("%{lr-}", "bad.strong"),
    ("%{l1r-}", "strong"),
    ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
    ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
    ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
    ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
    ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
]
EXAMPLE_OF_IP6 = ("2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
                  "1.0.b.c." + "0." * 20 + "8.b.d.0.1.0.0.2.ip6._spf.example.com")

# What costs more than it looks, for one record each.
HOSTILE = {
    "many terms": "a " * 8000,
    "many prefixes": "a/1 " * 4000,
    "many networks": "ip6:::1 " * 2000,
    "many modifiers": "x=%{l} " * 2300,
    "a long modifier": "x=" + "%{l}" * 4000,
    "macros that expand to nothing": ("exists:" + "%{l1r-}" * 36 + " ") * 60,
    "macros that are escaped": ("exists:" + "%{L}" * 62 + " ") * 60,
    "an include of itself": "x=y " * 300 + "include:%{o}",
    "a redirection to itself": "x=y " * 300 + "redirect=%{o}",
}
