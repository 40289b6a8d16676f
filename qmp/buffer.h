/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_BUFFER_H
#define QMP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "qmp/span.h"

/* Growable bytes with a mandatory cap. Once a call could not fit, @full stays set and further
 * bytes are refused, so that a caller may check once at the end. Out of memory aborts. */
struct qmp_buffer {
	char *data;
	size_t len;
	size_t allocated;
	size_t cap; /* bytes; never exceeded */
	bool full;
};

#define QMP_BUFFER_INIT(cap_bytes)             \
	{                                      \
		NULL, 0, 0, (cap_bytes), false \
	}
#define AUTO_BUF __attribute__((cleanup(qmp_buffer_release)))

void qmp_buffer_release(struct qmp_buffer *b);
/* False, and nothing added, when @s does not fit below the cap. */
bool qmp_buffer_add(struct qmp_buffer *b, struct span s);
bool qmp_buffer_printf(struct qmp_buffer *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Room for @n more bytes at data + len, or NULL when the cap forbids it. */
char *qmp_buffer_reserve(struct qmp_buffer *b, size_t n);
/* Forget the bytes, keep the memory (unless it is large), clear @full. */
void qmp_buffer_clear(struct qmp_buffer *b);
/* Borrowed until the next change. */
struct span qmp_buffer_span(const struct qmp_buffer *b);

#endif
