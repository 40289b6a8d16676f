/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A loop, a backend and a folder for the tests of mend/process.h. */
#define _GNU_SOURCE 1 /* CLOCK_BOOTTIME */
#include "process_fixture.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mend/spawn.h"

struct loop *loop;
struct policy_backend policy;
struct process process;
int32_t receipt;
uint64_t start_time;
struct qmp_error error;
char folder[64], sock_path[96], pid_path[96];
unsigned ready, ended, restarts;
uint64_t news_at;
char *sleep_command[] = { "sleep", "30", NULL };

static struct loop_drain timer;
static bool in_loop;
static uint64_t until;

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void on_news(struct process *p, enum process_news what, void *owner)
{
	ck_assert_ptr_eq(owner, &policy);
	ck_assert_msg(in_loop, "news came from outside the loop");
	news_at = now();
	if (what == PROCESS_READY)
		ready++;
	else
		ended++;
	if (what == PROCESS_ENDED && restarts > 0) {
		restarts--;
		ck_assert(process_start(p, &receipt, &start_time, &error));
		return;
	}
	loop_stop(loop);
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

void run(unsigned ms)
{
	until = now() + ms * MS;
	in_loop = true;
	loop_run(loop);
	in_loop = false;
	until = UINT64_MAX;
}

void set_up(void)
{
	strcpy(folder, "/tmp/qmend-process-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	/* passt drops its rights before it makes its files. */
	ck_assert_int_eq(chmod(folder, 01777), 0);
	snprintf(sock_path, sizeof(sock_path), "%s/s", folder);
	snprintf(pid_path, sizeof(pid_path), "%s/pid", folder);
	policy = (struct policy_backend){ .name = "net0", .ready_deadline = 10 * SECOND };
	setenv("PIDFILE", pid_path, 1);
	loop = loop_new();
	timer = (struct loop_drain){ .work = time_is_up, .deadline = time_limit };
	until = UINT64_MAX;
	loop_add_drain(loop, &timer);
	process_init(&process, loop, &policy, on_news, &policy);
	ready = ended = restarts = 0;
	receipt = 0;
}

void tear_down(void)
{
	process_signal(&process, SIGKILL);
	process_release(&process);
	loop_free(loop);
	while (waitpid(-1, NULL, 0) > 0)
		;
	unlink(sock_path);
	unlink(pid_path);
	rmdir(folder);
}

void start(void)
{
	ck_assert_msg(process_start(&process, &receipt, &start_time, &error), "%s", error.text);
	ck_assert_int_gt(receipt, 0);
	ck_assert_int_eq(receipt, process.pid);
	ck_assert_uint_ne(start_time, 0);
	ck_assert_uint_eq(start_time, process_start_time(receipt));
}

void start_fails(const char *text)
{
	receipt = -1;
	error.text[0] = '\0';
	ck_assert(!process_start(&process, &receipt, &start_time, &error));
	ck_assert_msg(strstr(error.text, text) != NULL, "'%s' is not in '%s'", text, error.text);
	ck_assert_int_eq(process.pidfd, -1);
	ck_assert(!process_alive(&process));
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}

void wait_ready(void)
{
	run(5000);
	ck_assert_uint_eq(ready, 1);
	ck_assert_uint_eq(ended, 0);
	ck_assert_int_eq(process.timer, -1);
	ck_assert(!folder_watch_active(&process.file));
}

void wait_ended(enum backend_cause cause, int detail)
{
	run(5000);
	ck_assert_uint_eq(ended, 1);
	ck_assert_int_eq(process.cause, cause);
	ck_assert_int_eq(process.detail, detail);
	ck_assert_int_eq(process.pidfd, -1);
	ended = 0;
}

unsigned open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

int serve(int backlog)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	strcpy(a.sun_path, sock_path);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	if (backlog >= 0)
		ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

char **shell(const char *script)
{
	static char text[1024];
	static char *command[] = { "sh", "-c", text, NULL };

	ck_assert_uint_lt(strlen(script), sizeof(text));
	strcpy(text, script);
	return command;
}

char **listener(const char *gap)
{
	static char script[512];
	static char *command[] = { "/usr/bin/python3", "-S", "-c", script, NULL };

	snprintf(script, sizeof(script),
		 "import socket,time\ns=socket.socket(socket.AF_UNIX)\ns.bind('%s')\n"
		 "time.sleep(%s)\ns.listen(0)\ns.settimeout(30)\ns.accept()\n",
		 sock_path, gap);
	return command;
}

int32_t stranger(char *const *command, int fd)
{
	int32_t pid;
	int pidfd;

	ck_assert_msg(spawn_exec(command, fd, &pid, &pidfd, &error), "%s", error.text);
	close(pidfd);
	return pid;
}

void wait_for_listener(void)
{
	char line[256];

	for (int i = 0; i < 500; i++) {
		FILE *f = fopen("/proc/net/unix", "re");
		bool found = false;

		ck_assert_ptr_nonnull(f);
		while (fgets(line, sizeof(line), f) != NULL)
			if (strstr(line, sock_path) != NULL && strstr(line, " 00010000 ") != NULL)
				found = true;
		fclose(f);
		if (found)
			return;
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	ck_abort_msg("no socket after 5 s");
}
