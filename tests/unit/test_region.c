/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The region and its queues: what was not committed is undone by whoever maps the memory next,
 * chunks are neither lost nor given twice, and a queue holds what was put into it, whatever the
 * sizes.
 */
#define _GNU_SOURCE
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/queue.h"
#include "io/region.h"

enum { SECTION_NUMBERS, SECTION_QUEUES, NUMBERS = 100, QUEUES = 4, CHUNKS = 200 };

static const struct region_layout layout = {
	.version = 7,
	.section_count = 2,
	.section = { { sizeof(uint32_t), NUMBERS }, { sizeof(struct queue), QUEUES } },
	.undo_bytes = 65536,
	.chunks = CHUNKS,
};

static struct region *new_region(void)
{
	struct qmp_error e;
	struct region *r = region_new(&layout, &e);

	ck_assert_msg(r != NULL, "%s", e.text);
	for (uint32_t i = 0; i < QUEUES; i++)
		queue_init(region_at(r, SECTION_QUEUES, i));
	return r;
}

/* The same memory in the eyes of the next worker. */
static struct region *next_worker(struct region *r)
{
	struct qmp_error e;
	struct region *next = region_attach(dup(region_fd(r)), &layout, &e);

	ck_assert_msg(next != NULL, "%s", e.text);
	region_free(r);
	return next;
}

static uint32_t *number(struct region *r, uint32_t i)
{
	return region_at(r, SECTION_NUMBERS, i);
}

START_TEST(uncommitted_edits_are_undone_in_order)
{
	struct region *r = new_region();

	REGION_SET(r, *number(r, 3), 30);
	region_commit(r);
	REGION_SET(r, *number(r, 3), 31);
	REGION_SET(r, *number(r, 4), 40);
	REGION_SET(r, *number(r, 3), 32);
	r = next_worker(r);
	ck_assert_uint_eq(*number(r, 3), 30);
	ck_assert_uint_eq(*number(r, 4), 0);
	region_free(r);
}
END_TEST

START_TEST(committed_edits_stay)
{
	struct region *r = new_region();

	for (uint32_t i = 0; i < NUMBERS; i++)
		REGION_SET(r, *number(r, i), i + 1);
	region_commit(r);
	r = next_worker(r);
	for (uint32_t i = 0; i < NUMBERS; i++)
		ck_assert_uint_eq(*number(r, i), i + 1);
	region_free(r);
}
END_TEST

START_TEST(another_layout_is_refused)
{
	struct region *r = new_region();
	struct region_layout other = layout;
	struct qmp_error e;

	other.version++;
	ck_assert_ptr_null(region_attach(dup(region_fd(r)), &other, &e));
	ck_assert_ptr_nonnull(strstr(e.text, "layout"));
	other = layout;
	other.chunks++;
	ck_assert_ptr_null(region_attach(dup(region_fd(r)), &other, &e));
	region_free(r);
}
END_TEST

static struct queue *queue_at(struct region *r, uint32_t i)
{
	return region_at(r, SECTION_QUEUES, i);
}

/* Byte @position of stream @stream. */
static char stream_byte(uint32_t stream, uint64_t position)
{
	return (char)(stream * 31 + position * 7 + position / 4096);
}

static void check_contents(struct region *r, uint32_t stream)
{
	const struct queue *q = queue_at(r, stream);
	struct queue_cursor c = { 0 };
	char want[REGION_CHUNK];

	for (uint64_t at = q->tail; at < q->head;) {
		struct span s = queue_view(r, q, at, &c);

		ck_assert_uint_gt(s.len, 0);
		ck_assert_uint_le(s.len, REGION_CHUNK);
		for (size_t i = 0; i < s.len; i++)
			want[i] = stream_byte(stream, at + i);
		ck_assert_mem_eq(s.p, want, s.len);
		at += s.len;
	}
}

static void check_chunks(struct region *r)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < QUEUES; i++) {
		const struct queue *q = queue_at(r, i);

		used += q->chunks;
		ck_assert_uint_le(q->base, q->tail);
		ck_assert_uint_le(q->tail, q->head);
		ck_assert_uint_le(q->head, queue_room_end(q));
	}
	ck_assert_uint_eq(used, region_chunks_used(r));
	ck_assert_uint_eq(CHUNKS, region_chunks_used(r) + region_chunks_free(r));
}

static void append_some(struct region *r, uint32_t stream, size_t size)
{
	static char bytes[5 * REGION_CHUNK];
	struct queue *q = queue_at(r, stream);

	for (size_t i = 0; i < size; i++)
		bytes[i] = stream_byte(stream, q->head + i);
	if (!queue_append(r, q, (struct span){ bytes, size }))
		ck_assert_uint_lt(region_chunks_free(r), size / REGION_CHUNK + 2);
}

/* One random change of one queue. */
static void change(struct region *r)
{
	uint32_t stream = (uint32_t)rand() % QUEUES;
	struct queue *q = queue_at(r, stream);
	uint64_t length = queue_length(q);

	switch (rand() % 8) {
	case 0:
		queue_clear(r, q);
		break;
	case 1:
		if (!queue_reserve(r, q, (uint64_t)rand() % 20000))
			ck_assert_uint_lt(region_chunks_free(r), 6);
		break;
	case 2:
	case 3:
		queue_consume(r, q, q->tail + (length == 0 ? 0 : (uint64_t)rand() % (length + 1)));
		break;
	default:
		append_some(r, stream, (size_t)rand() % (rand() % 4 == 0 ? 20000 : 300));
		break;
	}
}

START_TEST(queues_hold_what_was_put_into_them)
{
	struct region *r = new_region();

	srand(1);
	for (int i = 0; i < 4000; i++) {
		change(r);
		region_commit(r);
		region_trim(r);
		check_chunks(r);
		if (i % 16 == 0)
			check_contents(r, (uint32_t)i / 16 % QUEUES);
	}
	region_free(r);
}
END_TEST

static void note_queues(struct region *r, struct queue *copy)
{
	memcpy(copy, queue_at(r, 0), QUEUES * sizeof(*copy));
}

START_TEST(a_death_between_edits_loses_nothing_that_was_there)
{
	struct region *r = new_region();
	struct queue before[QUEUES];

	srand(2);
	for (int i = 0; i < 1500; i++) {
		change(r);
		region_commit(r);
		note_queues(r, before);
		for (int n = rand() % 3; n >= 0; n--)
			change(r);
		r = next_worker(r);
		ck_assert_mem_eq(before, queue_at(r, 0), sizeof(before));
		check_chunks(r);
		check_contents(r, (uint32_t)i % QUEUES);
	}
	region_free(r);
}
END_TEST

START_TEST(gather_copies_only_what_is_in_pieces)
{
	struct region *r = new_region();
	struct queue *q = queue_at(r, 1);
	AUTO_BUF struct qmp_buffer scratch = QMP_BUFFER_INIT(1 << 20);
	struct span s;

	append_some(r, 1, 3 * REGION_CHUNK);
	s = queue_gather(r, q, 10, 20, &scratch);
	ck_assert_uint_eq(s.len, 10);
	ck_assert_uint_eq(scratch.len, 0);
	s = queue_gather(r, q, REGION_CHUNK - 5, 2 * REGION_CHUNK + 5, &scratch);
	ck_assert_uint_eq(s.len, REGION_CHUNK + 10);
	for (size_t i = 0; i < s.len; i++)
		ck_assert_int_eq(s.p[i], stream_byte(1, REGION_CHUNK - 5 + i));
	region_free(r);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("region");
	TCase *tc = tcase_create("region");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, uncommitted_edits_are_undone_in_order);
	tcase_add_test(tc, committed_edits_stay);
	tcase_add_test(tc, another_layout_is_refused);
	tcase_add_test(tc, queues_hold_what_was_put_into_them);
	tcase_add_test(tc, a_death_between_edits_loses_nothing_that_was_there);
	tcase_add_test(tc, gather_copies_only_what_is_in_pieces);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
