/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process of a backend: start or find it, see it ready, see it end. Recovery calls this and
 * decides; nothing is decided or counted here.
 *
 * Theory of operation. A process is watched while p->pidfd is open; a pidfd names one process for
 * ever, so that a signal never meets a stranger that got its number. Opening one by number is
 * guarded by the start time before and after. A pidfd becomes readable when the process is dead,
 * ours or not; waitid() then says how, if it was a child.
 * Until it is ready there are a timerfd and a watch of the socket or pid file as well: the watch
 * says that the file has appeared, but nothing tells that listen() was called on it, so the timer
 * looks again at growing intervals. All news comes out of the loop, after everything that belongs
 * to it was closed: the owner may start the next process inside the callback.
 */
#define _GNU_SOURCE 1 /* P_PIDFD */
#include "mend/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/sock.h"
#include "mend/peer.h"
#include "mend/ready.h"
#include "mend/spawn.h"

static const uint64_t NS_PER_SECOND = 1000000000;
static const uint64_t FIRST_INTERVAL = 1000000; /* ns */
static const uint64_t LAST_INTERVAL = 50000000;
/* A socket file has appeared: listen() follows at once. */
static const uint64_t SHORT_INTERVAL = 200000;

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- Descriptors ---- */

static void close_watched(struct process *p, struct loop_io *io, int *fd)
{
	if (*fd < 0)
		return;
	loop_io_stop(p->loop, io);
	close(*fd);
	*fd = -1;
}

static void stop_waiting(struct process *p)
{
	folder_watch_stop(p->loop, &p->file);
	close_watched(p, &p->timer_io, &p->timer);
}

static void unwatch(struct process *p)
{
	stop_waiting(p);
	close_watched(p, &p->pid_io, &p->pidfd);
}

static void set_timer(struct process *p, uint64_t ns)
{
	struct itimerspec t = { .it_value = { .tv_nsec = (long)ns } };

	(void)timerfd_settime(p->timer, 0, &t, NULL);
}

/* ---- Readiness ---- */

static bool is_ready(const struct process *p)
{
	return loop_now(p->loop) >= p->counts_from || ready_check(p->policy, p->pid);
}

/* Called from the loop only. A dead process is never ready: PROCESS_ENDED comes in its stead. */
static void look(struct process *p)
{
	if (!process_alive(p))
		return;
	if (is_ready(p)) {
		stop_waiting(p);
		p->news(p, PROCESS_READY, p->owner);
		return;
	}
	set_timer(p, p->interval);
	p->interval += p->interval / 2;
	if (p->interval > LAST_INTERVAL)
		p->interval = LAST_INTERVAL;
}

static void on_timer(void *owner, int events)
{
	struct process *p = owner;
	uint64_t times;

	(void)events;
	if (read(p->timer, &times, sizeof(times)) == (ssize_t)sizeof(times))
		look(p);
}

static void on_file_changed(void *owner)
{
	struct process *p = owner;

	/* Its folder may have been made anew. */
	if (!folder_watch_active(&p->file))
		(void)folder_watch_start(p->loop, &p->file, ready_file(p->policy));
	p->interval = SHORT_INTERVAL;
	look(p);
}

/* Before the process starts, so that nothing is missed; the first look is made when the loop runs
 * after start_looking(). */
static bool prepare_waiting(struct process *p)
{
	const char *file = ready_file(p->policy);

	p->interval = FIRST_INTERVAL;
	p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->timer < 0)
		return false;
	loop_io_set(p->loop, &p->timer_io, p->timer, LOOP_READ);
	/* Without the watch the timer alone has to do. */
	if (file != NULL)
		(void)folder_watch_start(p->loop, &p->file, file);
	return true;
}

static void start_looking(struct process *p, uint64_t counts_from)
{
	p->counts_from = counts_from;
	set_timer(p, 1);
}

/* ---- Life and death ---- */

static void watch(struct process *p, int pidfd, int32_t pid, bool child)
{
	p->pidfd = pidfd;
	p->pid = pid;
	p->child = child;
	p->cause = BACKEND_CAUSE_NONE;
	p->detail = 0;
	loop_io_set(p->loop, &p->pid_io, pidfd, LOOP_READ);
}

/* How it ended; false: it has not. */
static bool collect(struct process *p)
{
	siginfo_t si = { .si_pid = 0 };

	if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) != 0) {
		/* No child of this process: nobody tells us how. */
		p->cause = BACKEND_CAUSE_UNKNOWN;
		return true;
	}
	if (si.si_pid == 0)
		return false;
	p->cause = si.si_code == CLD_EXITED ? BACKEND_CAUSE_EXITED : BACKEND_CAUSE_KILLED;
	p->detail = si.si_status;
	return true;
}

static void on_pidfd(void *owner, int events)
{
	struct process *p = owner;

	(void)events;
	if (!collect(p))
		return;
	unwatch(p);
	p->news(p, PROCESS_ENDED, p->owner);
}

void process_init(struct process *p, struct loop *l, const struct policy_backend *policy,
		  void (*news)(struct process *p, enum process_news what, void *owner), void *owner)
{
	*p = (struct process){
		.loop = l,
		.policy = policy,
		.news = news,
		.owner = owner,
		.pidfd = -1,
		.timer = -1,
	};
	loop_io_init(&p->pid_io, on_pidfd, p);
	folder_watch_init(&p->file, on_file_changed, p);
	loop_io_init(&p->timer_io, on_timer, p);
}

void process_release(struct process *p)
{
	unwatch(p);
}

bool process_alive(const struct process *p)
{
	struct pollfd f = { p->pidfd, POLLIN, 0 };

	return p->pidfd >= 0 && poll(&f, 1, 0) == 0;
}

void process_signal(struct process *p, int signal)
{
	if (p->pidfd >= 0)
		(void)pidfd_send_signal(p->pidfd, signal, NULL, 0);
}

uint64_t process_start_time(int32_t pid)
{
	char path[64], text[1024];
	unsigned long long ticks;
	const char *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The name, field 2, may hold anything; field 3 is behind its last bracket. */
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at != NULL && sscanf(at, "%llu", &ticks) == 1 ? ticks : 0;
}

/* ---- Start ---- */

static bool connect_error(const char *path, struct qmp_error *e)
{
	switch (errno) {
	case ENOENT:
		return qmp_error_set(
			e, "%s does not exist: is QEMU running, with server=on for it?", path);
	case ECONNREFUSED:
		return qmp_error_set(e, "nobody listens on %s: is QEMU running?", path);
	case EAGAIN:
		return qmp_error_set(e,
				     "too many connections wait on %s: does QEMU answer, and is "
				     "nobody else connected?",
				     path);
	case EACCES:
		return qmp_error_set(e,
				     "no permission to connect to %s: qmend's user must be "
				     "able to write to it",
				     path);
	case ENAMETOOLONG:
		return false; /* sock_connect() has said it */
	default:
		return qmp_error_sys(e, "cannot connect to %s", path);
	}
}

/* A connected, blocking socket; -1 with @e. */
static int connect_socket(const char *path, struct qmp_error *e)
{
	int fd = sock_connect(path, e);

	if (fd < 0) {
		connect_error(path, e);
		return -1;
	}
	/* The backend expects a socket as accept() gives it. */
	(void)fcntl(fd, F_SETFL, 0);
	return fd;
}

static bool execute(struct process *p, int32_t *receipt, struct qmp_error *e)
{
	const struct policy_backend *b = p->policy;
	int fd = -1, pidfd;
	bool ok;

	if (b->handover) {
		fd = connect_socket(b->socket, e);
		if (fd < 0)
			return false;
	}
	if (b->pidfile != NULL)
		(void)unlink(b->pidfile);
	ok = spawn_exec(b->command, fd, receipt, &pidfd, e);
	if (fd >= 0)
		close(fd);
	if (ok)
		watch(p, pidfd, *receipt, true);
	return ok;
}

bool process_start(struct process *p, int32_t *receipt, uint64_t *start_time, struct qmp_error *e)
{
	const char *name = p->policy->name;

	if (p->pidfd >= 0)
		return qmp_error_set(e, "backend %s: runs already, pid %d", name, p->pid);
	if (p->policy->command == NULL)
		return qmp_error_set(e, "backend %s: the policy has no command to start it", name);
	if (!prepare_waiting(p))
		return qmp_error_sys(e, "backend %s: timerfd", name);
	if (!execute(p, receipt, e)) {
		stop_waiting(p);
		return qmp_error_prefix(e, "backend %s: ", name);
	}
	*start_time = process_start_time(p->pid);
	start_looking(p, UINT64_MAX);
	return true;
}

/* ---- Processes that run already ---- */

/* When a process that began at @start_time (ticks) has had its time to become ready. */
static uint64_t had_its_time(const struct process *p, uint64_t start_time)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	return add_saturating(start_time * (NS_PER_SECOND / hz), p->policy->ready_deadline);
}

/* Watch @pid if it is, and stays, the process that began at @start_time. */
static bool adopt(struct process *p, int32_t pid, uint64_t start_time, bool child)
{
	int pidfd;

	if (pid <= 0 || start_time == 0)
		return false;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return false;
	if (process_start_time(pid) != start_time || !prepare_waiting(p)) {
		close(pidfd);
		return false;
	}
	watch(p, pidfd, pid, child);
	return true;
}

static int32_t find_pid(const struct policy_backend *b)
{
	const char *command = b->command == NULL ? NULL : b->command[0];
	int32_t pid = 0;

	if (b->socket != NULL && b->handover)
		pid = peer_find_connected(b->socket, command);
	else if (b->socket != NULL)
		pid = peer_find_listener(b->socket, command);
	if (pid == 0 && b->pidfile != NULL) {
		pid = ready_read_pidfile(b->pidfile);
		/* The file may be written by the backend's user, who must not name a stranger. */
		if (pid != 0 && (!peer_is_program(pid, command) ||
				 !(peer_has_argument(pid, b->pidfile) ||
				   (b->socket != NULL && peer_has_argument(pid, b->socket)))))
			pid = 0;
	}
	return pid;
}

bool process_find(struct process *p, uint64_t *start_time)
{
	int32_t pid;
	uint64_t began;

	unwatch(p);
	pid = find_pid(p->policy);
	if (pid == 0)
		return false;
	/* The number may have gone to another process since: look twice with the same start time
	 * around it. */
	began = process_start_time(pid);
	if (find_pid(p->policy) != pid || !adopt(p, pid, began, false))
		return false;
	*start_time = began;
	start_looking(p, had_its_time(p, began));
	return true;
}

bool process_resume(struct process *p, int32_t pid, uint64_t start_time, bool child)
{
	unwatch(p);
	if (!adopt(p, pid, start_time, child))
		return false;
	/* A second more: a start that was not ready in its time is judged before. */
	start_looking(p, add_saturating(had_its_time(p, start_time), NS_PER_SECOND));
	return true;
}
