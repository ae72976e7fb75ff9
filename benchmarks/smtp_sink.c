/* SPDX-License-Identifier: MIT */
/* An SMTP server on 127.0.0.1 that answers at once, accepts any message and keeps none.
 *
 *     smtp_sink        (prints its port; exits at the end of descriptor 0)
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

int main(void)
{
	struct epoll_event events[64];
	int server = listening(), poll = epoll_create1(EPOLL_CLOEXEC);

	if (poll < 0)
		die("epoll_create1");
	watch(poll, server);
	watch(poll, 0);
	for (;;) {
		int ready = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < ready; i++) {
			if (events[i].data.fd == 0)
				return 0;
			if (events[i].data.fd == server)
				welcome(poll, server);
			else
				serve(events[i].data.fd);
		}
	}
}
