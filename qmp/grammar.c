/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of one JSON text, checked in one pass over its tokens with QEMU's errors: structure,
 * keywords, the characters of strings, duplicate keys. Builds nothing. Called for texts from
 * clients; texts from QEMU need no check.
 *
 * QEMU up to 10.x reads a key as any value and complains when that value is complete and no string;
 * 11.1 complains at its first token. That is the only difference besides the words.
 */
#include "qmp/grammar.h"

#include <stdio.h>
#include <stdlib.h>

#include "qmp/chars.h"
#include "qmp/keyset.h"
#include "qmp/token.h"

enum expect {
	A_VALUE,
	A_VALUE_OR_END, /* behind [ */
	A_KEY,
	A_KEY_OR_END, /* behind { */
	A_COLON,
	A_SEPARATOR,
	NOTHING,
};

/* An open object or array. */
struct frame {
	struct span key; /* of the member under way; p == NULL: it was no string */
	uint32_t serial; /* of the object, for the set of keys; 0: an array */
};

struct checker {
	struct span text;
	struct qmp_grammar *g;
	struct qmp_error *e;
	enum expect expect;
	uint32_t depth;
	uint32_t objects;
	bool again; /* the first byte of the token was what ended the one before */
	struct qmp_keyset keys;
	struct frame frames[QMP_MAX_DEPTH];
};

enum fault {
	EXPECTING_VALUE,
	EXPECTING_KEY,
	KEY_IS_NO_STRING,
	MISSING_COLON,
	MISSING_SEPARATOR_IN_DICT,
	MISSING_SEPARATOR_IN_LIST,
	DUPLICATE_KEY,
	BAD_ESCAPE,
	BAD_UTF8,
	PREMATURE_END,
};

static const char *const words[][2] = {
	[EXPECTING_VALUE] = { "expecting value", "expecting value" },
	[EXPECTING_KEY] = { "expecting value", "expecting key" },
	[KEY_IS_NO_STRING] = { "key is not a string in object", "expecting key" },
	[MISSING_COLON] = { "missing : in object pair", "expecting ':'" },
	[MISSING_SEPARATOR_IN_DICT] = { "expected separator in dict", "expected ',' or '}'" },
	[MISSING_SEPARATOR_IN_LIST] = { "expected separator in list", "expected ',' or ']'" },
	[DUPLICATE_KEY] = { "duplicate key", "duplicate key" },
	[BAD_ESCAPE] = { "invalid escape sequence in string", "invalid escape sequence in string" },
	[BAD_UTF8] = { "invalid UTF-8 sequence in string", "invalid UTF-8 sequence in string" },
	[PREMATURE_END] = { "premature EOI", "premature EOI" },
};

/* Finish the error that @c->e holds with what every parse error has. */
static bool finish(struct checker *c, size_t offset)
{
	uint32_t line = c->g->line, column = c->g->column;

	qmp_error_prefix(c->e, "JSON parse error, ");
	if (c->g->dialect != QMP_DIALECT_LOCATED)
		return false;
	for (size_t i = 0; i < offset; i++) {
		column++;
		if (c->text.p[i] == '\n') {
			line++;
			column = 0;
		}
	}
	return qmp_error_prefix(c->e, "%u:%u: ", line + 1, column + 1 + c->again);
}

static bool fail(struct checker *c, struct qmp_token t, enum fault fault)
{
	qmp_error_set(c->e, "%s", words[fault][c->g->dialect == QMP_DIALECT_LOCATED]);
	return finish(c, t.begin);
}

/* The words @format with the bytes @part in them, cut where QEMU cuts. */
static bool fail_with(struct checker *c, struct qmp_token t, const char *before, struct span part,
		      const char *after)
{
	char message[1024];

	snprintf(message, sizeof(message), "%s%.*s%s", before,
		 (int)(part.len < sizeof(message) ? part.len : sizeof(message)), part.p, after);
	qmp_error_set(c->e, "%s", message);
	return finish(c, t.begin);
}

static bool check_string(struct checker *c, struct qmp_token t)
{
	struct qmp_chars chars = { .token = span_cut(c->text, t.begin, t.end), .at = 1 };
	int32_t cp;

	while ((cp = qmp_chars_next(&chars)) >= 0)
		;
	switch (cp) {
	case QMP_CHARS_END:
		return true;
	case QMP_CHARS_BAD_ESCAPE:
		return fail(c, t, BAD_ESCAPE);
	case QMP_CHARS_BAD_UNICODE:
		return fail_with(c, t, "", span_cut(chars.token, chars.begin, chars.at),
				 " is not a valid Unicode character");
	default:
		return fail(c, t, BAD_UTF8);
	}
}

static bool check_keyword(struct checker *c, struct qmp_token t)
{
	struct span word = span_cut(c->text, t.begin, t.end);

	if (span_is(word, "true") || span_is(word, "false") || span_is(word, "null"))
		return true;
	return fail_with(c, t, "invalid keyword '", word, "'");
}

static bool open_container(struct checker *c, struct qmp_token t)
{
	bool object = t.type == QMP_TOKEN_OPEN_BRACE;
	struct frame *frame;

	if (c->depth == QMP_MAX_DEPTH)
		return qmp_error_set(c->e, "JSON nesting depth limit exceeded");
	frame = &c->frames[c->depth++];
	*frame = (struct frame){ .serial = object ? ++c->objects : 0 };
	if (c->depth > c->g->depth)
		c->g->depth = c->depth;
	c->expect = object ? A_KEY_OR_END : A_VALUE_OR_END;
	return true;
}

/* The value that ends with @t is complete. */
static bool complete(struct checker *c, struct qmp_token t)
{
	struct frame *frame;

	if (c->depth == 0) {
		c->expect = NOTHING;
		return true;
	}
	frame = &c->frames[c->depth - 1];
	if (frame->serial != 0 && frame->key.p == NULL)
		return fail(c, t, KEY_IS_NO_STRING);
	if (frame->serial != 0 && !qmp_keyset_add(&c->keys, frame->serial, frame->key))
		return fail(c, t, DUPLICATE_KEY);
	c->expect = A_SEPARATOR;
	return true;
}

static bool take_value(struct checker *c, struct qmp_token t)
{
	switch (t.type) {
	case QMP_TOKEN_OPEN_BRACE:
	case QMP_TOKEN_OPEN_BRACKET:
		return open_container(c, t);
	case QMP_TOKEN_STRING:
		return check_string(c, t) && complete(c, t);
	case QMP_TOKEN_KEYWORD:
		return check_keyword(c, t) && complete(c, t);
	case QMP_TOKEN_NUMBER:
		return complete(c, t);
	case QMP_TOKEN_END:
	case QMP_TOKEN_CLOSE_BRACE:
	case QMP_TOKEN_CLOSE_BRACKET:
	case QMP_TOKEN_COLON:
	case QMP_TOKEN_COMMA:
		break;
	}
	return fail(c, t, EXPECTING_VALUE);
}

static bool take_key(struct checker *c, struct qmp_token t)
{
	struct frame *frame = &c->frames[c->depth - 1];

	if (t.type == QMP_TOKEN_STRING) {
		frame->key = span_cut(c->text, t.begin, t.end);
		c->expect = A_COLON;
		return check_string(c, t);
	}
	if (c->g->dialect == QMP_DIALECT_LOCATED)
		return fail(c, t, EXPECTING_KEY);
	frame->key = (struct span){ NULL, 0 };
	return take_value(c, t);
}

static bool close_container(struct checker *c, struct qmp_token t)
{
	c->depth--;
	return complete(c, t);
}

static bool take_separator(struct checker *c, struct qmp_token t)
{
	bool object = c->frames[c->depth - 1].serial != 0;

	if (t.type == (object ? QMP_TOKEN_CLOSE_BRACE : QMP_TOKEN_CLOSE_BRACKET))
		return close_container(c, t);
	if (t.type != QMP_TOKEN_COMMA)
		return fail(c, t, object ? MISSING_SEPARATOR_IN_DICT : MISSING_SEPARATOR_IN_LIST);
	c->expect = object ? A_KEY : A_VALUE;
	return true;
}

static bool take(struct checker *c, struct qmp_token t)
{
	switch (c->expect) {
	case A_VALUE:
		return take_value(c, t);
	case A_VALUE_OR_END:
		return t.type == QMP_TOKEN_CLOSE_BRACKET ? close_container(c, t) : take_value(c, t);
	case A_KEY:
		return take_key(c, t);
	case A_KEY_OR_END:
		return t.type == QMP_TOKEN_CLOSE_BRACE ? close_container(c, t) : take_key(c, t);
	case A_COLON:
		if (t.type != QMP_TOKEN_COLON)
			return fail(c, t, MISSING_COLON);
		c->expect = A_VALUE;
		return true;
	case A_SEPARATOR:
		return take_separator(c, t);
	case NOTHING:
		return true;
	}
	return true;
}

static bool run(struct checker *c)
{
	struct qmp_token t = { .end = 0 };

	while (c->expect != NOTHING) {
		bool open_ended = t.type == QMP_TOKEN_NUMBER || t.type == QMP_TOKEN_KEYWORD;
		size_t end = t.end;

		t = qmp_token_next(c->text, end);
		c->again = t.begin == end && (end == 0 ? c->g->began_again : open_ended);
		if (t.type == QMP_TOKEN_END && t.begin == c->text.len)
			return c->g->unfinished || fail(c, t, PREMATURE_END);
		if (!take(c, t))
			return false;
	}
	return true;
}

bool qmp_grammar_check(struct span text, struct qmp_grammar *g, struct qmp_error *e)
{
	struct checker c; /* large, and most of it need not be cleared */
	bool ok;

	c.text = text;
	c.g = g;
	c.e = e;
	c.expect = A_VALUE;
	c.depth = 0;
	c.objects = 0;
	c.again = false;
	g->depth = 0;
	qmp_keyset_init(&c.keys);
	ok = run(&c);
	qmp_keyset_release(&c.keys);
	return ok;
}
