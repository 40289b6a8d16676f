/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_TOKEN_H
#define QMP_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "qmp/span.h"

/* Inside qmp/ only: the tokens of a text that the framer has already cut and lexed. */

enum qmp_token_type {
	QMP_TOKEN_END, /* no more, or nothing that a token can begin with */
	QMP_TOKEN_OPEN_BRACE,
	QMP_TOKEN_CLOSE_BRACE,
	QMP_TOKEN_OPEN_BRACKET,
	QMP_TOKEN_CLOSE_BRACKET,
	QMP_TOKEN_COLON,
	QMP_TOKEN_COMMA,
	QMP_TOKEN_STRING, /* with its quotes, at least two bytes */
	QMP_TOKEN_NUMBER,
	QMP_TOKEN_KEYWORD,
};

/* Bytes [begin, end) of the text. */
struct qmp_token {
	enum qmp_token_type type;
	size_t begin, end;
};

/* The next token at or behind @from. Safe for any text; exact for texts from the framer. */
struct qmp_token qmp_token_next(struct span text, size_t from);

/* Behind the value that begins with @first; the text's end when the value has none. *@depth: in,
 * how deep this is; out, the deepest nesting inside. */
size_t qmp_token_skip(struct span text, struct qmp_token first, uint32_t *depth);

/* How many bytes from @p on, at most @len, are neither @quote, nor a backslash, nor below 0x20, nor
 * above 0xFD: the plain inside of a string. */
size_t qmp_token_plain(const char *p, size_t len, char quote);

#endif
