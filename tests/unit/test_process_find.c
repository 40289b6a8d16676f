/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a backend is ready, and backends that run already. */
#define _GNU_SOURCE 1 /* accept4() and friends */
#include "mend/process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process_fixture.h"

/* ---- Readiness ---- */

START_TEST(ready_when_it_listens)
{
	uint64_t begin = now();

	policy.ready = POLICY_READY_LISTENS;
	policy.socket = sock_path;
	policy.command = listener("0.2");
	start();
	wait_ready();
	ck_assert_uint_ge(now() - begin, 200 * MS);
	/* It takes one client, and we have not been it. */
	run(50);
	ck_assert_uint_eq(ended, 0);
	ck_assert(process_alive(&process));
}
END_TEST

START_TEST(another_listener_is_not_its_readiness)
{
	int server = serve(5);

	policy.ready = POLICY_READY_LISTENS;
	policy.socket = sock_path;
	policy.command = sleep_command;
	start();
	run(200);
	ck_assert_uint_eq(ready + ended, 0);
	close(server);
}
END_TEST

START_TEST(ready_when_the_pid_file_is_written)
{
	FILE *stale = fopen(pid_path, "we");

	/* A stale one, even with the right number in it, would be taken for readiness. */
	fputs("1\n", stale);
	fclose(stale);
	policy.ready = POLICY_READY_PIDFILE;
	policy.pidfile = pid_path;
	policy.command = shell("test -e $PIDFILE && exit 9; sleep 0.1; : > $PIDFILE; sleep 0.1; "
			       "echo $$ > $PIDFILE; exec sleep 30");
	start();
	ck_assert_int_eq(access(pid_path, F_OK), -1);
	run(150);
	ck_assert_uint_eq(ready + ended, 0);
	wait_ready();
}
END_TEST

START_TEST(ready_when_the_pid_file_is_moved_there)
{
	policy.ready = POLICY_READY_PIDFILE;
	policy.pidfile = pid_path;
	policy.command = shell("echo $$ > $PIDFILE.new; mv $PIDFILE.new $PIDFILE; exec sleep 30");
	start();
	wait_ready();
}
END_TEST

START_TEST(the_pid_file_of_another_is_not_its_readiness)
{
	policy.ready = POLICY_READY_PIDFILE;
	policy.pidfile = pid_path;
	policy.command = shell("echo 1 > $PIDFILE; exec sleep 30");
	start();
	run(200);
	ck_assert_uint_eq(ready + ended, 0);
}
END_TEST

/* Once it is ready, nothing but its death wakes us. */
START_TEST(a_ready_process_costs_nothing)
{
	unsigned before;

	policy.command = sleep_command;
	before = open_descriptors();
	start();
	wait_ready();
	ck_assert_uint_eq(open_descriptors(), before + 1);
}
END_TEST

/* ---- Found and resumed ---- */

START_TEST(a_listener_is_found)
{
	int32_t pid = stranger(listener("0"), -1);

	policy.ready = POLICY_READY_LISTENS;
	policy.socket = sock_path;
	policy.command = sleep_command;
	wait_for_listener();
	ck_assert_msg(!process_find(&process, &start_time), "it is another program");
	policy.command = listener("0");
	ck_assert(process_find(&process, &start_time));
	ck_assert_int_eq(process.pid, pid);
	ck_assert_uint_eq(start_time, process_start_time(pid));
	ck_assert_uint_eq(ready, 0);
	wait_ready();
	kill(pid, SIGKILL);
	run(5000);
	ck_assert_uint_eq(ended, 1);
	ck_assert(!process_find(&process, &start_time));

	/* The file is still there, and a new listener on the same path is another one. */
	unlink(sock_path);
	pid = stranger(listener("0"), -1);
	wait_for_listener();
	policy.command = NULL; /* only watched: any program will do */
	ck_assert(process_find(&process, &start_time));
	ck_assert_int_eq(process.pid, pid);
}
END_TEST

START_TEST(an_unreachable_listener_is_not_found)
{
	int32_t pid = stranger(listener("0"), -1);

	policy.socket = sock_path;
	wait_for_listener();
	unlink(sock_path);
	close(serve(5)); /* the path now belongs to another socket, and nobody listens */
	ck_assert(!process_find(&process, &start_time));
	kill(pid, SIGKILL);
}
END_TEST

START_TEST(a_listener_is_found_by_another_name_of_its_path)
{
	char other[160];
	int32_t pid = stranger(listener("0"), -1);

	wait_for_listener();
	snprintf(other, sizeof(other), "%s/../%s/./s", folder, strrchr(folder, '/') + 1);
	policy.socket = other;
	ck_assert(process_find(&process, &start_time));
	ck_assert_int_eq(process.pid, pid);
	kill(pid, SIGKILL);
}
END_TEST

START_TEST(the_peer_of_a_connection_is_found)
{
	int server = serve(5), peer;
	struct process other;

	policy.handover = true;
	policy.socket = sock_path;
	policy.command = shell("read x <&3");
	ck_assert(!process_find(&process, &start_time));
	start();
	process_init(&other, loop, &policy, on_news, &policy);
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	ck_assert(process_find(&other, &start_time));
	ck_assert_int_eq(other.pid, receipt);
	process_release(&other);
	wait_ready();
	close(peer);
	close(server);
	wait_ended(BACKEND_CAUSE_EXITED, 1);
}
END_TEST

static void write_pid(int32_t pid)
{
	FILE *f = fopen(pid_path, "we");

	ck_assert_ptr_nonnull(f);
	fprintf(f, "%d\n", pid);
	fclose(f);
}

/* A program that was told of the pid file, as passt is. */
static char *named_command[] = { (char[]){ "tail" }, (char[]){ "-f" }, pid_path, NULL };
static char *unnamed_command[] = { (char[]){ "tail" }, (char[]){ "-f" }, (char[]){ "/dev/null" },
				   NULL };

START_TEST(a_pid_file_is_believed_if_the_program_fits)
{
	int32_t pid, other;

	policy.ready = POLICY_READY_PIDFILE;
	policy.pidfile = pid_path;
	policy.command = named_command;
	ck_assert(!process_find(&process, &start_time));
	write_pid(getpid());
	pid = stranger(named_command, -1);
	other = stranger(unnamed_command, -1);
	ck_assert_msg(!process_find(&process, &start_time), "it is another program");
	write_pid(0x7ffffff0);
	ck_assert(!process_find(&process, &start_time));
	write_pid(other);
	ck_assert_msg(!process_find(&process, &start_time), "it was started for something else");
	kill(other, SIGKILL);
	write_pid(pid);
	ck_assert(process_find(&process, &start_time));
	ck_assert_int_eq(process.pid, pid);
	wait_ready();
	kill(pid, SIGKILL);
	run(5000);
	ck_assert_uint_eq(ended, 1);
}
END_TEST

/* Found by its socket, but without the pid file that the policy waits for: ready after its time. */
START_TEST(a_found_process_counts_as_ready_after_its_time)
{
	int32_t pid = stranger(listener("0"), -1);

	policy.ready = POLICY_READY_PIDFILE;
	policy.pidfile = pid_path;
	policy.socket = sock_path;
	policy.ready_deadline = 2 * SECOND;
	wait_for_listener();
	ck_assert(process_find(&process, &start_time));
	run(100);
	ck_assert_uint_eq(ready, 0);
	wait_ready();
	kill(pid, SIGKILL);
}
END_TEST

START_TEST(resumed_only_if_it_is_the_same)
{
	int32_t pid = stranger(sleep_command, -1);
	uint64_t began = process_start_time(pid);

	policy.command = sleep_command;
	ck_assert(!process_resume(&process, pid, began + 1, true));
	ck_assert(!process_resume(&process, pid, 0, true));
	ck_assert(!process_resume(&process, 0, began, true));
	ck_assert(!process_resume(&process, -1, began, true));
	ck_assert_int_eq(process.pidfd, -1);
	ck_assert(process_resume(&process, pid, began, true));
	ck_assert(process.child);
	wait_ready();
	process_signal(&process, SIGKILL);
	wait_ended(BACKEND_CAUSE_KILLED, SIGKILL);
	ck_assert(!process_resume(&process, pid, began, true));
}
END_TEST

/* A real second process under the same number, where the kernel lets us choose it. */
START_TEST(a_reused_pid_is_another_process)
{
	int32_t pid = stranger(sleep_command, -1), again = 0;
	uint64_t began = process_start_time(pid);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	nanosleep(&(struct timespec){ 0, 50000000 }, NULL);
	for (int i = 0; i < 50 && again != pid; i++) {
		int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);

		if (again != 0) {
			kill(again, SIGKILL);
			waitpid(again, NULL, 0);
		}
		if (fd < 0 || dprintf(fd, "%d", pid - 1) < 0)
			i = 50;
		if (fd >= 0)
			close(fd);
		again = stranger(sleep_command, -1);
	}
	policy.command = sleep_command;
	ck_assert(!process_resume(&process, pid, began, true));
	if (again == pid)
		ck_assert(process_resume(&process, pid, process_start_time(pid), true));
	else
		printf("# the pid could not be chosen\n");
	kill(again, SIGKILL);
}
END_TEST

/* No child of ours: its death is seen, not how. */
START_TEST(the_death_of_a_stranger_is_unknown)
{
	int fd[2];
	int32_t pid;

	ck_assert_int_eq(pipe(fd), 0);
	if (fork() == 0) {
		pid = fork();
		if (pid == 0) {
			close(fd[0]);
			close(fd[1]);
			execlp("sleep", "sleep", "30", (char *)NULL);
			_exit(1);
		}
		(void)!write(fd[1], &pid, sizeof(pid));
		_exit(0);
	}
	ck_assert_int_eq(read(fd[0], &pid, sizeof(pid)), sizeof(pid));
	close(fd[0]);
	close(fd[1]);
	ck_assert_int_gt(wait(NULL), 0);
	ck_assert(process_resume(&process, pid, process_start_time(pid), false));
	wait_ready();
	kill(pid, SIGKILL);
	wait_ended(BACKEND_CAUSE_UNKNOWN, 0);
}
END_TEST

/* ---- The real passt ---- */

static char *passt_listens[] = { "passt",   "--quiet", "--foreground", "--socket",
				 sock_path, "--pid",   pid_path,       NULL };
static char *passt_inherits[] = { "passt", "--quiet", "--foreground", "--fd",
				  "3",	   "--pid",   pid_path,	      NULL };

START_TEST(passt_as_a_listener)
{
	struct process other;
	uint64_t began;

	policy.ready = POLICY_READY_LISTENS;
	policy.socket = sock_path;
	policy.pidfile = pid_path;
	policy.command = passt_listens;
	start();
	wait_ready();
	process_init(&other, loop, &policy, on_news, &policy);
	ck_assert(process_find(&other, &began));
	ck_assert_int_eq(other.pid, receipt);
	ck_assert_uint_eq(began, start_time);
	process_release(&other);
	process_signal(&process, SIGKILL);
	wait_ended(BACKEND_CAUSE_KILLED, SIGKILL);
}
END_TEST

/* QEMU's framing: 32 bits of length, then an Ethernet frame. Who has 192.0.2.1, tell 192.0.2.2? */
static const unsigned char arp_request[] = {
	0,    0,    0,	  42,					/* length */
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,	 0, 0, 0, 0, 1, /* to all, from us */
	8,    6,    0,	  1,	8,    0,    6,	 4, 0, 1,	/* ARP, a request */
	2,    0,    0,	  0,	0,    1,    192, 0, 2, 2,	/* sender */
	0,    0,    0,	  0,	0,    0,    192, 0, 2, 1,	/* who? */
};

START_TEST(passt_with_an_inherited_connection)
{
	struct timeval limit = { 10, 0 };
	unsigned char reply[64];
	struct process other;
	int server = serve(1), peer;

	policy.ready = POLICY_READY_PIDFILE;
	policy.handover = true;
	policy.socket = sock_path;
	policy.pidfile = pid_path;
	policy.command = passt_inherits;
	start();
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	wait_ready();

	/* It serves: its answer to an ARP request (opcode 2). */
	setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ck_assert_int_eq(write(peer, arp_request, sizeof(arp_request)), sizeof(arp_request));
	ck_assert_int_ge(recv(peer, reply, 46, MSG_WAITALL), 46);
	ck_assert_int_eq(reply[4 + 12], 8);
	ck_assert_int_eq(reply[4 + 13], 6);
	ck_assert_int_eq(reply[4 + 21], 2);

	process_init(&other, loop, &policy, on_news, &policy);
	ck_assert(process_find(&other, &start_time));
	ck_assert_int_eq(other.pid, receipt);
	process_release(&other);
	/* QEMU goes: so does passt. */
	close(peer);
	close(server);
	run(5000);
	ck_assert_uint_eq(ended, 1);
}
END_TEST

/* passt copies the addresses of the interface that has the default route. */
static bool passt_can_run(void)
{
	unsigned long destination;
	char line[256];
	FILE *f;
	bool route = false;

	if (access("/usr/bin/passt", X_OK) != 0)
		return false;
	f = fopen("/proc/net/route", "re");
	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL)
		route = route || (sscanf(line, "%*s %lx", &destination) == 1 && destination == 0);
	fclose(f);
	return route;
}

int main(void)
{
	Suite *s = suite_create("process_find");
	TCase *c = tcase_create("process_find");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, ready_when_it_listens);
	tcase_add_test(c, another_listener_is_not_its_readiness);
	tcase_add_test(c, ready_when_the_pid_file_is_written);
	tcase_add_test(c, ready_when_the_pid_file_is_moved_there);
	tcase_add_test(c, the_pid_file_of_another_is_not_its_readiness);
	tcase_add_test(c, a_ready_process_costs_nothing);
	tcase_add_test(c, a_listener_is_found);
	tcase_add_test(c, an_unreachable_listener_is_not_found);
	tcase_add_test(c, a_listener_is_found_by_another_name_of_its_path);
	tcase_add_test(c, the_peer_of_a_connection_is_found);
	tcase_add_test(c, a_pid_file_is_believed_if_the_program_fits);
	tcase_add_test(c, a_found_process_counts_as_ready_after_its_time);
	tcase_add_test(c, resumed_only_if_it_is_the_same);
	tcase_add_test(c, a_reused_pid_is_another_process);
	tcase_add_test(c, the_death_of_a_stranger_is_unknown);

	if (passt_can_run() || getenv("CI") != NULL || getenv("QMEND_NO_SKIP") != NULL) {
		tcase_add_test(c, passt_as_a_listener);
		tcase_add_test(c, passt_with_an_inherited_connection);
	} else {
		puts("# without passt and a default route two tests are left out");
	}

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
