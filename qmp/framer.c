/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cuts a byte stream into JSON texts where QEMU does. Knows tokens and brackets, no grammar: that
 * is grammar.c's. Called for every byte from clients and from QEMU, once.
 *
 * Theory of operation. Two machines run over the bytes. The lexer is the table below: a state and
 * the class of the next byte give the next state or an act. The counter adds up the tokens of the
 * text under way: their number, their bytes, the open braces and brackets. A text is complete when
 * nothing is open, or when more of one kind was closed than opened (QEMU then finds the error in
 * it, and so does grammar.c). Numbers and keywords have no end of their own: they end before the
 * first byte that cannot go on, which is looked at again.
 *
 * After a lexical error QEMU forgets the text, skips to the next structural or control character
 * and starts afresh there, wherever in the message that is: one bad message can give many errors.
 * QEMU 11.1 differs in one thing: once a text is known to be bad by grammar or limits, it is read
 * to its end (or to a lexical error) without a further error. The grammar's case needs nothing
 * here, as the text is judged when it is complete; after a limit QMP_FRAMER_MUTED
 * says so. It also counts a byte that is looked at again twice, in the column of the token that
 * begins there.
 *
 * Invariants: tokens == 0 means that no text is under way, state START that no token is; while they
 * are, begin <= token <= pos (unless MUTED). Nothing here depends on how the stream was split.
 */
#include "qmp/framer.h"

#include <stdio.h>

#include "qmp/grammar.h"
#include "qmp/token.h"

enum state {
	START,
	DOUBLE_QUOTED,
	DOUBLE_ESCAPE,
	SINGLE_QUOTED,
	SINGLE_ESCAPE,
	MINUS,
	ZERO,
	DIGITS,
	POINT,
	FRACTION,
	EXPONENT,
	EXPONENT_SIGN,
	EXPONENT_DIGITS,
	KEYWORD,
	RECOVERY,
	STATES,
};

/* What a byte does instead of leading to a state other than START. */
enum act {
	REST = 0,	/* see rest[] */
	BLANK = STATES, /* between tokens */
	STRAY,		/* no token goes on like this; the byte belongs to what is wrong */
	COMPLETE,	/* the token ends with this byte */
	BEFORE,		/* the token ended before this byte */
	RESTART,	/* recovery ends before this byte */
};

enum class {
	OTHER, /* 0x20 to 0xFD without the rest */
	CONTROL,
	TAB,
	LINE_END, /* CR, LF */
	SPACE,
	DOUBLE,
	SINGLE,
	BACKSLASH,
	BRACKET, /* and braces */
	COMMA,	 /* and colon */
	NOUGHT,
	DIGIT,
	DASH,
	PLUS,
	DOT,
	LETTER, /* a to z without e */
	SMALL_E,
	LARGE_E,
	HIGH, /* 0xFE, 0xFF */
	CLASSES,
};

enum why { STRAY_TOKEN, TOO_LARGE, TOO_MANY, TOO_DEEP };

#define C CONTROL
#define O OTHER
#define L LETTER
#define D DIGIT
/* clang-format off */
static const uint8_t class_of[256] = {
	C, C, C, C, C, C, C, C, C, TAB, LINE_END, C, C, LINE_END, C, C,
	C, C, C, C, C, C, C, C, C, C, C, C, C, C, C, C,
	SPACE, O, DOUBLE, O, O, O, O, SINGLE, O, O, O, PLUS, COMMA, DASH, DOT, O,
	NOUGHT, D, D, D, D, D, D, D, D, D, COMMA, O, O, O, O, O,
	O, O, O, O, O, LARGE_E, O, O, O, O, O, O, O, O, O, O,
	O, O, O, O, O, O, O, O, O, O, O, BRACKET, BACKSLASH, BRACKET, O, O,
	O, L, L, L, L, SMALL_E, L, L, L, L, L, L, L, L, L, L,
	L, L, L, L, L, L, L, L, L, L, L, BRACKET, O, BRACKET, O, O,
	[0xFE] = HIGH, [0xFF] = HIGH,
};
#undef C
#undef O
#undef L
#undef D

#define CONTROLS(act) [CONTROL] = (act), [TAB] = (act), [LINE_END] = (act), [HIGH] = (act)
#define DIGITS_TO(state) [NOUGHT] = (state), [DIGIT] = (state)
#define E_TO(state) [SMALL_E] = (state), [LARGE_E] = (state)

static const uint8_t step[STATES][CLASSES] = {
	[START] = { [TAB] = BLANK, [LINE_END] = BLANK, [SPACE] = BLANK,
		    [DOUBLE] = DOUBLE_QUOTED, [SINGLE] = SINGLE_QUOTED, [BRACKET] = COMPLETE,
		    [COMMA] = COMPLETE, [NOUGHT] = ZERO, [DIGIT] = DIGITS, [DASH] = MINUS,
		    [LETTER] = KEYWORD, [SMALL_E] = KEYWORD },
	[DOUBLE_QUOTED] = { CONTROLS(STRAY), [BACKSLASH] = DOUBLE_ESCAPE, [DOUBLE] = COMPLETE },
	[DOUBLE_ESCAPE] = { CONTROLS(STRAY) },
	[SINGLE_QUOTED] = { CONTROLS(STRAY), [BACKSLASH] = SINGLE_ESCAPE, [SINGLE] = COMPLETE },
	[SINGLE_ESCAPE] = { CONTROLS(STRAY) },
	[MINUS] = { [NOUGHT] = ZERO, [DIGIT] = DIGITS },
	[ZERO] = { DIGITS_TO(STRAY), [DOT] = POINT }, /* 0e1 is 0 and a keyword */
	[DIGITS] = { DIGITS_TO(DIGITS), [DOT] = POINT, E_TO(EXPONENT) },
	[POINT] = { DIGITS_TO(FRACTION) },
	[FRACTION] = { DIGITS_TO(FRACTION), E_TO(EXPONENT) },
	[EXPONENT] = { [DASH] = EXPONENT_SIGN, [PLUS] = EXPONENT_SIGN,
		       DIGITS_TO(EXPONENT_DIGITS) },
	[EXPONENT_SIGN] = { DIGITS_TO(EXPONENT_DIGITS) },
	[EXPONENT_DIGITS] = { DIGITS_TO(EXPONENT_DIGITS) },
	[KEYWORD] = { [LETTER] = KEYWORD, [SMALL_E] = KEYWORD },
	[RECOVERY] = { [CONTROL] = RESTART, [LINE_END] = RESTART, [BRACKET] = RESTART,
		       [COMMA] = RESTART, [HIGH] = RESTART },
};

/* What the bytes do that the table does not name. */
static const uint8_t rest[STATES] = {
	[START] = STRAY,
	[DOUBLE_QUOTED] = DOUBLE_QUOTED,
	[DOUBLE_ESCAPE] = DOUBLE_QUOTED,
	[SINGLE_QUOTED] = SINGLE_QUOTED,
	[SINGLE_ESCAPE] = SINGLE_QUOTED,
	[MINUS] = STRAY,
	[ZERO] = BEFORE,
	[DIGITS] = BEFORE,
	[POINT] = STRAY,
	[FRACTION] = BEFORE,
	[EXPONENT] = STRAY,
	[EXPONENT_SIGN] = STRAY,
	[EXPONENT_DIGITS] = BEFORE,
	[KEYWORD] = BEFORE,
	[RECOVERY] = RECOVERY,
};
/* clang-format on */

static void advance(struct qmp_framer *f, size_t n)
{
	f->pos += n;
	f->column += (uint32_t)n;
}

static void advance_over(struct qmp_framer *f, char c)
{
	f->pos++;
	f->column++;
	if (c == '\n') {
		f->line++;
		f->column = 0;
	}
}

static void set_flag(struct qmp_framer *f, enum qmp_framer_flag flag, bool on)
{
	f->flags = (uint16_t)(on ? f->flags | flag : f->flags & ~(unsigned)flag);
}

static void begin_text(struct qmp_framer *f)
{
	f->begin = f->pos;
	f->begin_line = f->line;
	f->begin_column = f->column;
	set_flag(f, QMP_FRAMER_BEGAN_AGAIN, f->flags & QMP_FRAMER_AGAIN);
}

static void begin_token(struct qmp_framer *f)
{
	f->token = f->pos;
	f->token_line = f->line;
	f->token_column = f->column + ((f->flags & QMP_FRAMER_AGAIN) != 0);
	if (f->tokens == 0)
		begin_text(f);
}

static void forget_text(struct qmp_framer *f)
{
	f->tokens = 0;
	f->bytes = 0;
	f->braces = 0;
	f->brackets = 0;
}

/* QEMU limits what it reads, not what it prints; there the owner's memory is the limit. */
static uint64_t max_bytes(const struct qmp_framer *f)
{
	return (f->flags & QMP_FRAMER_FROM_QEMU) != 0 ? UINT64_MAX / 2 : QMP_MAX_BYTES;
}

static bool text_goes_on(const struct qmp_framer *f)
{
	return (f->braces > 0 || f->brackets > 0) && f->braces >= 0 && f->brackets >= 0;
}

static enum qmp_framer_result bad(struct qmp_framer *f, enum why why, enum state next)
{
	bool mute = (f->flags & QMP_FRAMER_MUTED) != 0;
	bool muted = why != STRAY_TOKEN && f->dialect == QMP_DIALECT_LOCATED && text_goes_on(f);

	f->state = (uint16_t)next;
	f->bad = (uint16_t)why;
	f->end = f->pos;
	set_flag(f, QMP_FRAMER_MUTED, muted);
	if (!muted)
		forget_text(f);
	return mute ? QMP_FRAMER_NEED_MORE : QMP_FRAMER_BAD;
}

/* The token [f->token, f->pos) is complete; @first is its first byte. */
static enum qmp_framer_result count_token(struct qmp_framer *f, char first)
{
	uint64_t size = f->pos - f->token;
	bool mute = (f->flags & QMP_FRAMER_MUTED) != 0;

	f->state = START;
	f->braces += (first == '{') - (first == '}');
	f->brackets += (first == '[') - (first == ']');
	if (!mute) {
		if (f->bytes + size + 1 > max_bytes(f))
			return bad(f, TOO_LARGE, START);
		if (f->tokens + 1 > QMP_MAX_TOKENS && (f->flags & QMP_FRAMER_FROM_QEMU) == 0)
			return bad(f, TOO_MANY, START);
		if (f->braces + f->brackets > QMP_MAX_DEPTH)
			return bad(f, TOO_DEEP, START);
		f->bytes += size;
		f->tokens++;
	}
	if (text_goes_on(f))
		return QMP_FRAMER_NEED_MORE;
	f->end = f->pos;
	set_flag(f, QMP_FRAMER_MUTED, false);
	forget_text(f);
	return mute ? QMP_FRAMER_NEED_MORE : QMP_FRAMER_GOT;
}

/* How many bytes at @p, at most @len, change nothing but the position. */
static size_t run_length(const struct qmp_framer *f, const char *p, size_t len)
{
	uint64_t room = max_bytes(f) - (f->pos - f->token);

	if (f->state == DOUBLE_QUOTED || f->state == SINGLE_QUOTED)
		return qmp_token_plain(p, len < room ? len : room,
				       f->state == DOUBLE_QUOTED ? '"' : '\'');
	return 0;
}

/* Take one byte, or none when it ends a token before it. */
static enum qmp_framer_result take(struct qmp_framer *f, char c)
{
	uint8_t next = step[f->state][class_of[(uint8_t)c]];

	if (next == REST)
		next = rest[f->state];
	if (f->state == MINUS && (f->flags & QMP_FRAMER_FROM_QEMU) != 0 && c >= 'a' && c <= 'z')
		next = KEYWORD;
	if (next == RESTART || next == BEFORE) {
		set_flag(f, QMP_FRAMER_AGAIN, true);
		if (next == BEFORE)
			return count_token(f, '0');
		f->state = START;
		return QMP_FRAMER_NEED_MORE;
	}
	if (f->state == START && next != BLANK)
		begin_token(f);
	set_flag(f, QMP_FRAMER_AGAIN, false);
	advance_over(f, c);
	if (next == BLANK)
		return QMP_FRAMER_NEED_MORE;
	if (next == STRAY)
		return bad(f, STRAY_TOKEN, RECOVERY);
	if (next == COMPLETE)
		return count_token(f, c);
	f->state = next;
	if (next != RECOVERY && f->pos - f->token > max_bytes(f))
		return bad(f, TOO_LARGE, START);
	return QMP_FRAMER_NEED_MORE;
}

enum qmp_framer_result qmp_framer_feed(struct qmp_framer *f, struct span in, size_t *used)
{
	enum qmp_framer_result result = QMP_FRAMER_NEED_MORE;
	uint64_t start = f->pos;
	size_t at = 0;

	while (at < in.len && result == QMP_FRAMER_NEED_MORE) {
		advance(f, run_length(f, in.p + at, in.len - at));
		at = (size_t)(f->pos - start);
		if (at == in.len)
			break;
		result = take(f, in.p[at]);
		at = (size_t)(f->pos - start);
	}
	/* Between texts nothing need be kept; a token that began is kept by begin_token(). */
	if (result == QMP_FRAMER_NEED_MORE &&
	    ((f->flags & QMP_FRAMER_MUTED) != 0 ||
	     (f->tokens == 0 && (f->state == START || f->state == RECOVERY))))
		begin_text(f);
	*used = at;
	return result;
}

/* What QEMU 11.1 says first: a fault in the grammar before the token. True when there is none. */
static bool grammar_before(const struct qmp_framer *f, struct span text, struct qmp_error *e)
{
	struct qmp_grammar g = { .dialect = QMP_DIALECT_LOCATED, .unfinished = true };

	g.line = f->begin_line;
	g.column = f->begin_column;
	g.began_again = (f->flags & QMP_FRAMER_BEGAN_AGAIN) != 0;
	return qmp_grammar_check(span_cut(text, 0, (size_t)(f->token - f->begin)), &g, e);
}

/* QEMU 11.1 cuts this at 1023 bytes like all that its parser says; before, it was said whole. */
static void say_stray(const struct qmp_framer *f, struct span text, struct qmp_error *e)
{
	bool located = f->dialect == QMP_DIALECT_LOCATED;
	struct span token = span_cut(text, (size_t)(f->token - f->begin), text.len);
	char message[QMP_ERROR_TEXT_MAX];

	if (token.len > sizeof(message))
		token.len = sizeof(message);
	/* "%.*s" ends at a NUL, as QEMU's text does. */
	snprintf(message, located ? 1024 : sizeof(message), "stray '%.*s'", (int)token.len,
		 token.p);
	qmp_error_set(e, "JSON parse error, %s", message);
	if (located)
		qmp_error_prefix(e, "%u:%u: ", f->token_line + 1, f->token_column + 1);
}

void qmp_framer_error(const struct qmp_framer *f, struct span text, struct qmp_error *e)
{
	if (f->dialect == QMP_DIALECT_LOCATED && !grammar_before(f, text, e))
		return;
	switch ((enum why)f->bad) {
	case STRAY_TOKEN:
		say_stray(f, text, e);
		return;
	case TOO_LARGE:
		qmp_error_set(e, "JSON token size limit exceeded");
		return;
	case TOO_MANY:
		qmp_error_set(e, "JSON token count limit exceeded");
		return;
	case TOO_DEEP:
		qmp_error_set(e, "JSON nesting depth limit exceeded");
		return;
	}
}
