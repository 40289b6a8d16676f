/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_PROCESS_H
#define MEND_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/folder.h"
#include "io/loop.h"
#include "mend/backend.h"
#include "policy/policy.h"
#include "qmp/error.h"

/*
 * The process of a backend: start, watch, see it ready, end. Mechanism only: it decides nothing
 * and counts nothing. One struct process per backend and worker; what must outlive the worker is
 * in struct backend. Children are watched by pidfd, never by SIGCHLD.
 */
enum process_news {
	PROCESS_READY, /* once, as the policy defines it */
	PROCESS_ENDED, /* once; cause and detail are set */
};

struct process {
	struct loop *loop;
	const struct policy_backend *policy;
	void (*news)(struct process *p, enum process_news what, void *owner);
	void *owner;
	int pidfd;		  /* -1: nothing is watched */
	int timer;		  /* timerfd, only until it is ready; -1: it is */
	struct folder_watch file; /* at which readiness will show, only until it does */
	int32_t pid;
	bool child;		  /* ours to wait for */
	enum backend_cause cause; /* after PROCESS_ENDED */
	int detail;
	uint64_t interval;    /* ns between two looks at its readiness */
	uint64_t counts_from; /* a process that we did not start counts as ready from this time on,
			       * CLOCK_BOOTTIME: its pid file may be gone. UINT64_MAX: never */
	struct loop_io pid_io, timer_io;
};

void process_init(struct process *p, struct loop *l, const struct policy_backend *policy,
		  void (*news)(struct process *p, enum process_news what, void *owner),
		  void *owner);
void process_release(struct process *p); /* stops watching; the process goes on */

/*
 * Start the backend: connect to its socket first if the policy hands a connection over (the
 * socket must be listened on: ECONNREFUSED and ENOENT are errors), then clone() with @receipt as
 * parent_tid, exec with stdin from /dev/null, our stderr, a new session, default signals, no other
 * descriptor of ours. exec failing is an error here, not a child that dies later. A stale pid
 * file is removed first. Never blocks longer than the connect and the exec.
 */
bool process_start(struct process *p, int32_t *receipt, uint64_t *start_time, struct qmp_error *e)
	__attribute__((warn_unused_result));

/*
 * Look for a running backend: the process that listens on the policy's socket, or whose peer on
 * that socket is (handover: the process connected to QEMU's netdev socket), found by sock_diag and
 * /proc, or the one named by the pid file, if it still is the same program as the command's. True
 * and watched when there is one; then PROCESS_READY follows when it already is.
 */
bool process_find(struct process *p, uint64_t *start_time);

/* Watch @pid again after a restart of the worker, if it still is the process that began at
 * @start_time. PROCESS_READY follows here too, whether or not it was told before. */
bool process_resume(struct process *p, int32_t pid, uint64_t start_time, bool child);

/* False from its death on, even before PROCESS_ENDED was told. */
bool process_alive(const struct process *p);
/* SIGTERM or SIGKILL through the pidfd; PROCESS_ENDED follows. */
void process_signal(struct process *p, int signal);

/* Clock ticks since boot at which @pid began, 0 when there is none. */
uint64_t process_start_time(int32_t pid);

#endif
