# SPDX-License-Identifier: MIT
"""The database of reports: sums of them, in one SQLite file.

Each table of sums is ordered as it is read.  A report is in it as a whole or not at
all, whatever fails or is killed meanwhile, and once, however often it arrives: its name
is written in the same transaction.  Several processes may add reports at once; the file
is in WAL mode, so that readers wait for none of them.
"""

import contextlib
import os
import sys
import time

from ...errors import Trouble
from ..account import Account, eyes_of

try:
    import sqlite3
except ImportError as error:
    raise Trouble("{} has no SQLite: {}; remedy: on Debian: apt-get install python3; on FreeBSD: "
                  "pkg install py{}{}-sqlite3; build your own Python again where the headers of "
                  "SQLite are, or name another one: ./install.sh --python".format(
                      sys.executable, error, *sys.version_info)) from error

APPLICATION = 0x716d646b    # "qmdk"
VERSION = 1
MODE = 0o600
WAIT = 60                   # seconds for another process that writes
MOST_HELD = 5000            # sums in memory, before they are written
PAUSE = 0.05
LARGEST_LOG = 4 * 1024 * 1024       # bytes of the write-ahead log that stay on disk

# Columns of the sums: kind, of KINDS, what DMARC found of the messages; beside, whether
# another signature of the domain passed where this one did not; direct, whether SPF
# passed, so that they came from a host of the domain.
KINDS = PASSING, FORWARDED, UNSIGNED, BROKEN, ALTERED, FORGED = range(6)

KEYS = {
    "results": "domain, day, receiver, policy, kind",
    "signatures": "domain, selector, receiver, result, beside, direct, day",
    "senders": "domain, kind, address, day",
}
SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS reports (
    organization TEXT, identifier TEXT, begin INTEGER, finish INTEGER, domain TEXT,
    day INTEGER, PRIMARY KEY (organization, identifier, begin, finish, domain)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    domain TEXT, day INTEGER, receiver TEXT, policy TEXT, kind INTEGER, messages INTEGER,
    PRIMARY KEY ({KEYS["results"]})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS signatures (
    domain TEXT, selector TEXT, receiver TEXT, result TEXT, beside INTEGER, direct INTEGER,
    day INTEGER, messages INTEGER, PRIMARY KEY ({KEYS["signatures"]})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS senders (
    domain TEXT, kind INTEGER, address TEXT, day INTEGER, messages INTEGER,
    PRIMARY KEY ({KEYS["senders"]})) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""
# {table: statement that adds a number of messages to a sum}
ADD = {table: f"INSERT INTO {table} ({key}, messages) VALUES (?{', ?' * (key.count(',') + 1)}) "
              f"ON CONFLICT ({key}) DO UPDATE SET messages = messages + excluded.messages"
       for table, key in KEYS.items()}


class StoreTrouble(Trouble):
    """The database can't be read or written; qmail tries again."""


class Duplicate(Exception):
    """The report is in the database already."""


class Store:
    """An open database.  path: str; writing: whether reports are to be added

    Root works with the rights of the directory's owner, who adds reports, so that he can
    neither be locked out nor lead root elsewhere.  Raises StoreTrouble, also if there is
    no database and none is to be made.
    """

    def __init__(self, path, writing):
        self.path = path
        with self.trouble():
            self.owner = owner_of(path)
            with self.rights():
                self.connection = connected(path, writing)

    @contextlib.contextmanager
    def rights(self):
        """A context with the rights of the directory's owner, if this is root."""
        with eyes_of(self.owner) if self.owner else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def trouble(self):
        """A context in which errors of SQLite and the system become StoreTrouble."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreTrouble(f"{self.path}: {error}; remedy: {remedy(error)}") from error
        except OSError as error:
            raise StoreTrouble(f"{self.path}: {error.strerror}; remedy: {DIRECTORY}") from error

    def rows(self, query, *values):
        """Returns the rows of a query, list of tuples.  Raises StoreTrouble."""
        with self.trouble(), self.rights():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def addition(self, report):
        """A context that adds an aggregate.Report; gives the Addition that takes its records.

        An exception in it leaves the database as it was.  Raises Duplicate, StoreTrouble.
        """
        adding = Addition(self, report)
        try:
            yield adding
            adding.write()
            with self.trouble(), self.rights():
                self.connection.execute("COMMIT")
        finally:
            with self.trouble(), self.rights():
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def close(self):
        with self.trouble(), self.rights():
            self.connection.close()


DIRECTORY = ("see that its directory exists, and who may write there (doc/reports); "
             "--database names another file")


def remedy(error):
    """Returns the remedy for a sqlite3.Error."""
    text = str(error)
    if "locked" in text:
        return "it is tried again; see what holds it open if that lasts"
    if "full" in text or "I/O" in text:
        return "make room on the disk; it is tried again"
    if "malformed" in text or "not a database" in text:
        return "move it away, with its -wal and -shm, and add the reports again"
    return DIRECTORY


def owner_of(path):
    """Returns the Account whose rights root takes for a database, or None.  Raises OSError."""
    state = os.stat(os.path.dirname(os.path.abspath(path)))
    if os.geteuid() or not state.st_uid:
        return None
    return Account(state.st_uid, state.st_gid)


def connected(path, writing):
    """Returns the connection to a database, which is made if reports are to be added.

    Raises sqlite3.Error, OSError.
    """
    if writing:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE))
    name = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(f"file:{name}?mode={'rw' if writing else 'ro'}", uri=True,
                                 timeout=WAIT, isolation_level=None)
    try:
        prepare(connection, writing)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection, writing):
    """Makes a connection fit to write or to read.  Raises sqlite3.Error."""
    if writing:
        make_tables(connection)
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
        connection.execute("PRAGMA synchronous = FULL")     # qmail removes the message then
    else:
        connection.execute("BEGIN")     # all that is read is of one moment
    require_ours(connection)


def make_tables(connection):
    """Makes the tables in a new database.  Raises sqlite3.Error."""
    until = time.monotonic() + WAIT
    while not connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        try:
            connection.executescript(SCHEMA)
        except sqlite3.OperationalError as error:
            # SQLite does not wait where several processes switch the mode at once.
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(PAUSE)


def require_ours(connection):
    """Raises sqlite3.DatabaseError unless the database has our tables."""
    (application,), = connection.execute("PRAGMA application_id").fetchall()
    (version,), = connection.execute("PRAGMA user_version").fetchall()
    if (application, version) != (APPLICATION, VERSION):
        raise sqlite3.DatabaseError("file is not a database of reports, or of another version")


class Addition:
    """Sums the records of a report up and writes them.

    store: Store; report: aggregate.Report.  Raises Duplicate, StoreTrouble.
    """

    def __init__(self, store, report):
        self.store = store
        self.report = report
        self.name = (report.organization, report.identifier, report.begin, report.end,
                     report.domain)
        self.results, self.signatures, self.senders = {}, {}, {}
        if store.rows("SELECT 1 FROM reports WHERE (organization, identifier, begin, finish, "
                      "domain) = (?, ?, ?, ?, ?)", *self.name):
            raise Duplicate

    def count(self, record):
        """Counts a record, as aggregate.Reader gives it."""
        address, messages, dkim, spf, signatures = record
        if not messages:
            return
        ours = {}       # selector: its best result
        for domain, selector, result in signatures:
            if is_related(domain, self.report.domain) and ours.get(selector) != "pass":
                ours[selector] = result
        passes = "pass" in ours.values()
        for selector, result in ours.items():
            add(self.signatures, (selector, result, passes and result != "pass", spf), messages)
        kind = kind_of(dkim, spf, bool(ours))
        add(self.results, kind, messages)
        add(self.senders, (kind, address), messages)
        if len(self.senders) + len(self.signatures) > MOST_HELD:
            self.write()

    def write(self):
        """Writes the sums in memory; the transaction begins at the first time."""
        report, connection = self.report, self.store.connection
        domain, day, receiver = report.domain, report.day, report.organization
        with self.store.trouble(), self.store.rights():
            if not connection.in_transaction:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    connection.execute("INSERT INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                                       (*self.name, day))
                except sqlite3.IntegrityError:
                    raise Duplicate from None
            connection.executemany(ADD["results"], (
                (domain, day, receiver, report.policy, kind, messages)
                for kind, messages in self.results.items()))
            connection.executemany(ADD["signatures"], (
                (domain, selector, receiver, result, beside, direct, day, messages)
                for (selector, result, beside, direct), messages in self.signatures.items()))
            connection.executemany(ADD["senders"], sorted(
                (domain, kind, address, day, messages)
                for (kind, address), messages in self.senders.items()))
        self.results, self.signatures, self.senders = {}, {}, {}


def add(sums, key, messages):
    sums[key] = sums.get(key, 0) + messages


def is_related(domain, own):
    """Returns whether a signature's domain is a report's, or below it, or above it."""
    return (domain == own or domain.endswith("." + own)
            or "." in domain and own.endswith("." + domain))


def kind_of(dkim, spf, is_signed):
    """Returns which of KINDS messages are; dkim, spf: whether they pass, with alignment

    is_signed: whether a signature is of the domain.  Where SPF passes, the domain's own
    hosts have sent them.
    """
    if dkim:
        return PASSING if spf else FORWARDED
    if spf:
        return BROKEN if is_signed else UNSIGNED
    return ALTERED if is_signed else FORGED
