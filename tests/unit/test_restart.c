/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The property on which everything rests that is to come: a session is played to a router; at each
 * instant at which a death would make a difference, the router is abandoned, its region is copied,
 * and a second router goes on with the copy and the same sockets. What QEMU and every client have
 * received in the end must be the same bytes as in a session without a death.
 *
 * A death is a longjmp() out of the region's hook: the kernel's side of the sockets is the real
 * one, and what had not been stored is lost, as with SIGKILL.
 */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mend/recovery.h"

/* Of the instants so many, evenly spread. All of them: make it larger than there are (4000). */
#ifndef DEATHS
#define DEATHS 600
#endif

enum {
	CLIENTS = 4,
	ACTORS = CLIENTS, /* 0 is QEMU, the others are clients */
	SENT_MAX = 1 << 18,
	BIG = 20000,
};

/* One side of the session: the far end of a socket, and all that came out of it. */
struct actor {
	int fd;
	size_t received;
	size_t answered; /* QEMU: commands up to here have been replied to */
	bool ended;
	char bytes[SENT_MAX];
};

struct scene {
	struct region *region;
	struct router router;
	struct recovery recovery;
	struct actor actor[ACTORS];
	size_t instants; /* that have passed */
	size_t death;	 /* after so many; 0: never */
	uint64_t now;
};

/* A rule that needs no process: the event LOST is held until BACK comes, twice in vain: given up.
 */
static struct policy_match about_x[] = { { (char[]){ "id" }, (char[]){ "\"x\"" } } };
static struct policy_trigger triggers[] = {
	{ POLICY_ON_EVENT, { (char[]){ "LOST" }, about_x, 1 } },
};
static struct policy_step steps[] = {
	{ POLICY_STEP_AWAIT, { (char[]){ "BACK" }, about_x, 1 }, 1000 },
};
static struct policy_rule rules[] = {
	{ (char[]){ "lost" }, triggers, 1, POLICY_HOLD, steps, 1 },
};
static struct policy_backend backends[] = { {
	.name = (char[]){ "x" },
	.recipe = (char[]){ "x" },
	.pidfile = (char[]){ "/nowhere/x.pid" },
	.budget_faults = 2,
	.budget_period = 1000000,
	.rules = rules,
	.rule_count = 1,
} };
static const struct policy policy = {
	.vm = (char[]){ "test" },
	.backends = backends,
	.backend_count = 1,
};

static struct loop *loop;
static jmp_buf dead;

static void layout_of(struct region_layout *l)
{
	*l = (struct region_layout){ .version = 1 };
	router_layout(CLIENTS, l);
	recovery_layout(1, l);
	l->undo_bytes = router_undo_bytes(CLIENTS) + 65536;
	l->chunks = 1024;
}

static void on_instant(void *owner)
{
	struct scene *s = owner;

	s->instants++;
	if (s->death != 0 && s->instants == s->death)
		longjmp(dead, 1);
}

/* A worker begins on the region. */
static void begin(struct scene *s)
{
	s->router = (struct router){ .queue_limit = 1 << 20, .coalesce = true };
	router_init(&s->router, s->region, "test");
	s->recovery = (struct recovery){
		.region = s->region,
		.router = &s->router,
		.loop = loop,
		.policy = &policy,
	};
	recovery_init(&s->recovery);
	s->router.sink = recovery_sink(&s->recovery);
	region_commit(s->region);
}

static void end(struct scene *s)
{
	recovery_release(&s->recovery);
	router_release(&s->router);
	region_free(s->region);
}

/* A new worker: a copy of the memory at another address, the same sockets. */
static void take_over(struct scene *s)
{
	struct region_layout layout;
	struct qmp_error e;
	struct stat st;
	char *from;
	int fd = memfd_create("copy", MFD_CLOEXEC);

	region_set_hook(s->region, NULL, NULL);
	ck_assert_int_eq(fstat(region_fd(s->region), &st), 0);
	ck_assert_int_eq(ftruncate(fd, st.st_size), 0);
	from = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, region_fd(s->region), 0);
	ck_assert_ptr_ne(from, MAP_FAILED);
	ck_assert_int_eq(write(fd, from, (size_t)st.st_size), st.st_size);
	munmap(from, (size_t)st.st_size);
	end(s);
	layout_of(&layout);
	s->region = region_attach(fd, &layout, &e);
	ck_assert_msg(s->region != NULL, "%s", e.text);
	begin(s);
}

static void work(struct scene *s)
{
	region_set_hook(s->region, on_instant, s);
	if (setjmp(dead) != 0) {
		take_over(s);
		s->death = 0;
	}
	for (uint32_t i = 0; i < s->router.slots; i++)
		router_ready(&s->router, i, true, true);
	while (router_work(&s->router, s->now) | recovery_work(&s->recovery, s->now))
		;
	region_set_hook(s->region, NULL, NULL);
}

/* All that an actor can read by now. */
static void collect(struct actor *a)
{
	while (a->fd >= 0 && !a->ended) {
		ssize_t n =
			recv(a->fd, a->bytes + a->received, SENT_MAX - a->received, MSG_DONTWAIT);

		if (n < 0)
			return;
		if (n == 0)
			a->ended = true;
		a->received += (size_t)n;
	}
}

static void settle(struct scene *s)
{
	work(s);
	for (int i = 0; i < ACTORS; i++)
		collect(&s->actor[i]);
	work(s);
	for (int i = 0; i < ACTORS; i++)
		collect(&s->actor[i]);
}

static void say(struct scene *s, int actor, const char *text)
{
	ck_assert_int_eq(send(s->actor[actor].fd, text, strlen(text), MSG_NOSIGNAL),
			 (ssize_t)strlen(text));
	settle(s);
}

static void say_with_fd(struct scene *s, int actor, const char *text, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct iovec v = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr h = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);

	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(m), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(s->actor[actor].fd, &h, MSG_NOSIGNAL), (ssize_t)v.iov_len);
	settle(s);
}

static void connect_actor(struct scene *s, int actor)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	s->actor[actor].fd = pair[0];
	if (actor == 0)
		router_add_qemu(&s->router, pair[1], 1);
	else
		ck_assert(router_add_client(&s->router, pair[1], 0, false));
	settle(s);
}

/* Behind the id at @at: a number, or an array. */
static const char *behind_id(const char *at)
{
	int depth = 0;

	if (*at != '[')
		return at + strspn(at, "0123456789");
	do {
		depth += *at == '[';
		depth -= *at == ']';
		ck_assert_int_ne(*at, '\0');
		at++;
	} while (depth > 0);
	return at;
}

/* QEMU replies to every command that it has got, each with its own id and @body. */
static void reply_to_all(struct scene *s, const char *body)
{
	static char reply[BIG + 256];
	struct actor *q = &s->actor[0];
	char *at;

	q->bytes[q->received] = '\0';
	while ((at = strstr(q->bytes + q->answered, "\"id\":")) != NULL) {
		const char *id = at + 5;
		const char *end = behind_id(id);

		snprintf(reply, sizeof(reply), "{\"return\": %s, \"id\": %.*s}\r\n", body,
			 (int)(end - id), id);
		q->answered = (size_t)(end - q->bytes);
		say(s, 0, reply);
	}
}

static void play_handshake(struct scene *s)
{
	connect_actor(s, 1);
	connect_actor(s, 0);
	say(s, 0,
	    "ail of an old reply\"}]}\r\n{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, "
	    "\"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n");
	say(s, 0,
	    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, expecting "
	    "value\"}}\r\n");
	reply_to_all(s, "{}");
	connect_actor(s, 2);
	say(s, 1, "{\"execute\":\"qmp_capabilities\",\"id\":1e3}");
	say(s, 2, "{'execute':'qmp_capabilities', 'arguments':{'enable':['oob']}}");
}

static void play_commands(struct scene *s, const char *big)
{
	int pair[2];

	say(s, 1, "{\"execute\":\"query-status\",\"id\":\"a\"} {\"execute\":\"quer");
	say(s, 1, "y-version\"}{\"bad\":}{\"execute\":\"stop\"}\xff");
	say(s, 2,
	    "{\"execute\":\"a\"}{\"execute\":\"b\"}{\"execute\":\"c\"}{\"execute\":\"d\"}"
	    "{\"execute\":\"e\"}{\"execute\":\"f\"}{\"exec-oob\":\"yank\",\"id\":[1]}");
	say(s, 0,
	    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}\r\n");
	reply_to_all(s, "{}");
	reply_to_all(s, big);
	say(s, 1, "{\"execute\":\"query-version\",\"id\":{\"x\":1}}");
	say(s, 2, "{\"execute\":\"query-version\"}{\"execute\":\"query-block\"}");
	say(s, 1, "{\"execute\":\"query-block\",\"id\":18446744073709551615}");
	reply_to_all(s, "[1, 2]");
	ck_assert_int_eq(pipe2(pair, O_CLOEXEC), 0);
	say_with_fd(s, 1, " {\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n\"},\"id\":7}",
		    pair[0]);
	reply_to_all(s, "{}");
	close(pair[0]);
	close(pair[1]);
}

static void say_event(struct scene *s, const char *name)
{
	char text[200];

	snprintf(text, sizeof(text),
		 "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 4}, \"event\": \"%s\", "
		 "\"data\": "
		 "{\"id\": \"x\"}}\r\n",
		 name);
	say(s, 0, text);
}

static void play_recovery(struct scene *s)
{
	say_event(s, "LOST");
	say_event(s, "OTHER");
	say_event(s, "BACK");
	say_event(s, "LOST");
	for (int i = 0; i < 3; i++) {
		s->now += 2000;
		settle(s);
	}
	say_event(s, "BACK");
}

static void play_end(struct scene *s)
{
	shutdown(s->actor[1].fd, SHUT_WR);
	settle(s);
	reply_to_all(s, "{}"); /* to closefd */
	say(s, 2, "{\"execute\":\"quit\"}{\"execute\":\"never\"}");
	say(s, 0,
	    "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 3}, \"event\": \"SHUTDOWN\"}\r\n");
	reply_to_all(s, "{}");
	shutdown(s->actor[0].fd, SHUT_RDWR);
	settle(s);
}

/* The whole session; @death: see struct scene. */
static void play(struct scene *s, size_t death)
{
	static char big[BIG];
	struct region_layout layout;
	struct qmp_error e;

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < ACTORS; i++)
		s->actor[i].fd = -1;
	memset(big, 'x', sizeof(big));
	memcpy(big, "{\"v\": \"", 7);
	memcpy(big + BIG - 3, "\"}", 3);
	layout_of(&layout);
	s->region = region_new(&layout, &e);
	ck_assert_msg(s->region != NULL, "%s", e.text);
	s->now = 1000;
	begin(s);
	s->death = death;
	play_handshake(s);
	play_commands(s, big);
	play_recovery(s);
	play_end(s);
	end(s);
	for (int i = 0; i < ACTORS; i++)
		if (s->actor[i].fd >= 0)
			close(s->actor[i].fd);
}

static struct scene reference, scene;

START_TEST(the_session_itself_is_right)
{
	const char *first, *lost;

	play(&reference, 0);
	reference.actor[1].bytes[reference.actor[1].received] = '\0';
	first = reference.actor[1].bytes;
	ck_assert_ptr_nonnull(strstr(first, "{\"return\": {}, \"id\": 1000}\r\n"));
	ck_assert_ptr_nonnull(strstr(first, "\"event\": \"STOP\""));
	ck_assert_ptr_nonnull(strstr(first, "\"id\": 18446744073709551615}"));
	ck_assert_ptr_nonnull(strstr(first, "\"id\": 7}"));
	ck_assert_ptr_nonnull(strstr(first, "JSON parse error"));
	lost = strstr(first, "LOST");
	ck_assert_ptr_nonnull(lost); /* given up: the second one, after OTHER */
	ck_assert_ptr_null(strstr(lost + 1, "LOST"));
	ck_assert(strstr(first, "OTHER") < lost);
	ck_assert(strstr(first, "BACK") > lost);
	ck_assert(reference.actor[1].ended);
	ck_assert(reference.actor[2].ended);
	ck_assert_ptr_nonnull(strstr(reference.actor[2].bytes, "\"id\": [1]}"));
	ck_assert_ptr_nonnull(strstr(reference.actor[2].bytes, "SHUTDOWN"));
	ck_assert_ptr_nonnull(strstr(reference.actor[0].bytes, "closefd"));
	ck_assert_uint_gt(reference.instants, 500);
}
END_TEST

START_TEST(a_death_at_any_instant_changes_nothing)
{
	size_t step;

	play(&reference, 0);
	step = reference.instants / DEATHS + 1;
	for (size_t death = 1 + (size_t)_i; death < reference.instants; death += step * 4) {
		play(&scene, death);
		for (int i = 0; i < ACTORS; i++) {
			const struct actor *want = &reference.actor[i];
			const struct actor *got = &scene.actor[i];

			ck_assert_msg(want->received == got->received &&
					      memcmp(want->bytes, got->bytes, want->received) == 0,
				      "death %zu, actor %d: %zu bytes instead of %zu:\n%.*s", death,
				      i, got->received, want->received, (int)got->received,
				      got->bytes);
			ck_assert_msg(want->ended == got->ended, "death %zu, actor %d: its end",
				      death, i);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("restart");
	TCase *tc = tcase_create("restart");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, the_session_itself_is_right);
	tcase_add_loop_test(tc, a_death_at_any_instant_changes_nothing, 0, 4);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	loop = loop_new();
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	loop_free(loop);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
