/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches of files, with real folders: what is told to whom, and what it costs. */
#define _GNU_SOURCE 1 /* CLOCK_BOOTTIME, mkdtemp() */
#include "io/folder.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull

struct owner {
	struct folder_watch watch;
	unsigned told;
	struct owner *stop;  /* in changed() */
	const char *restart; /* in changed(), at this path */
};

static struct loop *loop;
static struct loop_drain timer;
static uint64_t until;
static bool in_loop;
static char top[64], sub[96], file_a[128], file_b[128];
static struct owner a, b;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

static bool time_is_up(void *owner)
{
	(void)owner;
	if (loop_now(loop) >= until)
		loop_stop(loop);
	return false;
}

static uint64_t time_limit(void *owner)
{
	(void)owner;
	return until;
}

static void run(void)
{
	until = now() + 20 * MS;
	in_loop = true;
	loop_run(loop);
	in_loop = false;
}

static void changed(void *owner)
{
	struct owner *o = owner;

	ck_assert_msg(in_loop, "told from outside the loop");
	o->told++;
	if (o->stop != NULL)
		folder_watch_stop(loop, &o->stop->watch);
	if (o->restart != NULL)
		(void)folder_watch_start(loop, &o->watch, o->restart);
}

/* Each was told so often since the last time. */
static void told(unsigned want_a, unsigned want_b)
{
	run();
	ck_assert_uint_eq(a.told, want_a);
	ck_assert_uint_eq(b.told, want_b);
	a.told = b.told = 0;
}

/* An event each: IN_CREATE. */
static void make(const char *path)
{
	ck_assert_int_eq(symlink("x", path), 0);
}

static unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* The kernel's watches of all inotify descriptors of this process. */
static unsigned kernel_watches(void)
{
	char path[64], line[256];
	unsigned n = 0;

	for (int fd = 0; fd < 64; fd++) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		f = fopen(path, "re");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL)
			n += strncmp(line, "inotify wd:", 11) == 0;
		if (f != NULL)
			fclose(f);
	}
	return n;
}

static void start(struct owner *o, const char *path)
{
	ck_assert(folder_watch_start(loop, &o->watch, path));
	ck_assert(folder_watch_active(&o->watch));
}

static void set_up(void)
{
	strcpy(top, "/tmp/qmend-folder-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(sub, sizeof(sub), "%s/sub", top);
	snprintf(file_a, sizeof(file_a), "%s/a", sub);
	snprintf(file_b, sizeof(file_b), "%s/b", sub);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	loop = loop_new();
	timer = (struct loop_drain){ .work = time_is_up, .deadline = time_limit };
	loop_add_drain(loop, &timer);
	a = b = (struct owner){ 0 };
	folder_watch_init(&a.watch, changed, &a);
	folder_watch_init(&b.watch, changed, &b);
}

static void tear_down(void)
{
	folder_watch_stop(loop, &a.watch);
	folder_watch_stop(loop, &b.watch);
	ck_assert_uint_eq(kernel_watches(), 0);
	loop_free(loop);
	unlink(file_a);
	unlink(file_b);
	rmdir(sub);
	ck_assert_int_eq(rmdir(top), 0);
}

START_TEST(a_file_is_seen)
{
	char other[128];
	int fd;

	start(&a, file_a);
	told(0, 0);
	make(file_a);
	told(1, 0);
	unlink(file_a);
	told(0, 0);

	fd = open(file_a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	told(1, 0);
	ck_assert_int_eq(write(fd, "1", 1), 1);
	close(fd);
	told(1, 0);
	ck_assert_int_eq(chmod(file_a, 0640), 0);
	told(1, 0);
	snprintf(other, sizeof(other), "%s/other", sub);
	ck_assert_int_eq(rename(file_a, other), 0);
	told(0, 0);
	ck_assert_int_eq(rename(other, file_a), 0);
	told(1, 0);
	/* That of the folder may be why it could not be reached. */
	ck_assert_int_eq(chmod(sub, 0750), 0);
	told(1, 0);

	folder_watch_stop(loop, &a.watch);
	ck_assert(!folder_watch_active(&a.watch));
	ck_assert_int_eq(chmod(file_a, 0600), 0);
	told(0, 0);
}
END_TEST

START_TEST(two_share_a_folder)
{
	start(&a, file_a);
	start(&b, file_b);
	ck_assert_uint_eq(kernel_watches(), 1);
	make(file_a);
	told(1, 0);
	make(file_b);
	told(0, 1);
	folder_watch_stop(loop, &a.watch);
	unlink(file_b);
	make(file_b);
	told(0, 1);
	ck_assert_uint_eq(kernel_watches(), 1);
	folder_watch_stop(loop, &b.watch);
	ck_assert_uint_eq(kernel_watches(), 0);
	/* Events that were on their way find nobody. */
	start(&a, file_a);
	ck_assert_int_eq(unlink(file_a), 0);
	make(file_a);
	folder_watch_stop(loop, &a.watch);
	start(&a, file_a);
	told(0, 0);
}
END_TEST

START_TEST(two_watch_one_file_in_two_folders)
{
	char other[128];

	snprintf(other, sizeof(other), "%s/a", top);
	start(&a, file_a);
	start(&b, other);
	ck_assert_uint_eq(kernel_watches(), 2);
	make(other);
	told(0, 1);
	/* Started again, it follows its path. */
	start(&b, file_a);
	ck_assert_uint_eq(kernel_watches(), 1);
	unlink(other);
	make(other);
	told(0, 0);
	make(file_a);
	told(1, 1);
	unlink(other);
}
END_TEST

START_TEST(a_removed_folder_ends_the_watch)
{
	start(&a, file_a);
	start(&b, file_b);
	ck_assert_int_eq(rmdir(sub), 0);
	told(1, 1);
	ck_assert(!folder_watch_active(&a.watch));
	ck_assert(!folder_watch_active(&b.watch));
	ck_assert(!folder_watch_start(loop, &a.watch, file_a));
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	make(file_a);
	told(0, 0);
	start(&a, file_a);
	ck_assert_int_eq(lchown(file_a, getuid(), getgid()), 0);
	told(1, 0);
}
END_TEST

START_TEST(a_renamed_folder_ends_the_watch)
{
	char moved[128], file[160];

	snprintf(moved, sizeof(moved), "%s/moved", top);
	snprintf(file, sizeof(file), "%s/a", moved);
	start(&a, file_a);
	start(&b, file_b);
	a.restart = file_a;
	ck_assert_int_eq(rename(sub, moved), 0);
	ck_assert_int_eq(mkdir(sub, 0700), 0);
	told(1, 1);
	ck_assert(folder_watch_active(&a.watch));
	ck_assert(!folder_watch_active(&b.watch));
	ck_assert_uint_eq(kernel_watches(), 1);
	make(file);
	told(0, 0);
	make(file_a);
	told(1, 0);
	unlink(file);
	rmdir(moved);
}
END_TEST

START_TEST(what_cannot_be_watched)
{
	char path[PATH_MAX + 8];

	ck_assert(!folder_watch_start(loop, &a.watch, "/no/such/folder/file"));
	make(file_a);
	snprintf(path, sizeof(path), "%s/x", file_a);
	ck_assert(!folder_watch_start(loop, &a.watch, path));
	memset(path, 'x', sizeof(path));
	path[0] = path[sizeof(path) - 2] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert(!folder_watch_start(loop, &a.watch, path));
	ck_assert(!folder_watch_active(&a.watch));
	/* One that stood stands no longer. */
	start(&a, file_a);
	ck_assert(!folder_watch_start(loop, &a.watch, "/no/such/folder/file"));
	ck_assert(!folder_watch_active(&a.watch));
	ck_assert_uint_eq(kernel_watches(), 0);
	start(&a, "/file");
	start(&b, "file");
	ck_assert_uint_eq(kernel_watches(), 2);
}
END_TEST

START_TEST(stopped_inside_the_callback)
{
	/* Itself, and the other before its turn, whichever comes first. */
	start(&a, file_a);
	start(&b, file_a);
	a.stop = &b;
	b.stop = &a;
	make(file_a);
	run();
	ck_assert_uint_eq(a.told + b.told, 1);
	ck_assert(folder_watch_active(&a.watch) != folder_watch_active(&b.watch));

	folder_watch_stop(loop, &b.watch);
	start(&a, file_a);
	a.told = b.told = 0;
	a.stop = &a;
	ck_assert_int_eq(unlink(file_a), 0);
	make(file_a);
	ck_assert_int_eq(unlink(file_a), 0);
	make(file_a);
	told(1, 0);
	ck_assert(!folder_watch_active(&a.watch));

	/* And started again: once per event. */
	a.restart = file_a;
	start(&a, file_a);
	ck_assert_int_eq(unlink(file_a), 0);
	make(file_a);
	told(1, 0);
	ck_assert(folder_watch_active(&a.watch));
}
END_TEST

START_TEST(lost_events_are_told_to_all)
{
	char other[128];
	unsigned limit = 0;
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%u", &limit), 1);
	fclose(f);
	snprintf(other, sizeof(other), "%s/other", sub);
	start(&a, file_a);
	start(&b, file_b);
	make(file_a);
	make(file_b);
	told(1, 1);
	unlink(file_b);
	make(other);
	/* Different from the one before, or the kernel makes one event of them. */
	for (unsigned i = 0; i <= limit; i++)
		ck_assert_int_eq(lchown(i % 2 == 0 ? file_a : other, getuid(), getgid()), 0);
	make(file_b);
	unlink(other);
	for (int i = 0; i < 100 && folder_watch_active(&a.watch); i++)
		run();
	ck_assert_uint_gt(a.told, limit / 3);
	ck_assert_uint_eq(b.told, 1);
	ck_assert(!folder_watch_active(&a.watch));
	ck_assert(!folder_watch_active(&b.watch));
	ck_assert_uint_eq(kernel_watches(), 0);
	start(&b, file_b);
	a.told = b.told = 0;
	unlink(file_b);
	make(file_b);
	told(0, 1);
}
END_TEST

/* What it is there for: closing a descriptor that has a watch takes 10 ms. */
START_TEST(starts_and_stops_are_quick)
{
	uint64_t best = UINT64_MAX;
	unsigned before;

	start(&a, file_a);
	before = open_descriptors();
	for (int i = 0; i < 3; i++) {
		uint64_t begin = now(), took;

		for (int n = 0; n < 200; n++) {
			folder_watch_stop(loop, &a.watch);
			start(&a, file_a);
		}
		took = now() - begin;
		best = took < best ? took : best;
		run();
	}
	ck_assert_uint_lt(best, 200 * MS);
	ck_assert_uint_eq(open_descriptors(), before);
	make(file_a);
	told(1, 0);
}
END_TEST

START_TEST(the_descriptor_lives_with_the_loop)
{
	unsigned before = open_descriptors();

	for (int i = 0; i < 3; i++) {
		struct loop *l = loop_new();
		unsigned without = open_descriptors();

		ck_assert(folder_watch_start(l, &a.watch, file_a));
		ck_assert_uint_eq(open_descriptors(), without + 1);
		folder_watch_stop(l, &a.watch);
		ck_assert_uint_eq(open_descriptors(), without + 1);
		loop_free(l);
		ck_assert_uint_eq(open_descriptors(), before);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("folder");
	TCase *c = tcase_create("folder");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 30);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, a_file_is_seen);
	tcase_add_test(c, two_share_a_folder);
	tcase_add_test(c, two_watch_one_file_in_two_folders);
	tcase_add_test(c, a_removed_folder_ends_the_watch);
	tcase_add_test(c, a_renamed_folder_ends_the_watch);
	tcase_add_test(c, what_cannot_be_watched);
	tcase_add_test(c, stopped_inside_the_callback);
	tcase_add_test(c, lost_events_are_told_to_all);
	tcase_add_test(c, starts_and_stops_are_quick);
	tcase_add_test(c, the_descriptor_lives_with_the_loop);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
