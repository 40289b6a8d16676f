/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dialling: when it connects, and that it sleeps until then. */
#define _GNU_SOURCE 1 /* CLOCK_BOOTTIME, mkdtemp() */
#include "io/dial.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

static struct loop *loop;
static struct loop_drain drain;
static struct dial dial;
static char top[64], sub[96], path[104];
static uint64_t until, connected_at;
static unsigned runs;
static int connection;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static bool work(void *owner)
{
	int fd = dial_work(&dial, loop_now(loop));

	(void)owner;
	runs++;
	if (fd >= 0) {
		ck_assert_int_eq(connection, -1);
		connection = fd;
		connected_at = now();
	}
	if (fd >= 0 || loop_now(loop) >= until)
		loop_stop(loop);
	return false;
}

static uint64_t deadline(void *owner)
{
	(void)owner;
	return until < dial_deadline(&dial) ? until : dial_deadline(&dial);
}

/* True: connected, at most @ms later. */
static bool connects(unsigned ms)
{
	runs = 0;
	connection = -1;
	until = now() + ms * MS;
	loop_run(loop);
	if (connection < 0)
		return false;
	close(connection);
	return true;
}

/* The tries after the start are over, as they are after 1.3 s. */
static void start_tired(void)
{
	dial_start(&dial, 0);
	dial.delay = UINT64_MAX;
	ck_assert(!connects(1));
	ck_assert(folder_watch_active(&dial.watch));
	ck_assert_uint_eq(dial_deadline(&dial), UINT64_MAX);
}

static int bound(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	strcpy(a.sun_path, path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int serve(void)
{
	int fd = bound();

	ck_assert_int_eq(listen(fd, 5), 0);
	return fd;
}

static void set_up(void)
{
	strcpy(top, "/tmp/qmend-dial-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(sub, sizeof(sub), "%s/sub", top);
	snprintf(path, sizeof(path), "%s/s", sub);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	loop = loop_new();
	drain = (struct loop_drain){ .work = work, .deadline = deadline };
	loop_add_drain(loop, &drain);
	dial_init(&dial, loop, path);
}

static void tear_down(void)
{
	dial_stop(&dial);
	loop_free(loop);
	unlink(path);
	rmdir(sub);
	ck_assert_int_eq(rmdir(top), 0);
}

START_TEST(a_listener_that_is_there_costs_no_watch)
{
	int server = serve();

	dial_start(&dial, 0);
	ck_assert(connects(1000));
	ck_assert_uint_eq(runs, 1);
	ck_assert_ptr_null(*loop_folders(loop));
	ck_assert(!dial.active);
	ck_assert_uint_eq(dial_deadline(&dial), UINT64_MAX);
	close(server);
}
END_TEST

START_TEST(it_sleeps_until_a_listener_appears)
{
	int server;

	dial_start(&dial, 0);
	/* The tries after the start: 5 ms to 640 ms apart. */
	ck_assert(!connects(1600));
	ck_assert_uint_eq(dial_deadline(&dial), UINT64_MAX);
	/* A turn when the loop starts, one when it is stopped, one for rounding. */
	ck_assert(!connects(300));
	ck_assert_uint_le(runs, 3);
	server = serve();
	ck_assert(connects(1000));
	ck_assert_uint_le(runs, 3);
	ck_assert(!folder_watch_active(&dial.watch));
	close(server);
}
END_TEST

START_TEST(listen_comes_after_bind)
{
	int server;

	start_tired();
	server = bound();
	ck_assert(!connects(30));
	ck_assert_int_eq(dial.last_error, ECONNREFUSED);
	ck_assert_int_eq(listen(server, 5), 0);
	ck_assert(connects(500));
	close(server);
}
END_TEST

/* Between the first try and the watch. */
START_TEST(nothing_is_missed_before_the_watch)
{
	int server;

	dial_start(&dial, 0);
	ck_assert_int_eq(rmdir(sub), 0);
	ck_assert(!connects(50));
	ck_assert(!folder_watch_active(&dial.watch));
	ck_assert_uint_ne(dial_deadline(&dial), UINT64_MAX);
	/* Folder and listener come while nothing is watched: the next try, within a second. */
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	server = serve();
	ck_assert(connects(1200));
	close(server);
}
END_TEST

START_TEST(a_folder_made_anew_is_followed)
{
	int server;

	start_tired();
	ck_assert_int_eq(rmdir(sub), 0);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	ck_assert(!connects(50));
	ck_assert(folder_watch_active(&dial.watch));
	server = serve();
	ck_assert(connects(500));
	close(server);
}
END_TEST

/* Not before its time, unless a new listener appears. */
START_TEST(the_first_try_can_wait)
{
	int server = serve();
	uint64_t begin = now();

	dial_start(&dial, begin + 200 * MS);
	ck_assert(connects(1000));
	ck_assert_uint_ge(connected_at, begin + 200 * MS);
	close(server);
	ck_assert_int_eq(unlink(path), 0);

	begin = now();
	dial_start(&dial, begin + 10000 * MS);
	ck_assert(!connects(30));
	server = serve();
	ck_assert(connects(1000));
	close(server);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dial");
	TCase *c = tcase_create("dial");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_listener_that_is_there_costs_no_watch);
	tcase_add_test(c, it_sleeps_until_a_listener_appears);
	tcase_add_test(c, listen_comes_after_bind);
	tcase_add_test(c, nothing_is_missed_before_the_watch);
	tcase_add_test(c, a_folder_made_anew_is_followed);
	tcase_add_test(c, the_first_try_can_wait);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
