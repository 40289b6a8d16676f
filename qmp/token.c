/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walks over the tokens of one JSON text, building nothing. The framer has already decided what is
 * a token; this file only finds their ends again, so it need not tell a good number from a bad one.
 * It must stay inside any text, though. Strings are crossed eight bytes at a time.
 */
#include "qmp/token.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* The high bit of each byte of @v that is 0; bytes above a 0 may be wrong, never the lowest. */
static uint64_t zeroes(uint64_t v)
{
	return (v - ONES) & ~v & HIGHS;
}

static bool is_plain(uint8_t c, char quote)
{
	return c >= 0x20 && c < 0xFE && c != (uint8_t)quote && c != '\\';
}

/* Eight bytes, the first one lowest. */
static uint64_t load(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? __builtin_bswap64(v) : v;
}

size_t qmp_token_plain(const char *p, size_t len, char quote)
{
	const uint64_t quotes = ONES * (uint8_t)quote, slashes = ONES * (uint8_t)'\\';
	size_t i = 0;

	for (; i + sizeof(uint64_t) <= len; i += sizeof(uint64_t)) {
		uint64_t v = load(p + i), found;

		/* 0xFE and 0xFF: with the low bit set, all bits are. */
		found = zeroes(v ^ quotes) | zeroes(v ^ slashes) |
			zeroes((v | ONES) ^ ~UINT64_C(0));
		found |= (v - ONES * 0x20) & ~v & HIGHS;
		if (found != 0)
			return i + (size_t)__builtin_ctzll(found) / 8;
	}
	while (i < len && is_plain((uint8_t)p[i], quote))
		i++;
	return i;
}

/* Behind the string whose opening quote is at @at, or 0 when it is not closed. */
static size_t string_end(struct span text, size_t at)
{
	char quote = text.p[at++];

	while (at < text.len) {
		at += qmp_token_plain(text.p + at, text.len - at, quote);
		if (at < text.len && text.p[at] == quote)
			return at + 1;
		at += at < text.len && text.p[at] == '\\' ? 2 : 1;
	}
	return 0;
}

static bool is_keyword(char c)
{
	return c >= 'a' && c <= 'z';
}

static size_t digits_end(struct span text, size_t at)
{
	while (at < text.len && text.p[at] >= '0' && text.p[at] <= '9')
		at++;
	return at;
}

/* Exactly the lexer's number: "1-2" is two tokens, and so is "0e1". */
static size_t number_end(struct span text, size_t at)
{
	bool zero;

	if (text.p[at] == '-')
		at++;
	while (at < text.len && is_keyword(text.p[at])) /* -inf, see QMP_FRAMER_FROM_QEMU */
		at++;
	zero = at < text.len && text.p[at] == '0';
	at = digits_end(text, at);
	if (at < text.len && text.p[at] == '.') {
		at = digits_end(text, at + 1);
		zero = false;
	}
	if (!zero && at < text.len && (text.p[at] == 'e' || text.p[at] == 'E')) {
		at++;
		if (at < text.len && (text.p[at] == '+' || text.p[at] == '-'))
			at++;
		at = digits_end(text, at);
	}
	return at;
}

/* The type of a token that begins with @c, as far as one byte tells. */
static enum qmp_token_type type_of(char c)
{
	switch (c) {
	case '{':
		return QMP_TOKEN_OPEN_BRACE;
	case '}':
		return QMP_TOKEN_CLOSE_BRACE;
	case '[':
		return QMP_TOKEN_OPEN_BRACKET;
	case ']':
		return QMP_TOKEN_CLOSE_BRACKET;
	case ':':
		return QMP_TOKEN_COLON;
	case ',':
		return QMP_TOKEN_COMMA;
	case '"':
	case '\'':
		return QMP_TOKEN_STRING;
	default:
		if (is_keyword(c))
			return QMP_TOKEN_KEYWORD;
		return c == '-' || (c >= '0' && c <= '9') ? QMP_TOKEN_NUMBER : QMP_TOKEN_END;
	}
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct qmp_token qmp_token_next(struct span text, size_t from)
{
	struct qmp_token t = { QMP_TOKEN_END, from, from };

	while (t.begin < text.len && is_space(text.p[t.begin]))
		t.begin++;
	t.end = t.begin;
	if (t.begin == text.len)
		return t;
	t.type = type_of(text.p[t.begin]);
	if (t.type == QMP_TOKEN_STRING) {
		t.end = string_end(text, t.begin);
		if (t.end == 0)
			t = (struct qmp_token){ QMP_TOKEN_END, text.len, text.len };
		return t;
	}
	if (t.type != QMP_TOKEN_END)
		t.end++;
	if (t.type == QMP_TOKEN_KEYWORD)
		while (t.end < text.len && is_keyword(text.p[t.end]))
			t.end++;
	if (t.type == QMP_TOKEN_NUMBER)
		t.end = number_end(text, t.begin);
	return t;
}

/* What the skipping must look at: quotes and brackets. */
static const uint8_t stops[256] = {
	['"'] = 1, ['\''] = 1, ['{'] = 2, ['['] = 2, ['}'] = 3, [']'] = 3,
};

size_t qmp_token_skip(struct span text, struct qmp_token first, uint32_t *depth)
{
	uint32_t outside = *depth, now = outside;
	size_t at = first.begin;

	if (first.type != QMP_TOKEN_OPEN_BRACE && first.type != QMP_TOKEN_OPEN_BRACKET)
		return first.end;
	while (at < text.len) {
		switch (stops[(uint8_t)text.p[at]]) {
		case 1:
			at = string_end(text, at);
			if (at == 0)
				return text.len;
			continue;
		case 2:
			if (++now > *depth)
				*depth = now;
			break;
		case 3:
			if (--now == outside)
				return at + 1;
			break;
		default:
			break;
		}
		at++;
	}
	return text.len;
}
