# SPDX-License-Identifier: MIT
"""The options of the verbs that make, print and change keys."""

from . import check_keys, key_places, key_verbs, many, records


def add(verb):
    """Adds these verbs.  verb: function that adds one, and returns its argparse parser"""
    making = verb(key_verbs.keygen)
    domains(making, "+")
    key_options(making)
    form_options(making)
    making.add_argument("--test", action="store_true", help="a record with t=y")
    printing = verb(key_verbs.dns)
    domains(printing, "+")
    printing.add_argument("--test", action="store_true", help="records with t=y")
    printing.add_argument("--only", choices=[*key_verbs.KEYS, key_verbs.POLICY],
                          help="one kind of them; default: all, also those that are in the DNS")
    form_options(printing)
    rotating = verb(key_verbs.rotate)
    domains(rotating, "*")
    key_options(rotating)
    form_options(rotating)
    step = rotating.add_mutually_exclusive_group()
    step.add_argument("--activate", action="store_true", help="makes the next key sign")
    step.add_argument("--retire", action="store_true", help="says what to withdraw, and when")
    step.add_argument("--due", action="store_true",
                      help="takes each step whose time has come, for all domains or those named")
    step.add_argument("--all", action="store_true", help="makes the next keys of all domains")
    rotating.add_argument("--force", action="store_true", help="activates without asking the DNS")
    domains(verb(key_verbs.remove), "+")


def domains(added, number):
    added.add_argument("domains", nargs=number, metavar="domain",
                       help=f"{many.LIST}: those on standard input, one on each line")


def key_options(added):
    added.add_argument("--selector", help="its name; default: one with today's date")
    added.add_argument("--type", choices=key_places.PREFIXES, default="rsa",
                       help="default: rsa; ed25519 only beside it")
    added.add_argument("--bits", type=int, help=f"of RSA; default: {check_keys.ADVISED_BITS}")
    added.add_argument("--group", help=f"that may read it; default: {key_places.GROUP}")


def form_options(added):
    for form, (title, _, _) in records.FORMS.items():
        added.add_argument("--" + form, action="store_true",
                           help=f"records for {title} only, to be added to its data")
