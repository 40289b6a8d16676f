/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for many QEMUs where memory is measured: scripted_qemu FOLDER COUNT serves the sockets
 * FOLDER/0.qemu, FOLDER/1.qemu, ... It greets, answers qmp_capabilities and query-status, gives an
 * error to everything else, and repeats ids as they came. Unlike QEMU it serves many clients at
 * once. Prints "ready" when it listens; ends with standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_MAX = 4096, EVENTS = 64, BACKLOG = 128 };

static const char GREETING[] =
	"{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
	"\"package\": \"scripted\"}, \"capabilities\": [\"oob\"]}}\r\n";
static const char NO_JSON[] = "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse "
			      "error, key is not a string in object\"}}\r\n";

struct end {
	int fd;
	bool listens;
	size_t len;
	char text[TEXT_MAX]; /* a text that is not complete yet */
};

struct piece {
	const char *p;
	size_t len;
};

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "scripted_qemu: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Behind the string that begins at @at, or @end. */
static const char *skip_string(const char *at, const char *end)
{
	for (at++; at < end && *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at < end ? at + 1 : end;
}

/* Behind the bracket that closes the one at @at; NULL: it is not there yet. */
static const char *skip_nested(const char *at, const char *end)
{
	int depth = 0;

	while (at < end) {
		if (*at == '"') {
			at = skip_string(at, end);
			continue;
		}
		if (*at == '{' || *at == '[')
			depth++;
		if (*at == '}' || *at == ']')
			depth--;
		at++;
		if (depth == 0)
			return at;
	}
	return NULL;
}

/* Behind the value that begins at @at, in an object that is complete. */
static const char *skip_value(const char *at, const char *end)
{
	if (*at == '"')
		return skip_string(at, end);
	if (*at == '{' || *at == '[')
		return skip_nested(at, end);
	while (at < end && strchr(",}] \t\r\n", *at) == NULL)
		at++;
	return at;
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && strchr(" \t\r\n:,", *at) != NULL)
		at++;
	return at;
}

/* The value of a member of the object @text, as it stands there. */
static struct piece member(struct piece text, const char *key)
{
	const char *end = text.p + text.len;
	const char *at = skip_blanks(text.p + 1, end);

	while (at < end && *at == '"') {
		const char *name = at + 1;
		const char *name_end = skip_string(at, end) - 1;
		const char *value = skip_blanks(name_end + 1, end);
		const char *value_end = skip_value(value, end);

		if ((size_t)(name_end - name) == strlen(key) && memcmp(name, key, strlen(key)) == 0)
			return (struct piece){ value, (size_t)(value_end - value) };
		at = skip_blanks(value_end, end);
	}
	return (struct piece){ NULL, 0 };
}

static bool is(struct piece value, const char *text)
{
	return value.len == strlen(text) && memcmp(value.p, text, value.len) == 0;
}

static void say(const struct end *e, const char *text, size_t len)
{
	if (send(e->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len && errno != EPIPE)
		die("send");
}

static void answer(const struct end *e, struct piece text)
{
	struct piece name = member(text, "execute");
	struct piece id = member(text, "id");
	const char *body = "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"scripted\"}";
	char line[TEXT_MAX + 256];
	int len;

	if (name.p == NULL) {
		say(e, NO_JSON, strlen(NO_JSON));
		return;
	}
	if (is(name, "\"qmp_capabilities\""))
		body = "\"return\": {}";
	if (is(name, "\"query-status\""))
		body = "\"return\": {\"status\": \"running\", \"singlestep\": false, "
		       "\"running\": true}";
	len = id.p == NULL ? snprintf(line, sizeof(line), "{%s}\r\n", body)
			   : snprintf(line, sizeof(line), "{%s, \"id\": %.*s}\r\n", body,
				      (int)id.len, id.p);
	say(e, line, (size_t)len);
}

/* Answer the texts that are complete and keep the rest. */
static void work(struct end *e)
{
	const char *end = e->text + e->len;
	const char *at = skip_blanks(e->text, end);
	const char *stop;

	while (at < end && *at == '{' && (stop = skip_nested(at, end)) != NULL) {
		answer(e, (struct piece){ at, (size_t)(stop - at) });
		at = skip_blanks(stop, end);
	}
	if (at < end && (*at != '{' || end - at == TEXT_MAX)) {
		fprintf(stderr, "scripted_qemu: no command: %.*s\n", (int)(end - at), at);
		exit(1);
	}
	e->len = (size_t)(end - at);
	memmove(e->text, at, e->len);
}

static void watch(int epoll, int fd, bool listens)
{
	struct end *e = calloc(1, sizeof(*e));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };

	if (e == NULL)
		die("memory");
	e->fd = fd;
	e->listens = listens;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl");
}

static void listen_at(int epoll, const char *folder, unsigned long number)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int len = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%lu.qemu", folder, number);

	if (fd < 0 || len < 0 || (size_t)len >= sizeof(a.sun_path) ||
	    bind(fd, (const struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, BACKLOG) != 0)
		die(a.sun_path);
	watch(epoll, fd, true);
}

static void ready(int epoll, struct end *e)
{
	ssize_t n;

	if (e->listens) {
		struct end client = { .fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC) };

		if (client.fd < 0)
			die("accept");
		say(&client, GREETING, strlen(GREETING));
		watch(epoll, client.fd, false);
		return;
	}
	n = recv(e->fd, e->text + e->len, sizeof(e->text) - e->len, 0);
	if (n <= 0) {
		close(e->fd);
		free(e);
		return;
	}
	e->len += (size_t)n;
	work(e);
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	struct epoll_event input = { .events = EPOLLIN };
	struct epoll_event event[EVENTS];
	struct rlimit limit;

	if (count == 0 || epoll < 0) {
		fputs("usage: scripted_qemu FOLDER COUNT\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (unsigned long i = 0; i < count; i++)
		listen_at(epoll, argv[1], i);
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
		die("standard input");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, event, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (event[i].data.ptr == NULL)
				return 0;
			ready(epoll, event[i].data.ptr);
		}
	}
}
