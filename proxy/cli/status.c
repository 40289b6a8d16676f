/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmend status: ask a running qmend, through one of its sockets, how it does. Works also while
 * there is no QEMU: x-qmend-status is answered before the greeting.
 */
#define _GNU_SOURCE /* getopt_long() */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/cli.h"
#include "io/sock.h"
#include "qmp/framer.h"
#include "qmp/json.h"
#include "qmp/message.h"

enum { DEADLINE_MS = 5000, ANSWER_MAX = 16 * 1024 * 1024, READ_SIZE = 65536 };

static const char usage[] = "usage: qmend status [--json] SOCKET\n"
			    "Show clients, queues, backends and incidents of the VM that a qmend "
			    "serves at SOCKET.\n"
			    "  -j, --json  print the answer as it is\n"
			    "  -h, --help  print this\n";

static bool read_more(int fd, struct qmp_buffer *in, struct qmp_error *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char *room = qmp_buffer_reserve(in, READ_SIZE);
	ssize_t n;

	if (room == NULL)
		return qmp_error_set(e, "the answer is too large");
	if (poll(&p, 1, DEADLINE_MS) <= 0)
		return qmp_error_set(e, "no answer within %d s: is this a qmend socket?",
				     DEADLINE_MS / 1000);
	n = recv(fd, room, READ_SIZE, 0);
	if (n <= 0)
		return qmp_error_set(e, "the connection was closed: is this a qmend socket?");
	in->len += (size_t)n;
	return true;
}

/* Is this text the answer? The greeting and events may come before it. */
static bool is_answer(struct span text, struct span *body, struct qmp_error *e)
{
	struct qmp_message m;

	if (!qmp_reply_parse(text, &m, e) ||
	    (m.kind != QMP_MESSAGE_RETURN && m.kind != QMP_MESSAGE_ERROR))
		return false;
	*body = m.kind == QMP_MESSAGE_RETURN ? m.body : (struct span){ 0 };
	return true;
}

/* The value of the answer, borrowed from @in. */
static bool ask(int fd, struct qmp_buffer *in, struct span *body, struct qmp_error *e)
{
	static const char command[] = "{\"execute\": \"x-qmend-status\"}\r\n";
	struct qmp_framer f = { 0 };

	if (send(fd, command, sizeof(command) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(command) - 1)
		return qmp_error_sys(e, "send");
	for (;;) {
		struct span all = qmp_buffer_span(in);
		size_t used;

		while (f.pos < all.len) {
			struct span rest = span_cut(all, (size_t)f.pos, all.len);

			if (qmp_framer_feed(&f, rest, &used) != QMP_FRAMER_GOT ||
			    !is_answer(span_cut(all, (size_t)f.begin, (size_t)f.end), body, e))
				continue;
			return body->p != NULL ||
			       qmp_error_set(e, "x-qmend-status is not known: this is no qmend");
		}
		if (!read_more(fd, in, e))
			return false;
	}
}

static const char *text_of(const struct json *object, const char *key)
{
	const struct json *v = json_get(object, key);

	if (v == NULL)
		return "-";
	if (v->type == JSON_BOOL)
		return v->boolean ? "yes" : "no";
	return v->text != NULL ? v->text : "-";
}

static void print_qemu(const struct json *root)
{
	const struct json *qemu = json_get(root, "qemu");
	const struct json *queues = json_get(root, "queues");

	printf("vm %s: qemu %s", text_of(root, "vm"), text_of(qemu, "state"));
	printf(" (pid %s, %s s)", text_of(qemu, "pid"), text_of(qemu, "seconds"));
	printf(", %s commands outstanding", text_of(qemu, "outstanding"));
	printf(", queues %s of %s bytes\n", text_of(queues, "bytes"), text_of(queues, "limit"));
}

/* Rows of the array @key as a table; @columns ends with NULL. */
static void print_table(const struct json *root, const char *key, const char *const *columns)
{
	const struct json *rows = json_get(root, key);

	if (rows == NULL || rows->first == NULL)
		return;
	printf("\n%s\n", key);
	for (size_t c = 0; columns[c] != NULL; c++)
		printf("  %-*s", (int)strlen(columns[c]) + 4, columns[c]);
	putchar('\n');
	for (const struct json *row = rows->first; row != NULL; row = row->next) {
		for (size_t c = 0; columns[c] != NULL; c++)
			printf("  %-*s", (int)strlen(columns[c]) + 4, text_of(row, columns[c]));
		putchar('\n');
	}
}

static bool print_status(struct span body, struct qmp_error *e)
{
	static const char *const clients[] = { "client",    "pid",	  "uid",      "negotiated",
					       "oob",	    "read-only",  "commands", "pending",
					       "queued-in", "queued-out", NULL };
	static const char *const backends[] = { "name",	  "recipe", "pid",    "state", "found",
						"starts", "cause",  "detail", NULL };
	static const char *const incidents[] = { "id",	  "backend", "state",	     "step",
						 "tries", "initial", "milliseconds", NULL };
	struct json *root;
	size_t offset;

	if (!json_parse(body, 0, &root, &offset, e))
		return false;
	print_qemu(root);
	print_table(root, "clients", clients);
	print_table(root, "backends", backends);
	print_table(root, "incidents", incidents);
	json_free(root);
	return true;
}

static int show(const char *path, bool json)
{
	AUTO_BUF struct qmp_buffer in = QMP_BUFFER_INIT(ANSWER_MAX);
	struct qmp_error e;
	struct span body;
	AUTO_CLOSE int fd = sock_connect(path, &e);

	if (fd < 0 || !ask(fd, &in, &body, &e)) {
		fprintf(stderr, "qmend status: %s: %s\n", path, e.text);
		return CLI_FAILED;
	}
	if (json) {
		printf("%.*s\n", (int)body.len, body.p);
	} else if (!print_status(body, &e)) {
		fprintf(stderr, "qmend status: %s: %s\n", path, e.text);
		return CLI_FAILED;
	}
	return CLI_OK;
}

int cli_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "jh", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return CLI_OK;
		default:
			fputs(usage, stderr);
			return CLI_USAGE;
		}
	}
	if (optind + 1 != argc) {
		fputs(usage, stderr);
		return CLI_USAGE;
	}
	return show(argv[optind], json);
}
