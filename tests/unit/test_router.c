/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The largest transactions that the router can make fit into the undo log that router_undo_bytes()
 * asks for: everything at once for every client, and each client with all that it can have.
 */
#define _GNU_SOURCE
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mend/recovery.h"

enum { CLIENTS = 400, LARGE = 100 * 1024 };

static struct router rt;
static int far_end[CLIENTS + 1];

static void work(void)
{
	for (uint32_t i = 0; i < rt.slots; i++)
		router_ready(&rt, i, true, true);
	while (router_work(&rt, 1000))
		;
}

static int new_pair(uint32_t slot)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
			 0);
	far_end[slot] = pair[0];
	return pair[1];
}

static void say(uint32_t slot, const char *text)
{
	ck_assert_int_eq(send(far_end[slot], text, strlen(text), MSG_NOSIGNAL),
			 (ssize_t)strlen(text));
}

/* A VM with all its clients, negotiated. */
static void begin(void)
{
	struct region_layout layout = { .version = 1 };
	struct region *region;
	struct qmp_error e;

	router_layout(CLIENTS, &layout);
	layout.undo_bytes = router_undo_bytes(CLIENTS) + recovery_undo_bytes(CLIENTS);
	layout.chunks = 100000;
	region = region_new(&layout, &e);
	ck_assert_msg(region != NULL, "%s", e.text);
	rt = (struct router){ .queue_limit = 1 << 30 };
	router_init(&rt, region, "test");
	router_add_qemu(&rt, new_pair(0), 1);
	say(0, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	work();
	say(0, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error, x\"}}\r\n"
	       "{\"return\": {}, \"id\": 1}\r\n");
	work();
	ck_assert_int_eq(router_qemu(&rt)->state, QEMU_READY);
	for (uint32_t i = 1; i <= CLIENTS; i++) {
		ck_assert(router_add_client(&rt, new_pair(i), 0, false));
		say(i, "{\"execute\":\"qmp_capabilities\"}");
	}
	work();
}

static void end(void)
{
	struct region *region = rt.region;

	for (uint32_t i = 0; i <= CLIENTS; i++)
		close(far_end[i]);
	work();
	router_release(&rt);
	region_free(region);
}

/* How often @text came to client @slot, which reads all that waits. */
static unsigned count(uint32_t slot, const char *text)
{
	static char bytes[4 * LARGE];
	size_t len = 0;
	unsigned n = 0;

	for (;;) {
		ssize_t got =
			recv(far_end[slot], bytes + len, sizeof(bytes) - 1 - len, MSG_DONTWAIT);

		if (got <= 0)
			break;
		len += (size_t)got;
		work();
	}
	bytes[len] = '\0';
	for (const char *at = bytes; (at = strstr(at, text)) != NULL; at++)
		n++;
	return n;
}

START_TEST(an_event_for_every_client)
{
	static char event[LARGE + 100];

	begin();
	strcpy(event, "{\"event\": \"X\", \"data\": {\"v\": \"");
	memset(event + strlen(event), 'v', LARGE);
	strcat(event, "\"}, \"timestamp\": {\"seconds\": 1, \"microseconds\": 1}}\r\n");
	for (size_t sent = 0; sent < strlen(event);) {
		ssize_t n = send(far_end[0], event + sent, strlen(event) - sent, MSG_NOSIGNAL);

		ck_assert_int_gt(n, 0);
		sent += (size_t)n;
		work();
	}
	for (uint32_t i = 1; i <= CLIENTS; i++)
		ck_assert_uint_eq(count(i, "\"event\": \"X\""), 1);
	end();
}
END_TEST

START_TEST(held_events_for_every_client)
{
	struct queue *held;

	begin();
	held = &router_qemu(&rt)->greeting; /* any queue will do */
	for (int i = 0; i < 40; i++) {
		ck_assert(queue_append(rt.region, held, SPAN("{\"event\": \"HELD\"}\r\n")));
		region_commit(rt.region);
	}
	for (int i = 0; i < RECOVERY_INCIDENTS; i++) /* QEMU goes: all of them at once */
		router_broadcast(&rt, held);
	region_commit(rt.region);
	work();
	for (uint32_t i = 1; i <= CLIENTS; i++)
		ck_assert_uint_eq(count(i, "HELD"), 40 * RECOVERY_INCIDENTS);
	end();
}
END_TEST

START_TEST(qemu_goes_while_all_wait)
{
	begin();
	for (uint32_t i = 1; i <= CLIENTS; i++)
		for (int n = 0; n < 20; n++)
			say(i, "{\"execute\":\"query-block\",\"id\":\"0123456789\"}");
	work();
	shutdown(far_end[0], SHUT_RDWR);
	work();
	ck_assert_int_eq(router_qemu(&rt)->state, QEMU_ABSENT);
	for (uint32_t i = 1; i <= CLIENTS; i++) {
		char byte;

		count(i, "x");
		ck_assert_int_eq(recv(far_end[i], &byte, 1, MSG_DONTWAIT), 0);
	}
	ck_assert_uint_eq(region_chunks_used(rt.region), 0);
	end();
}
END_TEST

START_TEST(a_command_full_of_blanks)
{
	static char command[60000];

	begin();
	strcpy(command, "{\"execute\":\"query-block\",\"arguments\":{\"v\":[1");
	while (strlen(command) < sizeof(command) - 10)
		memcpy(command + strlen(command), ", 1", 4);
	strcat(command, "]}}");
	say(1, command);
	work();
	ck_assert_uint_eq(router_qemu(&rt)->in_band, 1);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("router");
	TCase *tc = tcase_create("router");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, an_event_for_every_client);
	tcase_add_test(tc, held_events_for_every_client);
	tcase_add_test(tc, qemu_goes_while_all_wait);
	tcase_add_test(tc, a_command_full_of_blanks);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
