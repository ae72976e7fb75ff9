/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what launcher/qmail-dk-verify.c makes of an answer, by libFuzzer.
 *
 * Whatever the answer is, the launcher leaves the message to Python, or writes our two
 * fields and the message without some of its false fields.  programs/test_native_launcher.py
 * compiles and runs this.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static jmp_buf left;

#define main launcher_main
#define execl(...) longjmp(left, 1)
#define execv(...) longjmp(left, 1)
#define _exit(code) longjmp(left, 2)
#include "../../launcher/qmail-dk-verify.c"

static const char *const field[] = {
	"Authentication-Results: mx.example.net; dkim=pass\n", "From: a@example.com\n",
	"DomainKey-Status: good\n", "AUTHENTICATION-RESULTS:\n\t(c)mx.example.net\n ; dkim=pass\n",
	"To: b\n\nAuthentication-Results: mx.example.net; dkim=pass\ntext\n"
};

/* Aborts unless a text is the message, without none, some or all of the fields 0, 2 and 3. */
static void check_message(const char *s)
{
	for (int i = 0; i < 5; ++i)
		if (!strncmp(s, field[i], strlen(field[i]))) s += strlen(field[i]);
		else if (i == 1 || i == 4) abort();
	if (*s) abort();
}

/* Aborts unless a file has our two fields, and then the message. */
static void check(int fd)
{
	static char written[65536];
	static const char first[] = "Authentication-Results: mx.example.net;\n ";
	static const char last[] = "DomainKey-Status: ";
	ssize_t n = pread(fd, written, sizeof written - 1, 0);
	char *s = written;

	if (n < 0) abort();
	written[n] = 0;
	if (strncmp(s, first, sizeof first - 1)) abort();
	for (s = strchr(s, '\n') + 1; *s == ' '; s = strchr(s, '\n') + 1)
		for (char *c = s; *c != '\n'; ++c)
			if (*c < ' ' || *c > '~') abort();
	if (strncmp(s, last, sizeof last - 1)) abort();
	check_message(strchr(s, '\n') + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char all[1024];
	static int fd = -1;

	if (fd == -1) {
		fd = memfd_create("written", MFD_CLOEXEC);
		for (int i = 0; i < 5; ++i) strcat(all, field[i]);
		text = all;
		size = strlen(all);
		header = (size_t) (strstr(all, "\n\n") - all) + 1;
		strcpy(letters, "B");
		strcpy(authserv_id, "mx.example.net");
	}
	if (n >= sizeof answer || memchr(data, 0, n)) return 0;		/* as in ask() */
	memset(answer, 0, sizeof answer);
	memcpy(answer, data, n);
	strcpy(dmarc, n & 1 ? "mark" : "off");
	if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET)) abort();
	if (!setjmp(left)) {
		report_in();
		annotate(fd);
		check(fd);
	}
	return 0;
}
