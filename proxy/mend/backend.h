/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_BACKEND_H
#define MEND_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

/*
 * What is known of one backend process. Plain data: it lies in the region and outlives the worker.
 * The functions here are pure (no I/O, no clock): what they decide is carried out by
 * mend/process.h. Times are CLOCK_BOOTTIME in ns, 0: never.
 */
enum backend_state {
	BACKEND_STOPPED,  /* not running, and nobody wants it to */
	BACKEND_STARTING, /* executed, not ready yet */
	BACKEND_READY,
	BACKEND_EXITED,	  /* dead; an incident will start it again */
	BACKEND_GIVEN_UP, /* the budget is spent: until the next QEMU connects */
};

/* Why a backend was lost: the rows of the death tally. */
enum backend_cause {
	BACKEND_CAUSE_NONE,
	BACKEND_CAUSE_EXITED,	   /* detail: exit status */
	BACKEND_CAUSE_KILLED,	   /* detail: signal */
	BACKEND_CAUSE_UNKNOWN,	   /* gone, and it was no child of ours */
	BACKEND_CAUSE_NOT_STARTED, /* could not be executed or connected; detail: errno */
	BACKEND_CAUSE_NOT_READY,   /* alive, but not ready within its deadline */
	BACKEND_CAUSE_NOT_MENDED,  /* ready, but a later step failed */
	BACKEND_CAUSE_COUNT,
};

enum backend_wish { BACKEND_WANTED, BACKEND_UNWANTED, BACKEND_LEAVING /* QEMU has not answered */ };

enum { BACKEND_FAULTS_KEPT = POLICY_MAX_FAULTS };

struct backend {
	int32_t pid;	       /* 0: none */
	int32_t spawn_receipt; /* written by the kernel inside clone(): the pid of a start that
				* nobody lived to note */
	uint64_t start_time;   /* of pid, clock ticks since boot: /proc/PID/stat field 22 */
	uint8_t state;	       /* enum backend_state */
	uint8_t found;	       /* running before qmend came: no child of ours */
	uint8_t cause;	       /* enum backend_cause of the last fault */
	uint8_t attempt;       /* tries since the last success, 0: none failed */
	int32_t detail;	       /* of the last fault */
	uint32_t starts;
	uint32_t tally[BACKEND_CAUSE_COUNT];
	uint64_t started_at, ready_at, lost_at;
	uint64_t retry_at;   /* not before this time */
	uint32_t fault_next; /* ring of the times of the last faults */
	uint32_t unwanted;   /* enum backend_wish: a client has taken its device away */
	uint64_t fault_at[BACKEND_FAULTS_KEPT];
};

/* How a backend was lost. */
struct backend_loss {
	enum backend_cause cause;
	int detail;
};

/* A process that has begun to serve as a backend. */
struct backend_birth {
	int32_t pid;
	uint64_t start_time;
	bool found; /* not started by us */
};

enum backend_decision { BACKEND_RETRY, BACKEND_GIVE_UP };

/*
 * Count a fault and decide: BACKEND_RETRY sets retry_at (now for the first try), BACKEND_GIVE_UP
 * the state. @seed makes the jitter, so that the decision can be made again.
 */
enum backend_decision backend_fault(struct backend *b, const struct policy_backend *p,
				    struct backend_loss loss, uint64_t now, uint32_t seed);

void backend_started(struct backend *b, const struct backend_birth *birth, uint64_t now);
void backend_ready(struct backend *b, uint64_t now);
/* It ended: state EXITED, or STOPPED when that was @wanted. No fault is counted here. */
void backend_ended(struct backend *b, bool wanted, uint64_t now);
/* Given up before, but now it may be tried again as if nothing had been. The tally stays. */
void backend_forgive(struct backend *b);
/* A mend succeeded: the next fault is tried at once again. The budget goes on counting. */
void backend_mended(struct backend *b);

const char *backend_state_name(enum backend_state state);
const char *backend_cause_name(enum backend_cause cause);

#endif
