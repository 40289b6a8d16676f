/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of qmp/ share: texts that end where memory ends, and streams read in pieces. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "unit/qmp_fixture.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "qmp/id.h"
#include "qmp/message.h"

enum { PAGE = 4096 };

static size_t pages_for(size_t len)
{
	return (len + PAGE - 1) / PAGE * PAGE;
}

struct span guard_copy(struct span s)
{
	size_t size = pages_for(s.len);
	char *p =
		mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p + size, PAGE, PROT_NONE), 0);
	if (s.len != 0)
		memcpy(p + size - s.len, s.p, s.len);
	return (struct span){ p + size - s.len, s.len };
}

void guard_free(struct span s)
{
	uintptr_t begin = (uintptr_t)s.p / PAGE * PAGE;

	ck_assert_int_eq(munmap((void *)begin, pages_for(s.len) + PAGE), 0);
}

static void judge(struct reading *r, struct span text)
{
	struct qmp_message m;
	struct qmp_error e;

	switch (qmp_command_parse(text, &r->framer, true, &m, &e)) {
	case QMP_COMMAND_OK:
		qmp_buffer_printf(&r->out, "ok %s\n", m.name);
		break;
	case QMP_COMMAND_UNPARSABLE:
		qmp_buffer_printf(&r->out, "error %s\n", e.text);
		break;
	case QMP_COMMAND_REJECTED:
		qmp_buffer_printf(&r->out, "rejected ");
		if (m.id.p != NULL)
			ck_assert(qmp_print_value(&r->out, m.id));
		qmp_buffer_printf(&r->out, " %s\n", e.text);
		break;
	}
}

void reading_feed(struct reading *r, struct span piece)
{
	struct span guarded = guard_copy(piece), rest = guarded;
	struct qmp_framer *f = &r->framer;
	enum qmp_framer_result result;
	struct qmp_error e;
	struct span text;
	size_t used;

	ck_assert(qmp_buffer_add(&r->all, piece));
	do {
		result = qmp_framer_feed(f, rest, &used);
		rest = span_cut(rest, used, rest.len);
		if (result == QMP_FRAMER_NEED_MORE)
			break;
		text = guard_copy(span_cut(qmp_buffer_span(&r->all), f->begin, f->end));
		if (result == QMP_FRAMER_GOT) {
			judge(r, text);
		} else {
			qmp_framer_error(f, text, &e);
			qmp_buffer_printf(&r->out, "error %s\n", e.text);
		}
		guard_free(text);
	} while (true);
	ck_assert_uint_eq(rest.len, 0);
	guard_free(guarded);
}

void reading_release(struct reading *r)
{
	qmp_buffer_release(&r->all);
	qmp_buffer_release(&r->out);
}

void assert_text(const struct qmp_buffer *b, const char *expected)
{
	assert_span(qmp_buffer_span(b), expected);
}

void assert_span(struct span s, const char *expected)
{
	char *text = calloc(1, s.len + 1);

	ck_assert_ptr_nonnull(text);
	if (s.len != 0)
		memcpy(text, s.p, s.len);
	if (expected == NULL)
		ck_assert_ptr_null(s.p);
	else
		ck_assert_str_eq(text, expected);
	free(text);
}

int run_tap(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
