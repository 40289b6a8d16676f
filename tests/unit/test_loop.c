/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event loop: drains, deadlines, watchers; and that it sleeps. */
#define _GNU_SOURCE 1 /* pipe2(), RUSAGE_SELF's counters, CLOCK_BOOTTIME */
#include "io/loop.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

/* A drain with as much work as @left says; stops the loop when @stop_at of it is left. */
struct worker {
	struct loop *loop;
	struct loop_drain drain;
	unsigned runs, left;
	uint64_t deadline;
	bool stop_at_deadline, stop_when_done;
	struct loop_drain *remove; /* in the first run */
	int order, *counter;
};

static bool work(void *owner)
{
	struct worker *w = owner;

	w->runs++;
	if (w->counter != NULL && w->order == 0)
		w->order = ++*w->counter;
	if (w->remove != NULL) {
		loop_remove_drain(w->loop, w->remove);
		w->remove = NULL;
	}
	if (w->stop_at_deadline && loop_now(w->loop) >= w->deadline) {
		loop_stop(w->loop);
		w->deadline = UINT64_MAX;
	}
	if (w->left > 0)
		w->left--;
	if (w->left == 0 && w->stop_when_done)
		loop_stop(w->loop);
	return w->left > 0;
}

static uint64_t deadline(void *owner)
{
	const struct worker *w = owner;

	return w->deadline;
}

static void add(struct loop *l, struct worker *w)
{
	w->loop = l;
	w->drain = (struct loop_drain){ .work = work, .deadline = deadline, .owner = w };
	loop_add_drain(l, &w->drain);
}

static uint64_t real_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

START_TEST(drains_run_in_order_until_done)
{
	struct loop *l = loop_new();
	int counter = 0;
	struct worker a = { .deadline = UINT64_MAX, .counter = &counter };
	struct worker b = {
		.deadline = UINT64_MAX, .counter = &counter, .left = 5, .stop_when_done = true
	};

	add(l, &a);
	add(l, &b);
	loop_run(l);
	ck_assert_int_eq(a.order, 1);
	ck_assert_int_eq(b.order, 2);
	/* All rounds of one turn: a runs again as long as b has more. */
	ck_assert_uint_eq(b.runs, 5);
	ck_assert_uint_eq(a.runs, 5);
	loop_free(l);
}
END_TEST

struct reader {
	struct loop *loop;
	struct loop_io io;
	int fd;
	unsigned calls;
	int events;
	bool stop;
};

static void on_ready(void *owner, int events)
{
	struct reader *r = owner;

	r->calls++;
	r->events = events;
	if (r->stop)
		loop_stop(r->loop);
}

/* Endless work must not keep descriptors from being served, and must not sleep. */
START_TEST(endless_work_does_not_starve_io)
{
	struct loop *l = loop_new();
	struct worker w = { .deadline = UINT64_MAX, .left = UINT32_MAX };
	struct reader r = { .loop = l, .stop = true };
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	add(l, &w);
	loop_io_init(&r.io, on_ready, &r);
	loop_io_set(l, &r.io, fd[0], LOOP_READ);
	loop_run(l);
	ck_assert_uint_eq(r.calls, 1);
	ck_assert_uint_gt(w.runs, 1);
	ck_assert_uint_lt(w.runs, 1000);
	loop_io_stop(l, &r.io);
	close(fd[0]);
	close(fd[1]);
	loop_free(l);
}
END_TEST

START_TEST(work_beyond_one_turn_goes_on_without_sleep)
{
	struct loop *l = loop_new();
	struct worker w = { .deadline = UINT64_MAX, .left = 1000, .stop_when_done = true };

	add(l, &w);
	loop_run(l);
	ck_assert_uint_eq(w.runs, 1000);
	loop_free(l);
}
END_TEST

START_TEST(earliest_deadline_wakes)
{
	struct loop *l = loop_new();
	uint64_t begin = real_now(), took;
	struct worker late = { .deadline = begin + 60000 * MS };
	struct worker soon = { .deadline = begin + 60 * MS, .stop_at_deadline = true };

	add(l, &late);
	add(l, &soon);
	loop_run(l);
	took = real_now() - begin;
	ck_assert_uint_ge(took, 60 * MS);
	ck_assert_uint_lt(took, 1000 * MS);
	/* Not awake meanwhile: a turn before the sleep, one after it, one for rounding. */
	ck_assert_uint_le(soon.runs, 4);
	loop_free(l);
}
END_TEST

/* A deadline that moves earlier or later is heeded. */
static bool pull_forward(void *owner)
{
	struct worker *w = owner;

	if (w->runs++ == 0)
		w->deadline = loop_now(w->loop) + 30 * MS;
	else if (loop_now(w->loop) >= w->deadline)
		loop_stop(w->loop);
	return false;
}

START_TEST(deadline_can_move)
{
	struct loop *l = loop_new();
	struct worker w = { .loop = l, .deadline = real_now() + 60000 * MS };
	uint64_t begin = real_now();

	w.drain = (struct loop_drain){ .work = pull_forward, .deadline = deadline, .owner = &w };
	loop_add_drain(l, &w.drain);
	loop_run(l);
	ck_assert_uint_ge(real_now() - begin, 30 * MS);
	ck_assert_uint_lt(real_now() - begin, 1000 * MS);
	loop_free(l);
}
END_TEST

START_TEST(past_deadline_does_not_sleep)
{
	struct loop *l = loop_new();
	struct worker w = { .deadline = 1, .left = 1000 };
	struct worker stop = { .deadline = UINT64_MAX, .left = 100, .stop_when_done = true };

	add(l, &w);
	add(l, &stop);
	loop_run(l);
	ck_assert_uint_ge(w.runs, 100);
	loop_free(l);
}
END_TEST

static uint64_t fake_time;

static uint64_t fake_clock(void)
{
	return fake_time;
}

static bool tick(void *owner)
{
	struct worker *w = owner;

	/* One time within a turn, whatever the clock says meanwhile. */
	ck_assert_uint_eq(loop_now(w->loop), w->deadline);
	fake_time += 500;
	ck_assert_uint_eq(loop_now(w->loop), w->deadline);
	w->deadline = fake_time;
	if (++w->runs == 5)
		loop_stop(w->loop);
	return false;
}

START_TEST(tests_drive_the_clock)
{
	struct loop *l = loop_new();
	struct worker w = { .loop = l, .deadline = 1000 };

	fake_time = 1000;
	loop_set_clock(l, fake_clock);
	ck_assert_uint_eq(loop_now(l), 1000);
	w.drain = (struct loop_drain){ .work = tick, .deadline = deadline, .owner = &w };
	loop_add_drain(l, &w.drain);
	loop_run(l);
	ck_assert_uint_eq(fake_time, 1000 + 5 * 500);
	loop_free(l);
}
END_TEST

START_TEST(drains_leave_during_the_walk)
{
	struct loop *l = loop_new();
	struct worker a = { .deadline = UINT64_MAX }, b = a, c = a, d = a;

	d.left = 3;
	d.stop_when_done = true;
	add(l, &a);
	add(l, &b);
	add(l, &c);
	add(l, &d);
	a.remove = &b.drain; /* the next one */
	c.remove = &c.drain; /* itself */
	loop_run(l);
	ck_assert_uint_eq(a.runs, 3);
	ck_assert_uint_eq(b.runs, 0);
	ck_assert_uint_eq(c.runs, 1);
	ck_assert_uint_eq(d.runs, 3);
	loop_remove_drain(l, &b.drain); /* twice does no harm */
	loop_free(l);
}
END_TEST

START_TEST(watchers_change)
{
	struct loop *l = loop_new();
	struct worker w = { .loop = l, .stop_at_deadline = true };
	struct reader r = { .loop = l, .stop = true };
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	loop_io_init(&r.io, on_ready, &r);
	loop_io_set(l, &r.io, fd[1], LOOP_WRITE);
	loop_io_set(l, &r.io, fd[1], LOOP_WRITE);
	loop_run(l);
	ck_assert_uint_eq(r.calls, 1);
	ck_assert_int_eq(r.events, LOOP_WRITE);

	/* Not at all: the pipe is writable, nothing comes. */
	loop_io_set(l, &r.io, fd[1], 0);
	w.deadline = real_now() + 20 * MS;
	add(l, &w);
	loop_run(l);
	ck_assert_uint_eq(r.calls, 1);

	/* Another descriptor. */
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	loop_io_set(l, &r.io, fd[0], LOOP_READ);
	loop_run(l);
	ck_assert_uint_eq(r.calls, 2);
	ck_assert_int_eq(r.events, LOOP_READ);

	/* The same number, another file: stopped before it was closed. */
	loop_io_stop(l, &r.io);
	close(fd[0]);
	close(fd[1]);
	ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	ck_assert_int_eq(write(fd[1], "x", 1), 1);
	loop_io_set(l, &r.io, fd[0], LOOP_READ);
	loop_run(l);
	ck_assert_uint_eq(r.calls, 3);
	loop_io_stop(l, &r.io);
	close(fd[0]);
	close(fd[1]);
	loop_free(l);
}
END_TEST

/* A peer that hung up is reported by epoll even when nothing is asked for: no spinning. */
START_TEST(unwatched_hangup_does_not_spin)
{
	struct loop *l = loop_new();
	struct worker w = { .stop_at_deadline = true };
	struct reader r = { .loop = l, .stop = true };
	int fd[2];

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
	loop_io_init(&r.io, on_ready, &r);
	loop_io_set(l, &r.io, fd[0], LOOP_READ);
	close(fd[1]);
	loop_run(l);
	loop_io_set(l, &r.io, fd[0], 0);
	w.deadline = real_now() + 50 * MS;
	add(l, &w);
	loop_run(l);
	ck_assert_uint_le(w.runs, 5);
	ck_assert_uint_eq(r.calls, 1);
	close(fd[0]);
	loop_free(l);
}
END_TEST

static long voluntary_switches(pid_t pid)
{
	char path[64], line[256];
	long n = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "voluntary_ctxt_switches: %ld", &n);
	fclose(f);
	return n;
}

/* Nothing is awake while nothing happens: one second here; that the next wake-up is 17 days away
 * is seen at the timeout of epoll_wait() in /proc/PID/syscall. */
START_TEST(idle_loop_sleeps)
{
	struct timespec second = { 1, 0 }, settle = { 0, 300000000 };
	char path[64], line[256] = "";
	unsigned long long number = 0, timeout = 0;
	long before;
	FILE *f;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct loop *l = loop_new();
		struct worker w = { .deadline = UINT64_MAX };

		add(l, &w);
		loop_run(l);
		_exit(1);
	}
	nanosleep(&settle, NULL);
	before = voluntary_switches(pid);
	nanosleep(&second, NULL);
	ck_assert_int_eq(voluntary_switches(pid), before);

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	f = fopen(path, "re");
	if (f != NULL && fgets(line, sizeof(line), f) != NULL &&
	    sscanf(line, "%llu %*s %*s %*s %llx", &number, &timeout) == 2)
		ck_assert_msg((int)timeout < 0 || timeout >= 1000000000,
			      "the idle loop wakes every %llu ms: %s", timeout, line);
	if (f != NULL)
		fclose(f);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loop");
	TCase *c = tcase_create("loop");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 30);
	tcase_add_test(c, drains_run_in_order_until_done);
	tcase_add_test(c, endless_work_does_not_starve_io);
	tcase_add_test(c, work_beyond_one_turn_goes_on_without_sleep);
	tcase_add_test(c, earliest_deadline_wakes);
	tcase_add_test(c, deadline_can_move);
	tcase_add_test(c, past_deadline_does_not_sleep);
	tcase_add_test(c, tests_drive_the_clock);
	tcase_add_test(c, drains_leave_during_the_walk);
	tcase_add_test(c, watchers_change);
	tcase_add_test(c, unwatched_hangup_does_not_spin);
	tcase_add_test(c, idle_loop_sleeps);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
