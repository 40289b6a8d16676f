/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_CHARS_H
#define QMP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/span.h"

/* Inside qmp/ only: the characters of strings as QEMU sees them. */

/*
 * The code point at the start of @s (not empty) in modified UTF-8 (C0 80 is U+0000), or -1 for what
 * QEMU refuses: overlong forms, surrogates, noncharacters, stray bytes. *@used says how many bytes
 * it covers, the bad ones too. Source: mod_utf8_codepoint(), util/unicode.c.
 */
int32_t qmp_utf8_decode(struct span s, size_t *used);

/* Write @cp in modified UTF-8; the number of bytes, or 0 when it is no character to QEMU. */
size_t qmp_utf8_encode(int32_t cp, char out[4]);

enum {
	QMP_CHARS_END = -1,
	QMP_CHARS_BAD_UTF8 = -2,
	QMP_CHARS_BAD_ESCAPE = -3,
	QMP_CHARS_BAD_UNICODE = -4, /* \u of no character: bytes [begin, at) of the token */
};

/* Reads the characters of a string token, escapes decoded. */
struct qmp_chars {
	struct span token; /* with its quotes; the last byte is the closing one */
	size_t at;	   /* of the next character; start with 1 */
	size_t begin;	   /* of the character just read */
};

/* The next character, or one of the codes above. Source: parse_string(), qobject/json-parser.c. */
int32_t qmp_chars_next(struct qmp_chars *c);

/* Append the decoded token to @out, in modified UTF-8, cut between characters and terminated. False
 * when it was cut or is not valid. @size must not be 0. */
bool qmp_chars_decode(struct span token, char *out, size_t size);

#endif
