/* SPDX-License-Identifier: MIT */
/* An SMTP server on 127.0.0.1 that answers at once, accepts any message and keeps none;
 * and a syslog daemon that counts messages that were signed.
 *
 *     smtp_sink LOG    (LOG: the path of the log socket)
 *
 * It prints its port, and the count each time that it reads a byte from descriptor 0; it
 * exits at the end of that.
 *
 * It acknowledges each packet at once as well: a client that writes a message in
 * several parts would otherwise wait 40 ms before the second.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 4096 };           /* connections */

static const char END[] = "\r\n.\r\n";

/* The conversation on each descriptor. */
static struct conversation {
	char verb[4];           /* of the command */
	int column;             /* bytes of it so far */
	int in_message;
	int matched;            /* bytes of END, at the end of what has come */
} conversations[MOST];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Writes an answer.  It always fits into the socket's buffer. */
static void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		return;         /* the client has gone; the next read says so */
}

/* Answers a command, of which only the verb matters.  Returns whether the conversation goes on. */
static int obey(int fd, struct conversation *with)
{
	with->column = 0;
	if (!strncasecmp(with->verb, "QUIT", 4)) {
		say(fd, "221 goodbye\r\n");
		return 0;
	}
	with->in_message = !strncasecmp(with->verb, "DATA", 4);
	with->matched = 2;      /* the line end of DATA may be END's first */
	say(fd, with->in_message ? "354 go ahead\r\n" : "250 ok\r\n");
	return 1;
}

/* Takes bytes from a client.  Returns whether the conversation goes on. */
static int take(int fd, const char *data, ssize_t length)
{
	struct conversation *with = &conversations[fd];

	for (; length > 0; data++, length--) {
		if (with->in_message) {
			if (*data == END[with->matched])
				with->matched++;
			else
				with->matched = *data == '\r';
			if (!END[with->matched]) {
				with->in_message = 0;
				say(fd, "250 taken\r\n");
			}
		} else if (*data == '\n') {
			if (!obey(fd, with))
				return 0;
		} else {
			if (with->column < 4)
				with->verb[with->column] = *data;
			with->column++;
		}
	}
	return 1;
}

static int listening(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 512) < 0
	    || getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		die("listen");
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int log_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0
	    || chmod(path, 0666) < 0)
		die(path);
	return fd;
}

/* Reads all lines that are there.  Returns how many say that a message was signed. */
static long count_signed(int log)
{
	char line[4096];
	ssize_t length;
	long count = 0;

	while ((length = read(log, line, sizeof line - 1)) >= 0) {
		line[length] = 0;
		count += strstr(line, "signed: dkim") != NULL;
	}
	return count;
}

/* Prints a count if it is asked for.  Exits at the end of descriptor 0. */
static void tell(long count)
{
	char byte;

	if (read(0, &byte, 1) <= 0)
		exit(0);
	printf("%ld\n", count);
	fflush(stdout);
}

static void watch(int poll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void welcome(int poll, int server)
{
	int yes = 1, fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;         /* the client has gone already */
	if (fd >= MOST)
		die("too many connections");
	memset(&conversations[fd], 0, sizeof conversations[fd]);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	watch(poll, fd);
	say(fd, "220 sink.example.net\r\n");
}

static void serve(int fd)
{
	static char data[65536];
	int yes = 1;
	ssize_t length = read(fd, data, sizeof data);

	if (length <= 0 || !take(fd, data, length))
		close(fd);
	else                    /* for one answer only, so each time */
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof yes);
}

int main(int argc, char **argv)
{
	struct epoll_event events[64];
	int server = listening(), poll = epoll_create1(EPOLL_CLOEXEC), log;
	long count = 0;

	if (argc != 2)
		return 2;
	if (poll < 0)
		die("epoll_create1");
	log = log_socket(argv[1]);
	watch(poll, log);
	watch(poll, server);
	watch(poll, 0);
	for (;;) {
		int ready = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			int fd = events[i].data.fd;

			if (fd == 0)
				tell(count);
			else if (fd == log)
				count += count_signed(log);
			else if (fd == server)
				welcome(poll, server);
			else
				serve(fd);
		}
	}
}
