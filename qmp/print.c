/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints values as QEMU's qobject_to_json() does, for the answers that do not come from QEMU: ASCII
 * only, members in the order of QEMU's hash table, 64-bit integers exact and other numbers with 17
 * digits. The text was checked by grammar.c before; a text that is not JSON gives false or
 * nonsense, never harm.
 *
 * Objects cannot be printed in the order of the text, so the values of one text are noted first, as
 * a tree of offsets in one array, and printed then. Recursion is bounded by QMP_MAX_DEPTH.
 */
#include "qmp/id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "qmp/chars.h"
#include "qmp/dict.h"
#include "qmp/framer.h"
#include "qmp/token.h"

/* A value, and where the next one beside it and the first one in it stand in the array; 0: none. */
struct value {
	struct qmp_token token;
	struct qmp_token key; /* END: no member */
	uint32_t bucket;
	uint32_t next, first;
};

struct tree {
	struct span text;
	struct value *values;
	size_t count, allocated;
	uint32_t open[QMP_MAX_DEPTH]; /* the containers around what is read */
	uint32_t last[QMP_MAX_DEPTH]; /* and the newest value in each */
	uint32_t depth;
};

static bool print_code_point(struct qmp_buffer *out, int32_t cp)
{
	switch (cp) {
	case '"':
		return qmp_buffer_add(out, SPAN("\\\""));
	case '\\':
		return qmp_buffer_add(out, SPAN("\\\\"));
	case '\b':
		return qmp_buffer_add(out, SPAN("\\b"));
	case '\f':
		return qmp_buffer_add(out, SPAN("\\f"));
	case '\n':
		return qmp_buffer_add(out, SPAN("\\n"));
	case '\r':
		return qmp_buffer_add(out, SPAN("\\r"));
	case '\t':
		return qmp_buffer_add(out, SPAN("\\t"));
	default:
		break;
	}
	if (cp >= 0x20 && cp < 0x7F) {
		char c = (char)cp;

		return qmp_buffer_add(out, (struct span){ &c, 1 });
	}
	if (cp > 0xFFFF)
		return qmp_buffer_printf(out, "\\u%04X\\u%04X",
					 0xD800 + (unsigned)((cp - 0x10000) >> 10),
					 0xDC00 + (unsigned)(cp & 0x3FF));
	return qmp_buffer_printf(out, "\\u%04X", cp < 0 ? 0xFFFDU : (unsigned)cp);
}

bool qmp_print_string(struct qmp_buffer *out, struct span text)
{
	bool ok = qmp_buffer_add(out, SPAN("\""));
	size_t used;

	for (size_t at = 0; ok && at < text.len; at += used)
		ok = print_code_point(out, qmp_utf8_decode(span_cut(text, at, text.len), &used));
	return ok && qmp_buffer_add(out, SPAN("\""));
}

static bool print_string_token(struct qmp_buffer *out, struct span token)
{
	struct qmp_chars chars = { .token = token, .at = 1 };
	bool ok = qmp_buffer_add(out, SPAN("\""));
	int32_t cp;

	while (ok && (cp = qmp_chars_next(&chars)) != QMP_CHARS_END)
		ok = print_code_point(out, cp);
	return ok && qmp_buffer_add(out, SPAN("\""));
}

/* QEMU's QNum: an integer of 64 bits, signed or not, if it is one, else a double. */
static bool print_number(struct qmp_buffer *out, struct span token)
{
	bool integer = true, ok;
	char *text = calloc(1, token.len + 1);
	long long i;
	unsigned long long u;

	if (text == NULL)
		abort();
	memcpy(text, token.p, token.len);
	for (size_t k = 0; k < token.len; k++)
		integer = integer && text[k] != '.' && text[k] != 'e' && text[k] != 'E';
	errno = 0;
	i = strtoll(text, NULL, 10);
	if (integer && errno == 0) {
		ok = qmp_buffer_printf(out, "%lld", i);
		goto out;
	}
	errno = 0;
	u = strtoull(text, NULL, 10);
	if (integer && errno == 0 && text[0] != '-')
		ok = qmp_buffer_printf(out, "%llu", u);
	else
		ok = qmp_buffer_printf(out, "%.17g", strtod(text, NULL));
out:
	free(text);
	return ok;
}

static bool is_container(enum qmp_token_type type)
{
	return type == QMP_TOKEN_OPEN_BRACE || type == QMP_TOKEN_OPEN_BRACKET;
}

static void append_value(struct tree *t, struct value v)
{
	uint32_t number = (uint32_t)t->count;

	if (t->count == t->allocated) {
		t->allocated = t->allocated == 0 ? 16 : t->allocated * 2;
		t->values = realloc(t->values, t->allocated * sizeof(*t->values));
		if (t->values == NULL)
			abort();
	}
	t->values[t->count++] = v;
	if (t->depth == 0)
		return;
	if (t->last[t->depth - 1] == 0)
		t->values[t->open[t->depth - 1]].first = number;
	else
		t->values[t->last[t->depth - 1]].next = number;
	t->last[t->depth - 1] = number;
}

static bool in_object(const struct tree *t)
{
	return t->depth > 0 && t->values[t->open[t->depth - 1]].token.type == QMP_TOKEN_OPEN_BRACE;
}

/* Note the value that begins with @now, or with its key. */
static bool note_value(struct tree *t, struct qmp_token *now)
{
	struct value v = { .token = *now };

	if (in_object(t)) {
		v.key = *now;
		if (v.key.type != QMP_TOKEN_STRING)
			return false;
		v.bucket = qmp_dict_bucket(span_cut(t->text, v.key.begin, v.key.end));
		*now = qmp_token_next(t->text, now->end);
		*now = qmp_token_next(t->text, now->end);
		v.token = *now;
	}
	append_value(t, v);
	if (is_container(v.token.type)) {
		if (t->depth == QMP_MAX_DEPTH)
			return false;
		t->open[t->depth] = (uint32_t)t->count - 1;
		t->last[t->depth++] = 0;
	}
	return true;
}

static bool read_tree(struct tree *t)
{
	struct qmp_token now = { .end = 0 };

	do {
		now = qmp_token_next(t->text, now.end);
		switch (now.type) {
		case QMP_TOKEN_END:
		case QMP_TOKEN_COLON:
			return false;
		case QMP_TOKEN_COMMA:
			break;
		case QMP_TOKEN_CLOSE_BRACE:
		case QMP_TOKEN_CLOSE_BRACKET:
			if (t->depth == 0)
				return false;
			t->depth--;
			break;
		case QMP_TOKEN_OPEN_BRACE:
		case QMP_TOKEN_OPEN_BRACKET:
		case QMP_TOKEN_STRING:
		case QMP_TOKEN_NUMBER:
		case QMP_TOKEN_KEYWORD:
			if (!note_value(t, &now))
				return false;
			break;
		}
	} while (t->depth > 0);
	return true;
}

static int compare_members(const void *a, const void *b)
{
	const struct value *x = a, *y = b;

	if (x->bucket != y->bucket)
		return x->bucket < y->bucket ? -1 : 1;
	return x->token.begin > y->token.begin ? -1 : 1; /* the newest first */
}

static bool print_one(struct qmp_buffer *out, const struct tree *t, const struct value *v);

static bool print_array(struct qmp_buffer *out, const struct tree *t, uint32_t first)
{
	bool ok = qmp_buffer_add(out, SPAN("["));

	for (uint32_t i = first; ok && i != 0; i = t->values[i].next)
		ok = (i == first || qmp_buffer_add(out, SPAN(", "))) &&
		     print_one(out, t, &t->values[i]);
	return ok && qmp_buffer_add(out, SPAN("]"));
}

static bool print_object(struct qmp_buffer *out, const struct tree *t, uint32_t first)
{
	bool ok = qmp_buffer_add(out, SPAN("{"));
	struct value *sorted;
	size_t count = 0;

	for (uint32_t i = first; i != 0; i = t->values[i].next)
		count++;
	sorted = calloc(count + 1, sizeof(*sorted));
	if (sorted == NULL)
		abort();
	count = 0;
	for (uint32_t i = first; i != 0; i = t->values[i].next)
		sorted[count++] = t->values[i];
	qsort(sorted, count, sizeof(*sorted), compare_members);
	for (size_t i = 0; ok && i < count; i++) {
		const struct qmp_token *key = &sorted[i].key;

		ok = (i == 0 || qmp_buffer_add(out, SPAN(", "))) &&
		     print_string_token(out, span_cut(t->text, key->begin, key->end)) &&
		     qmp_buffer_add(out, SPAN(": ")) && print_one(out, t, &sorted[i]);
	}
	free(sorted);
	return ok && qmp_buffer_add(out, SPAN("}"));
}

static bool print_one(struct qmp_buffer *out, const struct tree *t, const struct value *v)
{
	struct span token = span_cut(t->text, v->token.begin, v->token.end);

	switch (v->token.type) {
	case QMP_TOKEN_OPEN_BRACE:
		return print_object(out, t, v->first);
	case QMP_TOKEN_OPEN_BRACKET:
		return print_array(out, t, v->first);
	case QMP_TOKEN_STRING:
		return print_string_token(out, token);
	case QMP_TOKEN_NUMBER:
		return print_number(out, token);
	case QMP_TOKEN_KEYWORD:
		return qmp_buffer_add(out, token);
	case QMP_TOKEN_END:
	case QMP_TOKEN_CLOSE_BRACE:
	case QMP_TOKEN_CLOSE_BRACKET:
	case QMP_TOKEN_COLON:
	case QMP_TOKEN_COMMA:
		break;
	}
	return false;
}

bool qmp_print_value(struct qmp_buffer *out, struct span value)
{
	struct tree t; /* large, and need not be cleared */
	size_t len = out->len;
	bool ok;

	t.text = value;
	t.values = NULL;
	t.count = 0;
	t.allocated = 0;
	t.depth = 0;
	ok = read_tree(&t) && print_one(out, &t, &t.values[0]);
	free(t.values);
	if (!ok)
		out->len = len;
	return ok;
}
