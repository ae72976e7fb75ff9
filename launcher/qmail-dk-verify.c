/* SPDX-License-Identifier: MIT
 * qmail-dk-verify: passes mail on, or starts the verifier.
 *
 * It executes the queue program with mail that is not to be verified, and with mail that the
 * resident verifier accepts: it puts the fields of the server's answer on top, and removes
 * the forged ones that the answer names.  It knows nothing of signatures, and refuses no mail.
 * Whatever else is to do, is unclear or fails, it leaves to the launcher in sh, which starts
 * Python, and has the whole message on descriptor 0 again.  lib/verifying/exchange.py and
 * annotation.py do the same, with the same names.  install.sh compiles this, for Linux, with
 * QMAIL, qmail's home, LAUNCHER, the launcher in sh, and PROGRAM, the verifier that it starts. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64		/* where words have 32 bits: else fstat() fails for */
#define _TIME_BITS 64			/* large logs and inode numbers, and from 2038 for all */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef PATIENCE
#define PATIENCE 1000			/* milliseconds to wait for an answer */
#endif
#define LARGEST_MESSAGE (8 << 20)	/* bytes; larger ones are not for the server */
#define IN_MEMORY (1 << 20)		/* bytes of a file in memory, and of a header */
#define VALUE 256			/* bytes of a setting; Python reads longer ones */
#define LINE 900			/* bytes of a log line, and of a sender in the request */
#define PASSES "QMAIL_QFILTER_VERIFY"	/* counts the runs of this program, which may be a loop */
#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define NAME LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "-_."
#define PATH NAME "/+@"
#define is_made_of(s, characters) (*(s) && !(s)[strspn(s, characters)])

static char letters[VALUE], authserv_id[VALUE], dmarc[VALUE];
static char queue[VALUE + sizeof QMAIL], directory[VALUE] = "/var/tmp";
static char *text;			/* the message */
static size_t size, header;		/* bytes of it, and of its header */
static struct sockaddr_un server = { AF_UNIX, "" };
static char answer[32768 + 1], *removed, *words, *fields;

/* Writes a line to the log.  Returns 0 if that fails. */
static int tell(const char *what) {
	char line[LINE + 32];
	int n = snprintf(line, sizeof line, "qmail-qfilter-verify: %.*s\n", LINE, what);
	return write(2, line, (size_t) n) == n;
}

/* Exits with a code that qmail-smtpd takes for temporary, as it takes a crash. */
static void __attribute__((noreturn)) die(int code, const char *what) {
	char line[LINE], *ip = getenv("TCPREMOTEIP");
	snprintf(line, sizeof line, "deferred: %s: %s; client=%.100s", what, strerror(errno),
		ip && is_made_of(ip, NAME ":%") ? ip : "unknown");
	tell(line);
	_exit(code);
}

/* Becomes the launcher in sh.  reason: why there is no answer of the server, 0: ask it */
static void __attribute__((noreturn)) leave(const char *reason) {
	execl(LAUNCHER, LAUNCHER, "--queue", reason ? "--no-answer" : reason, reason, (char *) 0);
	die(71, "unable to run " LAUNCHER " and " PROGRAM "; remedy: run install.sh again");
}

/* Gets a setting: of the environment, else line 1 of a control file, else the preset value. */
static char *setting(char *value, const char *name, const char *file, const char *preset,
	const char *characters) {
	const char *given = getenv(name);
	char path[sizeof QMAIL + 32] = QMAIL "/control/";
	ssize_t n = snprintf(value, VALUE, "%s", given ? given : "");
	if (!given) {
		int fd = open(strcat(path, file), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd == -1 && (errno != ENOENT || readlink(path, value, 1) != -1)) leave(0);
		if (fd != -1 && (n = read(fd, value, VALUE - 1)) == -1) leave(0);
		close(fd);
		value[n] = 0;
		if (strlen(value) != (size_t) n) leave(0);
		value[strcspn(value, "\r\n")] = 0;
	}
	if (n >= VALUE - 1 || value[strspn(value, characters)]) leave(0);
	return *value ? value : strcpy(value, preset);
}

/* Becomes the queue program, with the message of fd. */
static void __attribute__((noreturn)) become_queue_program(int fd) {
	const char *passes = getenv(PASSES);
	char more[2] = { passes && *passes ? *passes + 1 : '1', 0 };
	if (fd && (lseek(fd, 0, SEEK_SET) == -1 || dup2(fd, 0) == -1)) leave(0);
	if (setenv(PASSES, more, 1)) leave(0);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	execl(queue, queue, (char *) 0);
	die(55, "unable to run DKQUEUE");
}

/* Writes n bytes.  Returns 0 if that fails. */
static int put(int fd, const char *data, size_t n) {
	for (ssize_t w; n; data += w, n -= (size_t) w)
		if ((w = write(fd, data, n)) <= 0) return 0;
	return 1;
}

/* Opens an empty file without a name.  Returns -1 if there is no place for it. */
static int anonymous_file(size_t for_bytes) {
	char path[VALUE + 32];
	int fd = for_bytes > IN_MEMORY ? -1 : memfd_create("message", MFD_CLOEXEC);
	if (fd != -1) fchmod(fd, 0600);		/* or who is given it could reopen it to write */
	else fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	snprintf(path, sizeof path, "%s/qmail-dk.XXXXXX", directory);
	if (fd == -1 && (fd = mkostemp(path, O_CLOEXEC)) != -1) unlink(path);
	return fd;
}

/* Returns the memory with the n bytes of a file, 0 if that is too much. */
static char *map(int fd, size_t n) {
	char *start = mmap(0, n + 1, PROT_READ, MAP_SHARED, fd, 0);
	return start == MAP_FAILED ? 0 : start;
}

/* Makes a descriptor one of a file at its start, with all that comes from it.  Maps the file. */
static char *spool(int from, size_t *n) {
	static char piece[65536], *copy;
	ssize_t r;
	int fd = anonymous_file(0), small = fd;
	if (fd == -1) leave(0);
	for (*n = 0; (r = read(from, piece, sizeof piece)) > 0;) {
		if (fd == small && *n + (size_t) r > IN_MEMORY) {
			fd = anonymous_file(*n + (size_t) r);
			if (fd == -1 || !(copy = map(small, *n)) || !put(fd, copy, *n)) break;
		}
		if (!put(fd, piece, (size_t) r)) break;
		if (*n <= LARGEST_MESSAGE) *n += (size_t) r;	/* a larger n might not fit */
	}
	if (r > 0) die(53, "unable to write a copy of the message");
	if (r == -1) die(54, "unable to read the message");
	if (lseek(fd, 0, SEEK_SET) == -1 || dup2(fd, from) == -1) die(53, "unable to use the copy");
	if (*n > LARGEST_MESSAGE || !(copy = map(fd, *n))) leave(0);
	return copy;
}

/* Gets the server's answer to a request with n bytes of an envelope sender behind it. */
static void ask(char *request, char *sender, size_t n) {
	int fd, peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	union { struct cmsghdr first; char all[CMSG_SPACE(sizeof fd)]; } control = { { .cmsg_len =
		CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec parts[] = { { request, strlen(request) }, { sender, n } };
	struct msghdr packet = { .msg_iov = parts, .msg_iovlen = 2,
		.msg_control = &control, .msg_controllen = sizeof control };
	struct pollfd waits = { peer, POLLIN, 0 };
	struct ucred owner;
	socklen_t length = sizeof owner;
	ssize_t got;
	if ((fd = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC)) == -1	/* not to be changed */
		|| connect(peer, (struct sockaddr *) &server, sizeof server)
		|| getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &owner, &length))
		leave(strerror(errno));
	if (owner.uid && owner.uid != geteuid()) leave("the server is that of another user");
	memcpy(CMSG_DATA(&control.first), &fd, sizeof fd);
	if (sendmsg(peer, &packet, MSG_NOSIGNAL) == -1) leave(strerror(errno));
	if (poll(&waits, 1, PATIENCE) != 1) leave("timed out");
	got = recv(peer, answer, sizeof answer - 1, 0);
	if (got <= 0) leave(got ? strerror(errno) : "none was given");
	if (strlen(answer) != (size_t) got) leave("not an answer");
}

/* Returns whether a text is the two fields that we write. */
static int check_fields(const char *s) {
	char first[VALUE + 32], last[] = "DomainKey-Status: ";
	int n = snprintf(first, sizeof first, "Authentication-Results: %s;\n ", authserv_id);
	if (strncmp(s, first, (size_t) n)) return 0;
	for (s += n - 1; *s == ' '; s = strchr(s, '\n') + 1)
		if (!strchr(s, '\n') || s[strspn(s, " ")] == '\n') return 0;
	if (strncmp(s, last, sizeof last - 1)) return 0;
	s += sizeof last - 1;
	return !strcmp(s + strspn(s, LOWER " ()"), "\n");
}

/* Divides the answer.  Leaves a message that is refused, or has no good answer. */
static void report_in(void) {
	char *line[5] = { answer }, *letter = answer + 2, *rejecting = answer + 4;
	for (char *s = answer; *s; ++s)
		if ((*s < ' ' || *s > '~') && *s != '\n') leave("not an answer");
	for (int i = 1; i < 5; *line[i]++ = 0, ++i)
		if (!(line[i] = strchr(line[i - 1], '\n'))) leave("not an answer");
	if (strncmp(answer, "3 ", 2) || *letter < 'A' || *letter > 'K' || letter[1] != ' '
		|| !is_made_of(rejecting, NAME)
		|| (!strcasecmp(dmarc, "off") && strcmp(rejecting, "-")))
		leave("not an answer of this version");
	if (!check_fields(line[4])) leave("it has other header fields than ours");
	if (strchr(letters, *letter) || strchr(letters, *letter | 32)
		|| (!strcasecmp(dmarc, "refuse") && strcmp(rejecting, "-"))) leave(0);
	removed = line[1], words = line[3], fields = line[4];
}

/* Returns whether the first n bytes of s have a name, in lower case or other. */
static int mentions(const char *s, size_t n, const char *name) {
	for (size_t length = strlen(name); n >= length; ++s, --n)
		if ((*s | 32) == *name && !strncasecmp(s, name, length)) return 1;
	return 0;
}

/* Returns whether a part of the message is one field of its header that pretends to be ours. */
static int is_removable(size_t start, size_t end) {
	if (start >= end || end > header) return 0;
	for (size_t i = start; i <= end; ++i) {
		int begins = !i || i == size
			|| (text[i - 1] == '\n' && text[i] != ' ' && text[i] != '\t');
		if (begins != (i == start || i == end)) return 0;
	}
	return mentions(text + start, end - start, "authentication-results")
		|| mentions(text + start, end - start, "domainkey-status");
}

/* Returns whether a field, or the end of the header, begins at this place of the message. */
static int begins_a_field(size_t from) {
	size_t i = from, end = size - from < 65536 ? size : from + 65536;
	while (i < end && text[i] > ' ' && text[i] <= '~' && text[i] != ':' && text[i] != ';') ++i;
	return text[from] == '\n' || (i > from && i < end && text[i] == ':');
}

/* Writes the message with its new fields, and without the removed ones. */
static void annotate(int fd) {
	size_t from = 0, start, end;
	int n, begun = 0, good = put(fd, fields, strlen(fields));
	for (; good && (*removed || from < size); removed += n, from = end) {
		start = end = size, n = 0;
		if (*removed && (sscanf(removed, "%9zu-%9zu%n", &start, &end, &n) != 2
			|| start < from || !is_removable(start, end)))
			leave("it would remove what is not ours");
		if (from < start && !begun++ && !begins_a_field(from))
			good = put(fd, "X-No-Header-Field:\n", 19);
		good = good && put(fd, text + from, start - from);
	}
	if (!good) leave(0);
}

/* Verifies the message, and passes it on if the server accepts it. */
static void verify(void) {
	char request[5 * VALUE + LINE], bits[VALUE], policy[VALUE], seconds[VALUE], path[VALUE];
	char line[LINE + 1], *sender = "", *end, *ip = getenv("TCPREMOTEIP");
	size_t n = 0;
	int fd;
	setting(bits, "DKRSAMIN", "dkrsamin", "1024", DIGITS);
	setting(policy, "DKPOLICY", "dkpolicy", "no", NAME);
	setting(dmarc, "DKDMARC", "dkdmarc", "off", NAME);
	setting(seconds, "DKTIMEOUT", "dktimeout", "20", DIGITS);
	setting(path, "DKSERVER", "dkserver", "/run/qmail-dk/verify.sock", PATH);
	if (!*setting(authserv_id, "DKAUTHSERVID", "dkauthservid", "", NAME))
		setting(authserv_id, "", "me", "", NAME);
	if (getenv("TMPDIR")) setting(directory, "TMPDIR", "", "/var/tmp", PATH);
	if (strlen(seconds) > 9 || !atol(seconds) || *directory != '/' || access(directory, W_OK)
		|| *path != '/' || strlen(path) > 100 || access(path, F_OK)) leave(0);
	text = spool(0, &size);
	end = memmem(text, size, "\n\n", 2);
	header = size && *text == '\n' ? 0 : end ? (size_t) (end - text) + 1 : size;
	if (header > IN_MEMORY || mentions(text, header, "dkim2-signature")
		|| mentions(text, header, "message-instance")) leave(0);
	snprintf(request, sizeof request, "3 %s %s %s %s\n", bits, policy, authserv_id, dmarc);
	if (ip && strcasecmp(dmarc, "off")) {
		sender = spool(1, &n);
		end = memchr(sender, 0, n < 1002 ? n : 1002);
		n = !n || *sender != 'F' ? 0 : end ? (size_t) (end - sender) : n > 1000 ? n : 0;
		if (n) snprintf(strchr(request, 0), LINE, "%s\n", ip);
	}
	strcpy(server.sun_path, path);
	ask(request, sender + 1, n > LINE ? LINE : n ? n - 1 : 0);
	report_in();
	annotate(fd = anonymous_file(size));
	snprintf(line, sizeof line, "qp %ld accepted: %s; resident", (long) getpid(), words);
	if (!tell(line)) leave(0);
	become_queue_program(fd);
}

int main(int argc, char **argv) {
	const char *passes = getenv(PASSES);
	char value[VALUE];
	struct stat st;
	int mode = fcntl(1, F_GETFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (argc != 1 || fcntl(0, F_GETFD) == -1 || mode == -1 || (mode & O_ACCMODE) != O_RDONLY
		|| fstat(2, &st) || S_ISSOCK(st.st_mode)
		|| (passes && *passes && (!is_made_of(passes, "01234567") || passes[1]))) {
		execv(LAUNCHER, argv);	/* not surely a queue program with a message and a log */
		_exit(71);
	}
	setting(value, "DKQUEUE", "dkqueue", "bin/qmail-queue", PATH);
	snprintf(queue, sizeof queue, "%s%s", *value == '/' ? "" : QMAIL "/", value);
	if (access(queue, X_OK) || (!strcmp(value, "bin/qmail-queue")	/* or do we stand there? */
		&& !access(QMAIL "/bin/qmail-queue.orig", F_OK))) leave(0);
	if (!getenv("RELAYCLIENT"))
		setting(letters, "DKVERIFY", "dkverify", "", "-ABCDEFGHIJKabcdefghijk");
	if (*letters) verify();
	become_queue_program(0);
}
