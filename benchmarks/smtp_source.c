/* SPDX-License-Identifier: MIT */
/* Sends a message to an SMTP server on 127.0.0.1 many times, some at once.
 *
 *     smtp_source PORT TIMES AT-ONCE SENDER RECIPIENT <MESSAGE
 *
 * MESSAGE is as it follows DATA: CR LF, with the dots and the last one.  Each message has a
 * connection of its own.  Prints the seconds that all took, and then for each the seconds
 * from connect() to the answer that it is accepted.  Exits 1 if one is not.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 65536 };       /* bytes of a command or an answer */

/* What the processes share. */
static struct shared {
	int begun;              /* messages */
	double seconds[];       /* of each */
} *shared;

static const char *message, *sender, *recipient;
static size_t message_size;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Writes all of some bytes. */
static void put(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t written = write(fd, data, length);

		if (written < 0)
			die("write");
		data += written;
		length -= written;
	}
}

/* Reads an answer, which must start with a digit. */
static void expect(int fd, char digit)
{
	char answer[LONGEST];
	size_t length = 0;

	do {
		ssize_t count = read(fd, answer + length, sizeof answer - 1 - length);

		if (count <= 0)
			die("the server has gone");
		length += count;
		answer[length] = 0;
	} while (answer[length - 1] != '\n');
	if (*answer != digit) {
		fprintf(stderr, "smtp_source: %s", answer);
		exit(1);
	}
}

static void command(int fd, const char *format, const char *word, char digit)
{
	char line[LONGEST];

	put(fd, line, snprintf(line, sizeof line, format, word));
	expect(fd, digit);
}

/* Sends the message.  Returns the seconds until it is accepted. */
static double send_message(const struct sockaddr_in *server)
{
	double started = now(), accepted;
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)server, sizeof *server) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	expect(fd, '2');
	command(fd, "HELO %s\r\n", "client.example.net", '2');
	command(fd, "MAIL FROM:<%s>\r\n", sender, '2');
	command(fd, "RCPT TO:<%s>\r\n", recipient, '2');
	command(fd, "DATA%s\r\n", "", '3');
	put(fd, message, message_size);
	expect(fd, '2');
	accepted = now();
	command(fd, "QUIT%s\r\n", "", '2');
	close(fd);
	return accepted - started;
}

int main(int argc, char **argv)
{
	struct sockaddr_in server = {.sin_family = AF_INET};
	struct stat state;
	int times, at_once, status, failed = 0;
	double started;

	if (argc != 6)
		return 2;
	server.sin_port = htons(atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	times = atoi(argv[2]);
	at_once = atoi(argv[3]);
	sender = argv[4];
	recipient = argv[5];
	if (fstat(0, &state) < 0)
		die("fstat");
	message_size = state.st_size;
	message = mmap(NULL, message_size, PROT_READ, MAP_PRIVATE, 0, 0);
	shared = mmap(NULL, sizeof *shared + times * sizeof(double), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (message == MAP_FAILED || shared == MAP_FAILED)
		die("mmap");
	started = now();
	for (int i = 0; i < at_once; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (child == 0) {
			int number;

			while ((number = __sync_fetch_and_add(&shared->begun, 1)) < times)
				shared->seconds[number] = send_message(&server);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		failed |= status != 0;
	if (failed)
		return 1;
	printf("%f\n", now() - started);
	for (int i = 0; i < times; i++)
		printf("%f\n", shared->seconds[i]);
	return 0;
}
