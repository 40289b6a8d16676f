/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages put together out of pieces. What a client or QEMU wrote is never encoded again: only
 * the id changes, by cutting and inserting. Few bytes are added, as QEMU reads commands one by one
 * byte.
 *
 * One thing is not as QEMU would have it: from a monitor with pretty=on, an id that is an object or
 * array comes back with the lines inside it indented four blanks too far, since it was an element
 * of qmend's own id. It is the same JSON.
 */
#include "qmp/build.h"

#include <inttypes.h>
#include <stdio.h>

#include "qmp/id.h"
#include "qmp/token.h"

static void add_piece(struct qmp_splice *s, struct span piece)
{
	if (piece.len != 0)
		s->piece[s->count++] = piece;
}

/* The bytes of @m->text from @from up to @to, both inside it. */
static struct span between(const struct qmp_message *m, const char *from, const char *to)
{
	return span_cut(m->text, (size_t)(from - m->text.p), (size_t)(to - m->text.p));
}

void qmp_splice_command(struct qmp_splice *s, const struct qmp_message *m, uint64_t number)
{
	const char *text_end = m->text.p + m->text.len;
	const char *brace_end = m->text.p + qmp_token_next(m->text, 0).end;

	s->count = 0;
	if (m->id.p == NULL) {
		snprintf(s->scratch, sizeof(s->scratch), "\"id\":[%" PRIu64 "],", number);
		add_piece(s, between(m, m->text.p, brace_end));
		add_piece(s, span_of(s->scratch));
		add_piece(s, between(m, brace_end, text_end));
		return;
	}
	snprintf(s->scratch, sizeof(s->scratch), "[%" PRIu64 ",", number);
	add_piece(s, between(m, m->text.p, m->id.p));
	add_piece(s, span_of(s->scratch));
	add_piece(s, m->id);
	add_piece(s, SPAN("]"));
	add_piece(s, between(m, m->id.p + m->id.len, text_end));
}

void qmp_splice_bare(struct qmp_splice *s, const struct qmp_message *m, uint64_t number)
{
	const char *text_end = m->text.p + m->text.len;
	const char *cut = m->id.p;

	s->count = 0;
	snprintf(s->scratch, sizeof(s->scratch), "%" PRIu64, number);
	if (cut == NULL) {
		cut = m->text.p + qmp_token_next(m->text, 0).end;
		snprintf(s->scratch, sizeof(s->scratch), "\"id\":%" PRIu64 ",", number);
	}
	add_piece(s, between(m, m->text.p, cut));
	add_piece(s, span_of(s->scratch));
	add_piece(s, between(m, cut + m->id.len, text_end));
}

void qmp_splice_reply(struct qmp_splice *s, const struct qmp_message *m, struct span client_id)
{
	struct span cut = client_id.p != NULL ? m->id : m->id_member;
	const char *text_end = m->text.p + m->text.len;

	s->count = 0;
	if (m->id.p == NULL)
		cut = (struct span){ text_end, 0 };
	add_piece(s, between(m, m->text.p, cut.p));
	if (m->id.p != NULL)
		add_piece(s, client_id);
	add_piece(s, between(m, cut.p + cut.len, text_end));
	if (m->text.len == 0 || text_end[-1] != '\n')
		add_piece(s, SPAN("\r\n"));
}

size_t qmp_splice_size(const struct qmp_splice *s)
{
	size_t size = 0;

	for (unsigned i = 0; i < s->count; i++)
		size += s->piece[i].len;
	return size;
}

/* Take back what was added since @len when something did not fit. */
static bool whole_or_nothing(struct qmp_buffer *out, size_t len, bool fits)
{
	if (!fits)
		out->len = len;
	return fits;
}

bool qmp_build_return(struct qmp_buffer *out, struct span body, struct span id)
{
	size_t len = out->len;
	bool ok = qmp_buffer_add(out, SPAN("{\"return\": ")) && qmp_buffer_add(out, body);

	if (ok && id.p != NULL)
		ok = qmp_buffer_add(out, SPAN(", \"id\": ")) && qmp_print_value(out, id);
	return whole_or_nothing(out, len, ok && qmp_buffer_add(out, SPAN("}\r\n")));
}

bool qmp_build_error(struct qmp_buffer *out, const struct qmp_error *e, struct span id)
{
	size_t len = out->len;
	bool ok = qmp_buffer_add(out, SPAN("{"));

	if (id.p != NULL)
		ok = ok && qmp_buffer_add(out, SPAN("\"id\": ")) && qmp_print_value(out, id) &&
		     qmp_buffer_add(out, SPAN(", "));
	ok = ok && qmp_buffer_printf(out, "\"error\": {\"class\": \"%s\", \"desc\": ",
				     qmp_error_class_name(e->code));
	ok = ok && qmp_print_string(out, span_of(e->text)) && qmp_buffer_add(out, SPAN("}}\r\n"));
	return whole_or_nothing(out, len, ok);
}
