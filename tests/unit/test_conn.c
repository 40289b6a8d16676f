/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections on real socket pairs: bytes and descriptors arrive as they were sent, whatever was
 * glued together or cut apart on the way.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/conn.h"

enum { SECTION_CONN, BIG = 600000 };

static const struct region_layout layout = {
	.version = 1,
	.section_count = 1,
	.section = { { sizeof(struct conn), 1 } },
	.undo_bytes = 65536,
	.chunks = 400,
};

static struct conn_link l;
static int far_end; /* the other end */

static void open_pair(bool takes_fds)
{
	struct qmp_error e;
	int pair[2];

	l.region = region_new(&layout, &e);
	ck_assert_msg(l.region != NULL, "%s", e.text);
	l.conn = region_at(l.region, SECTION_CONN, 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	far_end = pair[0];
	conn_open(&l, pair[1], takes_fds);
	region_commit(l.region);
}

static void close_pair(void)
{
	conn_close(&l);
	close(far_end);
	region_free(l.region);
}

/* A file that can be told from all others by its inode. */
static int new_file(ino_t *inode)
{
	char name[] = "/tmp/qmend-conn-XXXXXX";
	struct stat st;
	int fd = mkostemp(name, O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	unlink(name);
	ck_assert_int_eq(fstat(fd, &st), 0);
	*inode = st.st_ino;
	return fd;
}

static void send_with_fds(const char *text, const int *fds, size_t count)
{
	union {
		char bytes[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr h = { .msg_iov = &v, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (count > 0) {
		struct cmsghdr *m;

		h.msg_control = control.bytes;
		h.msg_controllen = CMSG_SPACE(count * sizeof(int));
		m = CMSG_FIRSTHDR(&h);
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(m), fds, count * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(far_end, &h, 0), (ssize_t)v.iov_len);
}

static void receive_all(void)
{
	enum conn_result r;

	do
		r = conn_receive(&l);
	while (r == CONN_PARTLY);
	ck_assert_int_ne(r, CONN_STARVED);
}

/* Writes of these sizes; those whose bit is set carry a descriptor. */
struct glue {
	unsigned sizes[5];
	unsigned with_fd;
};

static const struct glue glues[] = {
	{ { 10, 20, 30 }, 2 },	      { { 10, 20, 30 }, 1 },	   { { 10, 20, 30 }, 4 },
	{ { 1, 1, 1, 1, 1 }, 31 },    { { 4096, 5, 4096 }, 2 },	   { { 5000, 1, 3 }, 6 },
	{ { 1, 4095, 1, 4096 }, 10 }, { { 3000, 3000, 3000 }, 5 }, { { 8192, 1 }, 2 },
};

START_TEST(a_descriptor_comes_with_its_message)
{
	static char text[10000];
	const struct glue *g = &glues[_i];
	uint64_t at = 0, where[5];
	ino_t inode[5];
	struct stat st;
	uint32_t n = 0;

	open_pair(true);
	for (unsigned i = 0; i < 5 && g->sizes[i] != 0; i++) {
		memset(text, 'a' + (int)i, g->sizes[i]);
		text[g->sizes[i] - 1] = '}';
		text[g->sizes[i]] = '\0';
		if ((g->with_fd >> i & 1) != 0) {
			int fd = new_file(&inode[n]);

			where[n++] = at;
			send_with_fds(text, &fd, 1);
			close(fd);
		} else {
			send_with_fds(text, NULL, 0);
		}
		at += g->sizes[i];
	}
	receive_all();
	ck_assert_uint_eq(l.conn->in.head, at);
	ck_assert_uint_eq(l.conn->fd_count, n);
	for (uint32_t i = 0; i < n; i++) {
		ck_assert_uint_eq(l.conn->fds[i].at, where[i]);
		ck_assert_int_eq(fstat(l.conn->fds[i].fd, &st), 0);
		ck_assert_uint_eq(st.st_ino, inode[i]);
	}
	close_pair();
}
END_TEST

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(of_many_descriptors_the_first_is_kept_and_none_leaks)
{
	unsigned before = open_descriptors();
	ino_t first, ignored;
	struct stat st;
	int fds[253];

	open_pair(true);
	fds[0] = new_file(&first);
	for (int i = 1; i < 253; i++)
		fds[i] = new_file(&ignored);
	send_with_fds("x", fds, 253);
	for (int i = 0; i < 253; i++)
		close(fds[i]);
	receive_all();
	ck_assert_uint_eq(l.conn->fd_count, 1);
	ck_assert_int_eq(fstat(l.conn->fds[0].fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, first);
	close_pair();
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(the_last_byte_that_carried_a_descriptor_counts)
{
	ino_t inode[3];
	struct stat st;
	int claimed;

	open_pair(true);
	for (int i = 0; i < 3; i++) {
		int fd = new_file(&inode[i]);

		send_with_fds("ab}", &fd, 1);
		close(fd);
	}
	receive_all();
	claimed = conn_claim_fd(&l, 6); /* two of the three came before */
	region_commit(l.region);
	ck_assert_int_eq(fstat(claimed, &st), 0);
	ck_assert_uint_eq(st.st_ino, inode[1]);
	close(claimed);
	ck_assert_int_eq(conn_claim_fd(&l, 6), -1);
	claimed = conn_claim_fd(&l, 7);
	region_commit(l.region);
	ck_assert_int_eq(fstat(claimed, &st), 0);
	ck_assert_uint_eq(st.st_ino, inode[2]);
	close(claimed);
	close_pair();
}
END_TEST

/* Read at the far end until nothing is left; a descriptor that came is in *@fd, with its place. */
static size_t read_far(char *to, size_t from, int *fd, size_t *fd_at)
{
	for (;;) {
		union {
			char bytes[CMSG_SPACE(sizeof(int))];
			struct cmsghdr align;
		} control;
		struct iovec v = { to + from, 1000 };
		struct msghdr h = { .msg_iov = &v,
				    .msg_iovlen = 1,
				    .msg_control = control.bytes,
				    .msg_controllen = sizeof(control.bytes) };
		ssize_t n = recvmsg(far_end, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n <= 0)
			return from;
		if (h.msg_controllen > 0) {
			ck_assert_int_eq(*fd, -1);
			memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
			*fd_at = from;
		}
		from += (size_t)n;
	}
}

START_TEST(partial_writes_send_the_descriptor_once)
{
	static char sent[BIG], got[BIG + 1000];
	size_t received = 0, fd_at = 0;
	int small = 20000, fd = -1;
	ino_t inode;
	struct stat st;

	open_pair(false);
	ck_assert_int_eq(setsockopt(l.conn->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (size_t i = 0; i < BIG; i++)
		sent[i] = (char)(i * 7 + i / 4096);
	ck_assert(queue_append(l.region, &l.conn->out, (struct span){ sent, BIG }));
	l.conn->out_fd = new_file(&inode);
	l.conn->out_fd_at = 123456;
	region_commit(l.region);
	while (received < BIG) {
		enum conn_result r = conn_send(&l);

		ck_assert(r == CONN_PARTLY || r == CONN_BLOCKED);
		received = read_far(got, received, &fd, &fd_at);
	}
	ck_assert_mem_eq(sent, got, BIG);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_le(fd_at, 123456);
	ck_assert_uint_gt(fd_at + 1000, 123456);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, inode);
	ck_assert_int_eq(l.conn->out_fd, -1);
	ck_assert_uint_eq(region_chunks_used(l.region), 0);
	close(fd);
	close_pair();
}
END_TEST

START_TEST(what_was_sent_before_a_reset_is_read)
{
	open_pair(true);
	ck_assert(queue_append(l.region, &l.conn->out, SPAN("never read")));
	region_commit(l.region);
	ck_assert_int_eq(conn_send(&l), CONN_BLOCKED);
	send_with_fds("quit", NULL, 0);
	close(far_end); /* with unread bytes: ECONNRESET comes first */
	while (conn_receive(&l) != CONN_ENDED)
		;
	ck_assert_uint_eq(l.conn->in.head, 4);
	ck_assert(l.conn->in_ended);
	conn_note_hangup(&l);
	ck_assert(l.conn->out_broken);
	far_end = -1;
	conn_close(&l);
	region_free(l.region);
}
END_TEST

START_TEST(an_urgent_byte_does_not_keep_it_busy)
{
	struct pollfd p;

	open_pair(true);
	ck_assert_int_eq(send(far_end, "x", 1, MSG_OOB), 1);
	ck_assert_int_eq(conn_receive(&l), CONN_BLOCKED);
	p = (struct pollfd){ .fd = l.conn->fd, .events = POLLIN };
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	close_pair();
}
END_TEST

START_TEST(a_half_close_is_no_hangup)
{
	open_pair(true);
	shutdown(far_end, SHUT_WR);
	ck_assert_int_eq(conn_receive(&l), CONN_ENDED);
	conn_note_hangup(&l);
	ck_assert(!l.conn->out_broken);
	close_pair();
}
END_TEST

START_TEST(an_idle_connection_holds_no_chunk)
{
	open_pair(true);
	ck_assert_int_eq(conn_receive(&l), CONN_BLOCKED);
	ck_assert_uint_eq(region_chunks_used(l.region), 0);
	close_pair();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("conn");
	TCase *tc = tcase_create("conn");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, a_descriptor_comes_with_its_message, 0,
			    sizeof(glues) / sizeof(glues[0]));
	tcase_add_test(tc, of_many_descriptors_the_first_is_kept_and_none_leaks);
	tcase_add_test(tc, the_last_byte_that_carried_a_descriptor_counts);
	tcase_add_test(tc, partial_writes_send_the_descriptor_once);
	tcase_add_test(tc, what_was_sent_before_a_reset_is_read);
	tcase_add_test(tc, an_urgent_byte_does_not_keep_it_busy);
	tcase_add_test(tc, a_half_close_is_no_hangup);
	tcase_add_test(tc, an_idle_connection_holds_no_chunk);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
