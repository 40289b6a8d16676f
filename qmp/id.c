/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmend's request ids: [number] or [number, the client's id]. Only taken apart here; build.c puts
 * them together, print.c prints ids in answers that do not come from QEMU.
 */
#include "qmp/id.h"

#include "qmp/token.h"

enum { PLAIN_DIGITS = 18 }; /* so many always fit into an int64_t */

/* Decimal digits without a sign, at most UINT64_MAX. */
static bool parse_number(struct span digits, uint64_t *number)
{
	uint64_t value = 0;

	for (size_t i = 0; i < digits.len; i++) {
		unsigned digit = (unsigned)(digits.p[i] - '0');

		if (digits.p[i] < '0' || digits.p[i] > '9' || value > UINT64_MAX / 10 ||
		    value * 10 > UINT64_MAX - digit)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return digits.len > 0;
}

bool qmp_id_number(struct span id, uint64_t *number)
{
	return id.p != NULL && parse_number(id, number);
}

static bool is_plain_string(struct span id)
{
	for (size_t i = 1; i + 1 < id.len; i++)
		if (id.p[i] < 0x20 || id.p[i] > 0x7e || id.p[i] == '\\')
			return false;
	return id.p[0] == '"';
}

static bool is_plain_integer(struct span id)
{
	size_t i = id.p[0] == '-';

	if (id.len - i > PLAIN_DIGITS || (id.p[i] == '0' && id.len > 1))
		return false;
	for (; i < id.len; i++)
		if (id.p[i] < '0' || id.p[i] > '9')
			return false;
	return true;
}

bool qmp_id_is_plain(struct span id)
{
	if (id.p[0] == '"' || id.p[0] == '\'')
		return is_plain_string(id);
	return (id.p[0] == '-' || (id.p[0] >= '0' && id.p[0] <= '9')) && is_plain_integer(id);
}

bool qmp_id_split(struct span id, uint64_t *number, struct span *client_id)
{
	struct qmp_token open, first, t;
	uint32_t depth = 0;
	size_t end;

	*client_id = (struct span){ NULL, 0 };
	if (id.p == NULL)
		return false;
	open = qmp_token_next(id, 0);
	first = qmp_token_next(id, open.end);
	if (open.type != QMP_TOKEN_OPEN_BRACKET || first.type != QMP_TOKEN_NUMBER ||
	    !parse_number(span_cut(id, first.begin, first.end), number))
		return false;
	t = qmp_token_next(id, first.end);
	if (t.type == QMP_TOKEN_COMMA) {
		t = qmp_token_next(id, t.end);
		end = qmp_token_skip(id, t, &depth);
		*client_id = span_cut(id, t.begin, end);
		t = qmp_token_next(id, end);
	}
	return t.type == QMP_TOKEN_CLOSE_BRACKET && t.end == id.len;
}
