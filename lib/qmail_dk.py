# SPDX-License-Identifier: MIT
"""qmail-dk, the administrator's command: keys, their records, and what is wrong.

Run as a script by the launcher.  The verbs are in lib/admin: verbs.py, key_verbs.py,
report_verbs.py, log_verb.py and reflect.py.
"""

import argparse
import os
import signal
import sys

if __name__ == "__main__":
    # Under -I, Python does not look for modules beside the script.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

try:
    from lib import __version__
    from lib.admin import log_verb, report_verbs
    from lib.admin.host import this_host
    from lib.errors import RequestTrouble, Trouble, is_damage
except Exception as error:      # a file is missing or damaged, as after half a restoration
    print(f"qmail-dk: {type(error).__name__}: {error}; remedy: run install.sh again",
          file=sys.stderr)
    sys.exit(111)       # TROUBLE

# Exit codes besides those of the verbs: qmail's own for "wrong" and "try again".
MISUSED = 100
TROUBLE = 111

# Verbs that need few modules, as arguments.
LIGHT = ["reports"], ["reports add"], ["log"]


class Parser(argparse.ArgumentParser):
    """Reports misuse in one line."""

    def error(self, message):
        self.exit(misused(), f"{self.prog}: {message}; {self.prog} --help shows the usage\n")


def seconds(text):
    """Returns a number of seconds as argparse wants it, which reports a ValueError."""
    if not 1 <= int(text) <= 86400:
        raise ValueError
    return int(text)


def parser(only_light=False):
    """Returns the argument parser with all verbs.

    only_light: whether it needs only the verbs about reports and logs: then the modules of
    the others, which take as long as these, are not imported
    """
    top = Parser(prog="qmail-dk", description=__doc__.partition("\n")[0], allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"qmail-dk {__version__}")
    # With prog, argparse need not format the usage now, for which it imports much.
    parsers = top.add_subparsers(metavar="VERB", required=True, prog=top.prog)

    def verb(function):
        summary = function.__doc__.partition("\n")[0]
        added = parsers.add_parser(function.__name__.replace("_", " "), help=summary,
                                   description=summary, allow_abbrev=False)
        added.set_defaults(verb=function)
        return added

    def light_verbs_with_options():
        report_options(verb(report_verbs.reports), verb(report_verbs.reports_add))
        log_options(verb(log_verb.log))

    if only_light:
        light_verbs_with_options()
        return top
    from lib.admin import key_options, verbs
    from lib.admin.reflect import reflect

    key_options.add(verb)
    check_options(verb(verbs.check))
    verb(verbs.sign).add_argument("--sender", default="", help="envelope sender")
    verify_options(verb(verbs.verify))
    reflect_options(verb(reflect))
    explaining = verb(verbs.why)
    explaining.add_argument("subject", metavar="domain|address|file", help="- is standard input")
    explaining.add_argument("--sender", default="", help="envelope sender")
    light_verbs_with_options()
    return top


def check_options(added):
    """Adds its options to the parser of check."""
    added.add_argument("domains", nargs="*", metavar="domain", help="default: all with a key")
    added.add_argument("--json", action="store_true")
    added.add_argument("--quiet", action="store_true",
                       help="only warn and FAIL, with their numbers; nothing if all is well")
    added.add_argument("--address", help="from which this host sends mail; default: that of "
                       "control/outgoingip, control/bindroutes or the default route")
    added.add_argument("--timeout", type=seconds, default=60, metavar="SECONDS",
                       help="for all questions to the DNS together; default: 60")
    added.add_argument("--smtpd", action="store_true", help="only the processes that receive mail")
    added.add_argument("--rspawn", action="store_true",
                       help="only the memory of the process that sends it")


def verify_options(added):
    """Adds its options to the parser of verify."""
    added.add_argument("--client", metavar="ADDRESS",
                       help="IP address that SPF is about; default: of the top Received field")
    added.add_argument("--sender", help="envelope sender; default: of Return-Path")
    added.add_argument("--helo", metavar="NAME", help="default: of the top Received field")


def reflect_options(added):
    """Adds its options to the parser of reflect."""
    added.add_argument("--most", type=int, default=10, metavar="NUMBER",
                       help="of answers to a sender in a day; default: 10")
    added.add_argument("--directory", default=".reflect",
                       help="where they are counted; default: .reflect")
    added.add_argument("--from", dest="author", metavar="ADDRESS",
                       help="of the answer; default: the recipient")


def log_options(added):
    """Adds its options to the parser of log."""
    added.add_argument("paths", nargs="*", metavar="file",
                       help="of syslog, or directory of multilog; - is standard input; default: "
                       "those in the usual places")
    added.add_argument("--since", metavar="TIME",
                       help="a date or time, or hours or days as 24h, 7d")
    added.add_argument("--names", action="store_true",
                       help="look up the name servers of domains without an answer")
    form = added.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--html", metavar="FILE", help="write a page with charts")


def report_options(showing, adding):
    """Adds their options to the parsers of reports and of reports add."""
    for added in showing, adding:
        added.add_argument("--database", default=report_verbs.DATABASE, metavar="FILE",
                           help=f"default: {report_verbs.DATABASE}")
    showing.add_argument("domain", nargs="?", help="default: all")
    showing.add_argument("--days", type=int, default=report_verbs.DAYS, metavar="NUMBER",
                         help=f"default: {report_verbs.DAYS}")
    showing.add_argument("--names", action="store_true", help="look the senders' names up")
    form = showing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true")
    form.add_argument("--html", metavar="FILE", help="write a page with charts")
    adding.add_argument("paths", nargs="*", metavar="file",
                        help="or directory, or Maildir; default: standard input")
    adding.add_argument("--domain", action="append", default=[],
                        help="also keep reports on this domain, which has no key here")


def main(arguments):
    """Runs a command.  Returns its exit code."""
    for number in signal.SIGHUP, signal.SIGTERM:
        signal.signal(number, lambda number, frame: sys.exit(128 + number))    # tidies up
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.stderr is None:      # closed; print() would take the other
        sys.stderr = open(os.devnull, "w", encoding="ascii")
    if sys.stdout is None:
        print("qmail-dk: standard output is closed", file=sys.stderr)
        return TROUBLE
    for stream in sys.stdout, sys.stderr:
        stream.reconfigure(errors="backslashreplace")    # type: ignore[union-attr]
    if arguments == ["help"]:
        arguments = ["--help"]
    elif arguments[:2] == ["reports", "add"]:       # a verb of two words
        arguments = ["reports add", *arguments[2:]]
    try:
        options = parser(arguments[:1] in LIGHT).parse_args(arguments)
        code = options.verb(options, this_host())
        sys.stdout.flush()
        return code
    except RequestTrouble as trouble:
        code, reason = misused(), str(trouble)
    except OSError as trouble:
        code, reason = TROUBLE, f"{trouble.filename or 'input or output'}: {trouble.strerror}"
        drop_output()
    except Trouble as trouble:
        code, reason = TROUBLE, str(trouble)
    except MemoryError:
        code, reason = TROUBLE, "too little memory; remedy: more, or a higher limit (ulimit -v)"
    except KeyboardInterrupt:
        code, reason = 128 + signal.SIGINT, "interrupted"
    except Exception as error:
        if not is_damage(error):
            raise
        code, reason = TROUBLE, f"{type(error).__name__}: {error}; remedy: run install.sh again"
    print("qmail-dk: " + " ".join(reason.split()), file=sys.stderr)
    return code


def misused():
    """Returns the exit code for misuse.

    In a dot-qmail file MISUSED would send the mail back, so it waits for whoever wrote that.
    """
    return TROUBLE if "DTLINE" in os.environ else MISUSED


def drop_output():
    """Drops output that is not written yet: Python would try again, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
