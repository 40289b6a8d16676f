/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Characters as QEMU sees them: "modified UTF-8", in which U+0000 is C0 80 so that strings never
 * hold a NUL, and string tokens with their escapes. What is no character to QEMU (surrogates,
 * noncharacters, overlong forms) is none here. Used by everything that looks into strings.
 */
#include "qmp/chars.h"

static bool is_character(int32_t cp)
{
	if (cp < 0 || cp > 0x10FFFF)
		return false;
	if ((cp >= 0xD800 && cp <= 0xDFFF) || (cp >= 0xFDD0 && cp <= 0xFDEF))
		return false;
	return (cp & 0xFFFE) != 0xFFFE;
}

/* How many bytes the lead byte @c announces; 0 when it is no lead byte. */
static unsigned sequence_length(uint8_t c)
{
	unsigned len = 2;

	if (c < 0xC0 || c >= 0xFE)
		return 0;
	for (uint8_t bit = 0x20; (c & bit) != 0; bit >>= 1)
		len++;
	return len;
}

int32_t qmp_utf8_decode(struct span s, size_t *used)
{
	static const int32_t smallest[] = { 0x80, 0x800, 0x10000, 0x200000, 0x4000000 };
	uint8_t lead = (uint8_t)s.p[0];
	unsigned len = sequence_length(lead);
	int32_t cp;

	*used = 1;
	if (lead < 0x80)
		return lead;
	if (len == 0)
		return -1;
	cp = lead & (0x7F >> len);
	for (unsigned i = 1; i < len; i++) {
		if (i >= s.len || ((uint8_t)s.p[i] & 0xC0) != 0x80)
			return -1;
		cp = (cp << 6) | (s.p[i] & 0x3F);
		*used = i + 1;
	}
	if (!is_character(cp) || (cp < smallest[len - 2] && !(cp == 0 && len == 2)))
		return -1;
	return cp;
}

size_t qmp_utf8_encode(int32_t cp, char out[4])
{
	if (!is_character(cp))
		return 0;
	if (cp > 0 && cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xC0 | (cp >> 6));
		out[1] = (char)(0x80 | (cp & 0x3F));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xE0 | (cp >> 12));
		out[1] = (char)(0x80 | ((cp >> 6) & 0x3F));
		out[2] = (char)(0x80 | (cp & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | (cp >> 18));
	out[1] = (char)(0x80 | ((cp >> 12) & 0x3F));
	out[2] = (char)(0x80 | ((cp >> 6) & 0x3F));
	out[3] = (char)(0x80 | (cp & 0x3F));
	return 4;
}

static int32_t hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Four hex digits at @at, or -1. */
static int32_t hex4(struct span token, size_t at)
{
	int32_t value = 0;

	if (at + 4 > token.len)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		int32_t digit = hex_digit(token.p[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/* Behind "\u": one or two units. On failure @at covers what QEMU quotes in its error. */
static int32_t unicode_escape(struct qmp_chars *c)
{
	struct span token = c->token;
	int32_t cp = hex4(token, c->at), low;
	size_t next = c->at + 4;
	bool high = cp >= 0xD800 && cp <= 0xDBFF;

	c->at = next < token.len ? next : token.len;
	if (high && next + 1 < token.len && token.p[next] == '\\' && token.p[next + 1] == 'u') {
		low = hex4(token, next + 2);
		if (low < 0xDC00 || low > 0xDFFF)
			return QMP_CHARS_BAD_UNICODE;
		c->at = next + 6;
		cp = 0x10000 + ((cp & 0x3FF) << 10 | (low & 0x3FF));
	}
	return is_character(cp) ? cp : QMP_CHARS_BAD_UNICODE;
}

static int32_t escape(struct qmp_chars *c)
{
	char kind;

	if (c->at + 1 >= c->token.len)
		return QMP_CHARS_BAD_ESCAPE;
	kind = c->token.p[c->at++];
	switch (kind) {
	case '"':
	case '\'':
	case '\\':
	case '/':
		return kind;
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'u':
		return unicode_escape(c);
	default:
		return QMP_CHARS_BAD_ESCAPE;
	}
}

int32_t qmp_chars_next(struct qmp_chars *c)
{
	struct span token = c->token;
	size_t used;
	int32_t cp;

	c->begin = c->at;
	if (c->at + 1 >= token.len)
		return QMP_CHARS_END;
	if (token.p[c->at] == '\\') {
		c->at++;
		return escape(c);
	}
	cp = qmp_utf8_decode(span_cut(token, c->at, token.len - 1), &used);
	c->at += used;
	return cp < 0 ? QMP_CHARS_BAD_UTF8 : cp;
}

bool qmp_chars_decode(struct span token, char *out, size_t size)
{
	struct qmp_chars c = { .token = token, .at = 1 };
	size_t len = 0;
	int32_t cp;

	while ((cp = qmp_chars_next(&c)) >= 0) {
		char bytes[4];
		size_t n = qmp_utf8_encode(cp, bytes);

		if (len + n >= size)
			break;
		memcpy(out + len, bytes, n);
		len += n;
	}
	out[len] = '\0';
	return cp == QMP_CHARS_END;
}
