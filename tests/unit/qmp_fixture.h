/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TESTS_UNIT_QMP_FIXTURE_H
#define TESTS_UNIT_QMP_FIXTURE_H

#include <check.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/buffer.h"
#include "qmp/framer.h"
#include "qmp/span.h"

/* A copy of @s that ends where memory ends: reading on faults. guard_free() takes it back. */
struct span guard_copy(struct span s);
void guard_free(struct span s);

/* A stream through a framer that is given pieces, each behind a guard; what comes out is judged as
 * a client's command, with oob. */
struct reading {
	struct qmp_framer framer;
	struct qmp_buffer all; /* the bytes so far */
	struct qmp_buffer out; /* a line for each result: "error DESC", "rejected ID DESC" or
				* "ok NAME" */
};

#define READING_INIT                                                             \
	{                                                                        \
		.all = QMP_BUFFER_INIT(1 << 24), .out = QMP_BUFFER_INIT(1 << 24) \
	}
#define AUTO_READING __attribute__((cleanup(reading_release)))

void reading_feed(struct reading *r, struct span piece);
void reading_release(struct reading *r);

/* Whether the terminated text of @b is @expected. */
void assert_text(const struct qmp_buffer *b, const char *expected);
void assert_span(struct span s, const char *expected); /* NULL: not there */

/* Run the tests of @c as a program: TAP on stdout. */
int run_tap(Suite *s);

#endif
