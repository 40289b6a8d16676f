/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_SPAN_H
#define QMP_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Borrowed bytes, not terminated. A span dies with the callback that gave it: what is kept is
 * copied. { NULL, 0 } means "not there", { p, 0 } "there and empty". */
struct span {
	const char *p;
	size_t len;
};

/* A span over a string literal. */
#define SPAN(literal) ((struct span){ "" literal, sizeof(literal) - 1 })

static inline struct span span_of(const char *text)
{
	return (struct span){ text, strlen(text) };
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool span_is(struct span a, const char *text)
{
	return span_equal(a, span_of(text));
}

/* The bytes [from, to) of @a; both offsets must lie inside it. */
static inline struct span span_cut(struct span a, size_t from, size_t to)
{
	return (struct span){ a.p + from, to - from };
}

#endif
