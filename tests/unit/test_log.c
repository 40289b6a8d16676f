/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: form of a line, levels, limits, the journal's prefix, and that it never waits. */
#define _GNU_SOURCE 1 /* pipe2(), F_SETPIPE_SZ */
#include "io/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int out[2], saved;
static char text[1 << 20];

/* stderr becomes a pipe until release(); each test runs in a process of its own. */
static void capture(void)
{
	ck_assert_int_eq(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(fcntl(out[1], F_SETFL, 0), 0);
	saved = dup(STDERR_FILENO);
	ck_assert_int_ge(saved, 0);
	ck_assert_int_ge(dup2(out[1], STDERR_FILENO), 0);
}

/* What was written since. */
static const char *captured(void)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(out[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return text;
}

static void release(void)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(out[0]);
	close(out[1]);
}

static unsigned count_lines(const char *s)
{
	unsigned n = 0;

	for (; *s != '\0'; s++)
		n += *s == '\n';
	return n;
}

START_TEST(lines_have_their_level)
{
	capture();
	log_error("a=%d", 1);
	ck_assert_str_eq(captured(), "level=error a=1\n");
	log_warning("a=%d", 2);
	ck_assert_str_eq(captured(), "level=warning a=2\n");
	log_info("a=%d", 3);
	ck_assert_str_eq(captured(), "level=info a=3\n");
	release();
}
END_TEST

START_TEST(levels_are_hidden)
{
	capture();
	log_debug("a=1");
	ck_assert_str_eq(captured(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("a=1");
	ck_assert_str_eq(captured(), "level=debug a=1\n");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("a=1");
	ck_assert_str_eq(captured(), "");
	log_error("a=1");
	ck_assert_str_eq(captured(), "level=error a=1\n");
	release();
}
END_TEST

START_TEST(a_line_stays_one_line_of_ascii)
{
	capture();
	log_info("a=%s", "x\ny\x1b[31m\xc3\xa9\x7f");
	ck_assert_str_eq(captured(), "level=info a=x?y?[31m???\n");
	release();
}
END_TEST

START_TEST(long_lines_are_cut)
{
	char longer[5000];

	for (size_t len = 2000; len < 2100; len++) {
		const char *line;

		memset(longer, 'x', len);
		longer[len] = '\0';
		capture();
		log_set_level(LOG_LEVEL_INFO);
		log_info("a=%s", longer);
		line = captured();
		ck_assert_uint_le(strlen(line), 2048);
		ck_assert_int_eq(line[strlen(line) - 1], '\n');
		if (len + strlen("level=info a=\n") <= 2048)
			ck_assert_uint_eq(strlen(line), len + strlen("level=info a=\n"));
		else
			ck_assert_str_eq(line + 2044, "...\n");
		release();
	}
}
END_TEST

START_TEST(quoting)
{
	char big[1000];
	struct log_quoted q;

	ck_assert_str_eq(log_quote("plain text").text, "\"plain text\"");
	ck_assert_str_eq(log_quote("").text, "\"\"");
	ck_assert_str_eq(log_quote("a\"b\\c\nd\xff\x7f").text, "\"a\\\"b\\\\c\\x0ad\\xff\\x7f\"");
	for (size_t len = 200; len < sizeof(big); len++) {
		/* Escapes of one and of four bytes at the place of the cut. */
		memset(big, len % 2 == 0 ? 'x' : '\n', len);
		big[len] = '\0';
		q = log_quote(big);
		ck_assert_uint_lt(strlen(q.text), LOG_QUOTE_MAX);
		ck_assert_int_eq(q.text[strlen(q.text) - 1], '"');
		if (len > 300)
			ck_assert_str_eq(q.text + strlen(q.text) - 4, "...\"");
	}
}
END_TEST

/* systemd.exec(5): the prefix only when stderr itself is the journal's stream. */
static void journal(bool same)
{
	struct stat st;
	char value[64];

	capture();
	ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(value, sizeof(value), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + (same ? 0 : 1));
	setenv("JOURNAL_STREAM", value, 1);
	log_set_level(LOG_LEVEL_DEBUG);
	log_error("a=1");
	log_warning("a=1");
	log_info("a=1");
	log_debug("a=1");
	ck_assert_str_eq(captured(), same ? "<3>level=error a=1\n<4>level=warning a=1\n"
					    "<6>level=info a=1\n<7>level=debug a=1\n"
					  : "level=error a=1\nlevel=warning a=1\n"
					    "level=info a=1\nlevel=debug a=1\n");
	release();
}

START_TEST(journal_has_priorities)
{
	journal(true);
}
END_TEST

START_TEST(another_stderr_has_none)
{
	journal(false);
}
END_TEST

START_TEST(floods_are_bounded_and_told)
{
	struct timespec half = { 0, 500000000 };
	unsigned long lines = 0;
	const char *told;
	unsigned first;

	capture();
	ck_assert_int_ge(fcntl(out[1], F_SETPIPE_SZ, 1 << 20), 0);
	for (int i = 0; i < 5000; i++)
		log_info("flood=%d", i);
	first = count_lines(captured());
	ck_assert_uint_ge(first, 200);
	ck_assert_uint_lt(first, 1000);

	/* Another level has its own budget. */
	log_error("a=1");
	ck_assert_str_eq(captured(), "level=error a=1\n");

	nanosleep(&half, NULL);
	log_info("after=1");
	told = strstr(captured(), "event=log-suppressed lines=");
	ck_assert_ptr_nonnull(told);
	ck_assert_int_eq(sscanf(told, "event=log-suppressed lines=%lu", &lines), 1);
	ck_assert_ptr_nonnull(strstr(told, "after=1\n"));
	log_info("after=2");
	ck_assert_str_eq(captured(), "level=info after=2\n");
	release();
	/* Those told while the flood went on, if any, were lines of their own. */
	ck_assert_uint_le(lines, 5000 - 200);
	ck_assert_uint_gt(lines, 0);
}
END_TEST

/* A reader that is stuck must not stop us (the test has a time limit). */
START_TEST(a_full_pipe_is_not_waited_for)
{
	unsigned n = 0;
	char filler[1900];

	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	capture();
	ck_assert_int_ge(fcntl(out[1], F_SETPIPE_SZ, 4096), 0);
	for (int i = 0; i < 150; i++)
		log_info("%s", filler);
	n = count_lines(captured());
	ck_assert_uint_ge(n, 1);
	ck_assert_uint_le(n, 3);
	log_info("again=1");
	ck_assert_ptr_nonnull(strstr(captured(), "level=info event=log-suppressed lines="));
	release();
}
END_TEST

START_TEST(a_closed_stderr_does_no_harm)
{
	saved = dup(STDERR_FILENO);
	close(STDERR_FILENO);
	log_error("a=1");
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	capture();
	log_error("a=2");
	ck_assert_ptr_nonnull(strstr(captured(), "a=2\n"));
	release();
}
END_TEST

START_TEST(a_reader_that_left_raises_no_signal)
{
	capture();
	close(out[0]);
	log_error("a=1"); /* SIGPIPE would end the test */
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(out[1]);
	capture();
	log_error("a=2");
	ck_assert_ptr_nonnull(strstr(captured(), "a=2\n"));
	release();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("log");
	TCase *c = tcase_create("log");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_add_test(c, lines_have_their_level);
	tcase_add_test(c, levels_are_hidden);
	tcase_add_test(c, a_line_stays_one_line_of_ascii);
	tcase_add_test(c, long_lines_are_cut);
	tcase_add_test(c, quoting);
	tcase_add_test(c, journal_has_priorities);
	tcase_add_test(c, another_stderr_has_none);
	tcase_add_test(c, floods_are_bounded_and_told);
	tcase_add_test(c, a_full_pipe_is_not_waited_for);
	tcase_add_test(c, a_closed_stderr_does_no_harm);
	tcase_add_test(c, a_reader_that_left_raises_no_signal);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
