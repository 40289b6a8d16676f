/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A backend's process from start to end, with real processes and a real loop. */
#define _GNU_SOURCE 1 /* accept4() and friends */
#include "mend/process.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mend/spawn.h"
#include "process_fixture.h"

START_TEST(started_is_ready_at_once)
{
	policy.command = sleep_command;
	start();
	ck_assert_uint_eq(ready, 0);
	wait_ready();
	ck_assert(process_alive(&process));
	ck_assert(process.child);
	/* Once. */
	run(50);
	ck_assert_uint_eq(ready, 1);
}
END_TEST

START_TEST(a_kill_is_noticed_soon)
{
	uint64_t best = UINT64_MAX;

	policy.command = sleep_command;
	for (int i = 0; i < 5; i++) {
		uint64_t begin;

		ready = 0;
		start();
		wait_ready();
		begin = now();
		ck_assert_int_eq(kill(receipt, SIGKILL), 0);
		wait_ended(BACKEND_CAUSE_KILLED, SIGKILL);
		best = news_at - begin < best ? news_at - begin : best;
		ck_assert(!process_alive(&process));
	}
	ck_assert_uint_lt(best, 50 * MS);
}
END_TEST

START_TEST(exit_status_is_told)
{
	policy.command = shell("sleep 0.05; exit 3");
	start();
	wait_ready();
	wait_ended(BACKEND_CAUSE_EXITED, 3);
}
END_TEST

START_TEST(sigterm_through_the_pidfd)
{
	policy.command = sleep_command;
	start();
	wait_ready();
	process_signal(&process, SIGTERM);
	wait_ended(BACKEND_CAUSE_KILLED, SIGTERM);
	process_signal(&process, SIGKILL); /* nobody is watched: nothing happens */
}
END_TEST

START_TEST(dead_before_ready_is_only_dead)
{
	siginfo_t si;

	policy.command = shell("exit 0");
	start();
	ck_assert_int_eq(waitid(P_PID, (id_t)receipt, &si, WEXITED | WNOWAIT), 0);
	ck_assert(!process_alive(&process));
	wait_ended(BACKEND_CAUSE_EXITED, 0);
	ck_assert_uint_eq(ready, 0);
}
END_TEST

START_TEST(ignored_sigchld_loses_no_status)
{
	signal(SIGCHLD, SIG_IGN);
	policy.command = shell("exit 4");
	start();
	while (ended == 0)
		run(5000);
	ck_assert_int_eq(process.cause, BACKEND_CAUSE_EXITED);
	ck_assert_int_eq(process.detail, 4);
}
END_TEST

START_TEST(started_again_inside_the_news)
{
	policy.command = shell("exit 5");
	restarts = 20;
	start();
	while (ended < 21) {
		unsigned before = ended + ready;

		run(5000);
		ck_assert_uint_ne(ended + ready, before);
	}
	ck_assert_int_eq(process.pidfd, -1);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
}
END_TEST

START_TEST(a_second_start_is_refused)
{
	int32_t other = 0;

	policy.command = sleep_command;
	start();
	ck_assert(!process_start(&process, &other, &start_time, &error));
	ck_assert_ptr_nonnull(strstr(error.text, "runs already"));
	ck_assert_int_eq(other, 0);
	ck_assert(process_alive(&process));
}
END_TEST

START_TEST(released_goes_on)
{
	policy.command = sleep_command;
	start();
	process_release(&process);
	ck_assert_int_eq(kill(receipt, 0), 0);
	ck_assert_int_eq(waitpid(receipt, NULL, WNOHANG), 0);
	ck_assert_int_eq(kill(receipt, SIGKILL), 0);
}
END_TEST

START_TEST(cycles_leak_nothing)
{
	unsigned before = 0;

	policy.command = sleep_command;
	policy.ready = POLICY_READY_PIDFILE; /* watch and timer are there all the time */
	policy.pidfile = pid_path;
	for (int i = 0; i < 200; i++) {
		start();
		process_signal(&process, SIGKILL);
		wait_ended(BACKEND_CAUSE_KILLED, SIGKILL);
		if (i == 0)
			before = open_descriptors(); /* the loop keeps what watches folders */
	}
	for (int i = 0; i < 20; i++) {
		policy.command = (char *[]){ "/no/such/file", NULL };
		start_fails("/no/such/file");
	}
	ck_assert_uint_eq(open_descriptors(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_uint_eq(ready, 0);
}
END_TEST

/* ---- What the child gets ---- */

static void read_child(const char *name, char *out, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", receipt, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	n = read(fd, out, size - 1);
	ck_assert_int_ge(n, 0);
	out[n] = '\0';
	close(fd);
}

/* In the end: while it starts, the program opens files of its own. */
static void child_link_is(int fd, const char *want)
{
	char path[64], link[256];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", receipt, fd);
	for (int i = 0; i < 200; i++) {
		ssize_t n = readlink(path, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = '\0';
		if (strcmp(link, want) == 0)
			return;
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	ck_abort_msg("descriptor %d is '%s', not '%s'", fd, link, want);
}

START_TEST(the_child_is_clean)
{
	char text[4096], err[256] = "";
	unsigned long long mask;
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* Descriptors without FD_CLOEXEC, low and high. */
	ck_assert_int_ge(fcntl(0, F_DUPFD, 3), 3);
	ck_assert_int_ge(fcntl(0, F_DUPFD, 200), 200);

	policy.command = sleep_command;
	start();
	ck_assert(sigismember(&set, SIGUSR1));
	(void)!readlink("/proc/self/fd/2", err, sizeof(err) - 1);
	child_link_is(0, "/dev/null");
	child_link_is(1, err);
	child_link_is(2, err);
	for (int fd = 3; fd < 300; fd++)
		child_link_is(fd, "");
	ck_assert_int_eq(getsid(receipt), receipt);

	read_child("status", text, sizeof(text));
	ck_assert_int_eq(sscanf(strstr(text, "SigBlk:"), "SigBlk: %llx", &mask), 1);
	ck_assert_uint_eq(mask, 0);
	ck_assert_int_eq(sscanf(strstr(text, "SigIgn:"), "SigIgn: %llx", &mask), 1);
	ck_assert_uint_eq(mask, 0);

	/* And we are as we were. */
	sigprocmask(SIG_BLOCK, NULL, &set);
	ck_assert(sigismember(&set, SIGUSR1));
	ck_assert(!sigismember(&set, SIGTERM));
	ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
}
END_TEST

START_TEST(closed_standard_descriptors_are_filled)
{
	int err = dup(2);

	policy.command = sleep_command;
	close(0);
	close(1);
	close(2);
	start();
	dup2(err, 2);
	child_link_is(0, "/dev/null");
	child_link_is(1, "/dev/null");
	child_link_is(2, "/dev/null");
	child_link_is(3, "");
}
END_TEST

START_TEST(exec_failures_are_errors)
{
	char file[128];
	int fd;

	setenv("PATH", "/usr/bin:/bin", 1);
	policy.command = (char *[]){ "no-such-program-of-qmend", NULL };
	start_fails("cannot execute no-such-program-of-qmend (searched in PATH): No such file");
	policy.command = (char *[]){ "/no/such/file", NULL };
	start_fails("cannot execute /no/such/file: No such file or directory");
	ck_assert_int_eq(receipt, 0);
	policy.command = (char *[]){ "/etc/passwd", NULL };
	start_fails("cannot execute /etc/passwd: Permission denied");
	ck_assert_int_eq(receipt, 0);
	policy.command = (char *[]){ "", NULL };
	start_fails("No such file");

	snprintf(file, sizeof(file), "%s/broken", folder);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	ck_assert_int_eq(write(fd, "no format", 9), 9);
	close(fd);
	policy.command = (char *[]){ file, NULL };
	start_fails("Exec format error");
	unlink(file);
	policy.command = NULL;
	start_fails("no command");
	ck_assert_uint_eq(ready + ended, 0);
}
END_TEST

START_TEST(path_is_searched_as_execvp_does)
{
	char path[256], file[128];
	int fd;

	/* A file that cannot be executed and a folder of that name are passed over. */
	snprintf(file, sizeof(file), "%s/sleep", folder);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	close(fd);
	snprintf(path, sizeof(path), "/no/such:%s:/usr/bin:/bin", folder);
	setenv("PATH", path, 1);
	policy.command = sleep_command;
	start();
	wait_ready();
	process_signal(&process, SIGKILL);
	wait_ended(BACKEND_CAUSE_KILLED, SIGKILL);

	setenv("PATH", folder, 1);
	start_fails("sleep (searched in PATH): Permission denied");
	unlink(file);
	setenv("PATH", "/no/such", 1);
	start_fails("sleep (searched in PATH): No such file");
	unsetenv("PATH");
	start();
}
END_TEST

/* ---- Handover ---- */

START_TEST(a_connection_is_handed_over)
{
	int server = serve(1), peer;
	char text[64] = "", link[256];

	policy.handover = true;
	policy.socket = sock_path;
	policy.command = shell("echo hello >&3; read code <&3; exit $code");
	start();
	peer = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(peer, 0);
	ck_assert_int_eq(read(peer, text, sizeof(text)), 6);
	ck_assert_str_eq(text, "hello\n");
	/* Blocking, as it would be if the backend had accepted it. */
	read_child("fdinfo/3", text, sizeof(text));
	ck_assert_ptr_nonnull(strstr(text, "flags:\t02\n"));
	child_link_is(4, "");
	snprintf(link, sizeof(link), "/proc/%d/fd/3", receipt);
	ck_assert_int_eq(access(link, F_OK), 0);
	wait_ready();
	ck_assert_int_eq(write(peer, "7\n", 2), 2);
	wait_ended(BACKEND_CAUSE_EXITED, 7);
	/* Nobody else holds the connection: its end is seen. */
	ck_assert_int_eq(read(peer, text, sizeof(text)), 0);
	close(peer);
	close(server);
}
END_TEST

START_TEST(handover_needs_a_server)
{
	char longer[200];
	int server;
	pid_t pid;

	policy.handover = true;
	policy.socket = sock_path;
	policy.command = sleep_command;
	start_fails("does not exist");
	ck_assert_ptr_nonnull(strstr(error.text, sock_path));
	server = serve(-1);
	start_fails("nobody listens on");
	close(server);
	unlink(sock_path);

	server = serve(0);
	pid = 0;
	for (int i = 0; i < 3 && pid == 0; i++) {
		if (process_start(&process, &receipt, &start_time, &error)) {
			process_signal(&process, SIGKILL);
			ended = 0;
			while (ended == 0)
				run(5000);
		} else {
			pid = -1;
		}
	}
	ck_assert_ptr_nonnull(strstr(error.text, "too many connections wait on"));
	close(server);

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	policy.socket = longer;
	start_fails("a socket path has at most");
}
END_TEST

/* ---- A worker that dies at any instant ---- */

struct shared {
	int32_t receipt, noted;
	uint32_t starts;
};

static void start_until_killed(struct shared *m)
{
	for (;;) {
		int pidfd;

		if (!spawn_exec(sleep_command, -1, &m->receipt, &pidfd, &error))
			_exit(1);
		m->noted = m->receipt;
		m->receipt = 0;
		m->starts++;
		close(pidfd);
		kill(m->noted, SIGKILL);
		waitpid(m->noted, NULL, 0);
		m->noted = 0;
	}
}

static void kill_worker_and_its_backends(struct shared *m, pid_t worker)
{
	kill(worker, SIGKILL);
	ck_assert_int_eq(waitpid(worker, NULL, 0), worker);
	if (m->receipt > 0)
		kill(m->receipt, SIGKILL);
	if (m->noted > 0)
		kill(m->noted, SIGKILL);
	/* A backend that nobody knows would go on for 30 s. */
	for (int i = 0; i < 500; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0)
			nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	ck_abort_msg("a backend runs that nobody knows: receipt %d, noted %d", m->receipt,
		     m->noted);
}

START_TEST(every_backend_of_a_dead_worker_is_known)
{
	struct shared *m =
		mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned caught = 0;

	ck_assert(m != MAP_FAILED);
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (unsigned i = 0; i < 300; i++) {
		long delay = 1000000 + (long)(i * 7919 % 2000) * 1000; /* ns */
		pid_t worker;

		m->receipt = m->noted = 0;
		worker = fork();
		ck_assert_int_ge(worker, 0);
		if (worker == 0)
			start_until_killed(m);
		nanosleep(&(struct timespec){ 0, delay }, NULL);
		kill_worker_and_its_backends(m, worker);
		caught += m->receipt > 0;
	}
	ck_assert_uint_gt(m->starts, 0);
	ck_assert_uint_gt(caught, 0);
	printf("# %u of 300 workers died between clone and note, after %u starts\n", caught,
	       m->starts);
	munmap(m, sizeof(*m));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("process");
	TCase *c = tcase_create("process");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, started_is_ready_at_once);
	tcase_add_test(c, a_kill_is_noticed_soon);
	tcase_add_test(c, exit_status_is_told);
	tcase_add_test(c, sigterm_through_the_pidfd);
	tcase_add_test(c, dead_before_ready_is_only_dead);
	tcase_add_test(c, ignored_sigchld_loses_no_status);
	tcase_add_test(c, started_again_inside_the_news);
	tcase_add_test(c, a_second_start_is_refused);
	tcase_add_test(c, released_goes_on);
	tcase_add_test(c, cycles_leak_nothing);
	tcase_add_test(c, the_child_is_clean);
	tcase_add_test(c, closed_standard_descriptors_are_filled);
	tcase_add_test(c, exec_failures_are_errors);
	tcase_add_test(c, path_is_searched_as_execvp_does);
	tcase_add_test(c, a_connection_is_handed_over);
	tcase_add_test(c, handover_needs_a_server);
	tcase_add_test(c, every_backend_of_a_dead_worker_is_known);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
