/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Execute a backend: a vfork-like clone(), called by process.c alone.
 *
 * Theory of operation. fork() of a grown process copies its page tables and leaves a window in
 * which a child runs that nobody knows. Here the child shares our memory (CLONE_VM) on a stack of
 * its own, we sleep until it has executed or exited (CLONE_VFORK), and the kernel writes its pid
 * to the receipt before it runs (CLONE_PARENT_SETTID), into memory that outlives us. Until exec
 * the child must not allocate, lock or run a handler: all signals are blocked around it, what is
 * looked up is looked up before, and it tells its errno through shared memory. The pidfd is opened
 * afterwards (clone() cannot give both): a child that nobody waited for keeps its pid.
 */
#define _GNU_SOURCE 1 /* clone(), close_range() */
#include "mend/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/policy.h"

enum { STACK_BYTES = 64 * 1024, EXIT_NOT_EXECUTED = 127 };

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* What the child is told, and what it tells: shared memory. */
struct plan {
	const char *file;
	char *const *argv;
	int null; /* /dev/null, above all numbers that the child fills */
	int fd;	  /* -1: none; else above them too */
	volatile int error;
};

/* The child shares our memory but not our stack: sanitizers must not look at its frames. */
#define IN_CHILD __attribute__((no_sanitize("address", "undefined"), noinline))

IN_CHILD static void default_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	/* Handlers first: none may run in memory that is not ours. Fails for SIGKILL, SIGSTOP and
	 * libc's own two, which nobody has changed. */
	for (int i = 1; i < _NSIG; i++)
		(void)sigaction(i, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

IN_CHILD static bool arrange_descriptors(const struct plan *p)
{
	if (dup2(p->null, STDIN_FILENO) < 0)
		return false;
	/* We may have been started without a stderr. */
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 &&
	    (dup2(p->null, STDOUT_FILENO) < 0 || dup2(p->null, STDERR_FILENO) < 0))
		return false;
	if (p->fd >= 0 && dup2(p->fd, POLICY_BACKEND_FD) < 0)
		return false;
	return close_range(p->fd >= 0 ? POLICY_BACKEND_FD + 1 : POLICY_BACKEND_FD, ~0u, 0) == 0;
}

IN_CHILD static int child_main(void *arg)
{
	struct plan *p = arg;

	setsid();
	if (arrange_descriptors(p)) {
		default_signals();
		execve(p->file, p->argv, environ);
	}
	p->error = errno;
	_exit(EXIT_NOT_EXECUTED);
}

static bool is_executable(const char *path)
{
	struct stat st;

	if (access(path, X_OK) != 0 || stat(path, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = EACCES;
		return false;
	}
	return true;
}

/* As execvp(3) searches, but before the clone. errno when there is none. */
static bool find_in_path(const char *name, char *out, size_t size)
{
	const char *dir = getenv("PATH");
	int why = ENOENT;

	if (name[0] == '\0') {
		errno = ENOENT;
		return false;
	}
	for (dir = dir == NULL ? default_path : dir; dir != NULL;) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(out, size, "%.*s%s%s", (int)len, dir, len == 0 ? "" : "/", name);

		if (n > 0 && (size_t)n < size && is_executable(out))
			return true;
		if (errno == EACCES)
			why = EACCES;
		dir = dir[len] == ':' ? dir + len + 1 : NULL;
	}
	errno = why;
	return false;
}

/* A copy of @fd above the numbers that the child fills; @fd itself stays open. */
static int above_standard(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, POLICY_BACKEND_FD + 1);
}

static int open_null(void)
{
	int low = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd = low < 0 ? -1 : above_standard(low);

	if (low >= 0)
		close(low);
	return fd;
}

/* A process whose SIGCHLD is ignored never sees how its children ended. */
static void keep_children(void)
{
	struct sigaction sa;

	if (sigaction(SIGCHLD, NULL, &sa) != 0)
		return;
	if (sa.sa_handler != SIG_IGN && (sa.sa_flags & SA_NOCLDWAIT) == 0)
		return;
	sa = (struct sigaction){ .sa_handler = SIG_DFL };
	(void)sigaction(SIGCHLD, &sa, NULL);
}

static void reap(int32_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* True when the child has executed; otherwise errno, and there is no child. */
static bool run_child(struct plan *p, int32_t *receipt)
{
	static _Alignas(16) unsigned char stack[STACK_BYTES];
	sigset_t all, before;
	int pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid = clone(child_main, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID | SIGCHLD, p, receipt);
	if (pid < 0) {
		p->error = errno;
		*receipt = 0;
	} else if (p->error != 0) {
		reap(pid);
		*receipt = 0;
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = p->error;
	return p->error == 0;
}

static bool take_pidfd(int32_t *receipt, int *pidfd, struct qmp_error *e)
{
	*pidfd = pidfd_open(*receipt, 0);
	if (*pidfd >= 0)
		return true;
	/* A child that cannot be watched must not run. */
	qmp_error_sys(e, "cannot watch pid %d: pidfd_open", *receipt);
	kill(*receipt, SIGKILL);
	reap(*receipt);
	*receipt = 0;
	return false;
}

bool spawn_exec(char *const *command, int fd, int32_t *receipt, int *pidfd, struct qmp_error *e)
{
	struct plan p = { .argv = command, .file = command[0], .null = -1, .fd = -1 };
	char path[PATH_MAX];
	bool ok;
	int why;

	*pidfd = -1;
	if (strchr(command[0], '/') == NULL) {
		if (!find_in_path(command[0], path, sizeof(path)))
			return qmp_error_sys(e, "cannot execute %s (searched in PATH)", command[0]);
		p.file = path;
	}
	keep_children();
	p.null = open_null();
	if (fd >= 0)
		p.fd = above_standard(fd);
	ok = p.null >= 0 && (fd < 0 || p.fd >= 0) && run_child(&p, receipt);
	why = errno;
	if (p.null >= 0)
		close(p.null);
	if (p.fd >= 0)
		close(p.fd);
	errno = why;
	if (!ok)
		return qmp_error_sys(e, "cannot execute %s", p.file);
	return take_pidfd(receipt, pidfd, e);
}
