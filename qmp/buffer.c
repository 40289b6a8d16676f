/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growable bytes with a cap. Memory grows by doubling, so that adding is linear in the bytes added;
 * a cleared buffer keeps at most a page. Everything that a peer can size lives in one of these.
 */
#include "qmp/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256, KEEP_SIZE = 4096 };

void qmp_buffer_release(struct qmp_buffer *b)
{
	free(b->data);
	*b = (struct qmp_buffer)QMP_BUFFER_INIT(b->cap);
}

static void grow(struct qmp_buffer *b, size_t need)
{
	size_t size = b->allocated < FIRST_SIZE ? FIRST_SIZE : b->allocated;

	while (size < need)
		size = size > b->cap / 2 ? b->cap : size * 2;
	if (size > b->cap)
		size = b->cap;
	b->data = realloc(b->data, size);
	if (b->data == NULL)
		abort();
	b->allocated = size;
}

char *qmp_buffer_reserve(struct qmp_buffer *b, size_t n)
{
	if (b->full || n > b->cap - b->len) {
		b->full = true;
		return NULL;
	}
	if (b->len + n > b->allocated || b->data == NULL)
		grow(b, b->len + n);
	return b->data + b->len;
}

bool qmp_buffer_add(struct qmp_buffer *b, struct span s)
{
	char *room;

	if (s.len == 0)
		return !b->full;
	room = qmp_buffer_reserve(b, s.len);
	if (room == NULL)
		return false;
	memcpy(room, s.p, s.len);
	b->len += s.len;
	return true;
}

bool qmp_buffer_printf(struct qmp_buffer *b, const char *format, ...)
{
	char text[256];
	va_list ap;
	char *room;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if ((size_t)n < sizeof(text))
		return qmp_buffer_add(b, (struct span){ text, (size_t)n });
	if ((size_t)n > b->cap - b->len) {
		b->full = true;
		return false;
	}
	room = malloc((size_t)n + 1); /* the terminator need not fit below the cap */
	if (room == NULL)
		abort();
	va_start(ap, format);
	vsnprintf(room, (size_t)n + 1, format, ap);
	va_end(ap);
	qmp_buffer_add(b, (struct span){ room, (size_t)n });
	free(room);
	return !b->full;
}

void qmp_buffer_clear(struct qmp_buffer *b)
{
	if (b->allocated > KEEP_SIZE)
		qmp_buffer_release(b);
	b->len = 0;
	b->full = false;
}

struct span qmp_buffer_span(const struct qmp_buffer *b)
{
	return (struct span){ b->data == NULL ? "" : b->data, b->len };
}
