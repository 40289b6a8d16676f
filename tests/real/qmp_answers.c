/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What qmend alone would answer to a client: bytes on stdin, one line for each answer on stdout.
 * A command that QEMU would be asked gives "accepted ID", with the id as it would be printed.
 * qmp_answers PIECE [located]: reads PIECE bytes at a time. Used by dialect.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/build.h"
#include "qmp/id.h"
#include "qmp/message.h"
#include "qmp/session.h"

enum { INPUT_MAX = 64 << 20, OUTPUT_MAX = 256 << 20 };

/* One client, as much of it as matters here. */
struct client {
	struct qmp_framer framer;
	bool negotiated, oob;
	struct qmp_buffer out;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void answer_error(struct client *c, const struct qmp_error *e, struct span id)
{
	must(qmp_build_error(&c->out, e, id));
}

static void take_command(struct client *c, const struct qmp_message *m)
{
	struct qmp_error e;

	if (c->negotiated) {
		must(qmp_buffer_add(&c->out, SPAN("accepted ")));
		must(m->id.p == NULL || qmp_print_value(&c->out, m->id));
		must(qmp_buffer_add(&c->out, SPAN("\r\n")));
		return;
	}
	if (qmp_session_negotiate(m, true, &c->oob, &e) == QMP_SESSION_REFUSED) {
		answer_error(c, &e, m->id);
		return;
	}
	c->negotiated = true;
	must(qmp_build_return(&c->out, SPAN("{}"), m->id));
}

static void take_text(struct client *c, struct span text)
{
	struct qmp_message m;
	struct qmp_error e;

	if (qmp_command_parse(text, &c->framer, c->oob, &m, &e) == QMP_COMMAND_OK)
		take_command(c, &m);
	else
		answer_error(c, &e, m.id);
}

/* @all: the stream so far; its last @fresh bytes are new. */
static void feed(struct client *c, struct span all, size_t fresh)
{
	struct qmp_framer *f = &c->framer;
	struct qmp_error e;
	size_t used;

	while (fresh > 0) {
		struct span in = span_cut(all, all.len - fresh, all.len);

		switch (qmp_framer_feed(f, in, &used)) {
		case QMP_FRAMER_NEED_MORE:
			return;
		case QMP_FRAMER_GOT:
			take_text(c, span_cut(all, f->begin, f->end));
			break;
		case QMP_FRAMER_BAD:
			qmp_framer_error(f, span_cut(all, f->begin, f->end), &e);
			answer_error(c, &e, (struct span){ NULL, 0 });
			break;
		}
		fresh -= used;
	}
}

int main(int argc, char **argv)
{
	size_t piece = argc > 1 ? strtoul(argv[1], NULL, 10) : 4096, n;
	AUTO_BUF struct qmp_buffer in = QMP_BUFFER_INIT(INPUT_MAX);
	struct client c = { .out = QMP_BUFFER_INIT(OUTPUT_MAX) };
	char *room;

	if (argc > 2 && strcmp(argv[2], "located") == 0)
		c.framer.dialect = QMP_DIALECT_LOCATED;
	while ((room = qmp_buffer_reserve(&in, piece)) != NULL) {
		n = fread(room, 1, piece, stdin);
		if (n == 0)
			break;
		in.len += n;
		feed(&c, qmp_buffer_span(&in), n);
	}
	must(fwrite(qmp_buffer_span(&c.out).p, 1, c.out.len, stdout) == c.out.len);
	qmp_buffer_release(&c.out);
	return 0;
}
