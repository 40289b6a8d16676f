/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One text, not cut by the framer, through everything that reads messages: never a byte outside it,
 * and what is taken apart can be put together again.
 */
#define _GNU_SOURCE /* memmem() */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/build.h"
#include "qmp/id.h"
#include "qmp/json.h"
#include "qmp/message.h"
#include "qmp/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUTPUT_MAX = 1 << 20 };

static const uint64_t number = UINT64_C(18446744073709551615);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* A span of a message lies in its text. */
static void inside(struct span text, struct span part)
{
	if (part.p != NULL)
		require(part.p >= text.p && part.p + part.len <= text.p + text.len);
}

static void join(struct qmp_buffer *out, const struct qmp_splice *s)
{
	size_t before = out->len;

	for (unsigned i = 0; i < s->count; i++)
		qmp_buffer_add(out, s->piece[i]);
	require(out->full || out->len - before == qmp_splice_size(s));
}

/* Print @value, and what was printed, until four are printed; false when they do not fit. */
static bool print_four(struct span value, struct qmp_buffer out[4])
{
	for (int i = 0; i < 4; i++) {
		out[i] = (struct qmp_buffer)QMP_BUFFER_INIT(OUTPUT_MAX);
		if (!qmp_print_value(&out[i], value))
			return false;
		if (memmem(out[i].data, out[i].len, "inf", 3) != NULL)
			return false; /* no JSON, but QEMU prints it */
		value = qmp_buffer_span(&out[i]);
	}
	return true;
}

/* Printing turns round the members that share a bucket of QEMU's hash table, and no more; but for
 * -0.0, which becomes -0 and then 0. */
static void print_often(struct span value)
{
	struct qmp_buffer out[4] = { 0 };

	if (print_four(value, out)) {
		require(out[1].len == out[2].len);
		require(span_equal(qmp_buffer_span(&out[1]), qmp_buffer_span(&out[3])));
	}
	for (int i = 0; i < 4; i++)
		qmp_buffer_release(&out[i]);
}

/* A command as it goes to QEMU: the same one, its id wrapped. */
static void send(const struct qmp_message *m)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(OUTPUT_MAX);
	const struct qmp_framer f = { 0 };
	struct qmp_message again;
	struct span client_id;
	struct qmp_splice s;
	struct qmp_error e;
	uint64_t got;

	qmp_splice_command(&s, m, number);
	join(&out, &s);
	if (out.full || m->depth >= QMP_MAX_DEPTH - 1)
		return;
	require(qmp_command_parse(qmp_buffer_span(&out), &f, true, &again, &e) == QMP_COMMAND_OK);
	require(qmp_id_split(again.id, &got, &client_id) && got == number);
	require((client_id.p == NULL) == (m->id.p == NULL) && span_equal(client_id, m->id));
	require(strcmp(again.name, m->name) == 0 && span_equal(again.body, m->body));
}

static void as_command(struct span text, uint16_t dialect)
{
	const struct qmp_framer f = { .dialect = dialect };
	struct qmp_message m;
	struct qmp_error e;
	bool oob = false;

	if (qmp_command_parse(text, &f, true, &m, &e) == QMP_COMMAND_OK) {
		inside(text, m.body);
		send(&m);
		if (qmp_session_negotiate(&m, text.len % 2 == 0, &oob, &e) == QMP_SESSION_REFUSED)
			require(e.text[0] != '\0' && !oob);
	}
	inside(text, m.id);
	if (m.depth != 0) /* it is JSON */
		print_often(text);
}

static void as_reply(struct span text)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(OUTPUT_MAX);
	struct qmp_message m;
	struct span client_id;
	struct qmp_splice s;
	struct qmp_error e;
	uint64_t got;

	if (!qmp_reply_parse(text, &m, &e))
		return;
	inside(text, m.id);
	inside(text, m.body);
	inside(text, m.id_member);
	if (m.id.p != NULL && qmp_id_split(m.id, &got, &client_id)) {
		inside(m.id, client_id);
		qmp_splice_reply(&s, &m, client_id);
		join(&out, &s);
		require(out.full || qmp_reply_parse(qmp_buffer_span(&out), &m, &e));
		require(out.full || (m.id.p == NULL) == (client_id.p == NULL));
	}
	(void)qmp_session_offers_oob(&m);
	(void)qmp_session_dialect(&m);
}

static void as_json(struct span text)
{
	struct qmp_error e;
	struct json *root;
	size_t offset = SIZE_MAX;

	if (json_parse(text, JSON_COMMENTS, &root, &offset, &e)) {
		require(root->offset < text.len);
		json_free(root);
	} else {
		require(offset <= text.len && e.text[0] != '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	char name[16];

	if (size == 0)
		return 0;
	as_command(text, QMP_DIALECT_PLAIN);
	as_command(text, QMP_DIALECT_LOCATED);
	as_reply(text);
	as_json(text);
	inside(text, qmp_member(text, "id"));
	inside(text, qmp_element(text, (unsigned)(size % 3)));
	(void)qmp_string(text, name, sizeof(name));
	return 0;
}
