/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_H
#define POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "qmp/buffer.h"

/*
 * One VM's policy as it will run: recipes expanded, parameters put in, durations in ns, sizes in
 * bytes. Made by policy_load(), never changed afterwards, owned by the VM. Strings are terminated.
 * Keys and grammar: qmend-policy(5) and policies/policy.schema.json.
 */

enum policy_access { POLICY_FULL, POLICY_READ_ONLY };

struct policy_listen {
	char *path;
	mode_t mode; /* of the socket file */
	uid_t uid;   /* (uid_t)-1: as it comes */
	gid_t gid;
	enum policy_access access;
};

struct policy_limits {
	uint32_t clients; /* connected at once, default 64 */
	uint64_t queue;	  /* bytes waiting for one client before it is closed, default 32 MiB */
	uint64_t memory;  /* bytes in all queues of this VM, default 256 MiB */
};

enum policy_trigger_kind { POLICY_ON_EVENT, POLICY_ON_BACKEND_EXITED };

/* Member @key of an event's data must be equal to @value (JSON as QEMU prints it). */
struct policy_match {
	char *key;
	char *value;
};

struct policy_event {
	char *name;
	struct policy_match *match;
	size_t match_count;
};

struct policy_trigger {
	enum policy_trigger_kind kind;
	struct policy_event event; /* POLICY_ON_EVENT */
};

enum policy_verdict { POLICY_PASS, POLICY_HOLD, POLICY_DROP };
enum policy_step_kind { POLICY_STEP_START, POLICY_STEP_AWAIT };

struct policy_step {
	enum policy_step_kind kind;
	struct policy_event event; /* POLICY_STEP_AWAIT */
	uint64_t deadline;	   /* ns from the beginning of the step */
};

enum { POLICY_MAX_STEPS = 32, POLICY_MAX_FAULTS = 64 /* of a budget */ };

struct policy_rule {
	char *name;
	struct policy_trigger *triggers;
	size_t trigger_count;
	enum policy_verdict verdict;
	struct policy_step *steps; /* at most POLICY_MAX_STEPS */
	size_t step_count;
};

enum policy_ready {
	POLICY_READY_STARTED, /* it was executed: nothing better is known */
	POLICY_READY_LISTENS, /* somebody listens on @socket */
	POLICY_READY_PIDFILE, /* it has written its pid file: passt does so last */
};

enum { POLICY_BACKEND_FD = 3 }; /* what ${fd} becomes in the command */

struct policy_backend {
	char *name;
	char *recipe;
	char **command; /* NULL-terminated; NULL: somebody else starts it, qmend only watches */
	char *socket;	/* NULL when it has none */
	char *pidfile;	/* NULL when it has none */
	bool handover;	/* ${fd} stands in the command: qmend connects to @socket, the backend
			 * inherits the connection as POLICY_BACKEND_FD */
	enum policy_ready ready;
	uint64_t ready_deadline; /* ns from start to ready, default 10 s */
	uint64_t backoff_first;	 /* ns before the second try (the first is made at once), 100 ms */
	uint64_t backoff_max;	 /* ns; each wait is twice the one before, +-25 % jitter, 10 s */
	uint32_t budget_faults;	 /* so many faults ... (10) */
	uint64_t budget_period;	 /* ... within so many ns (60 s): given up */
	struct policy_rule *rules;
	size_t rule_count;
	/* Commands of clients after whose success this backend is not wanted any more, or again;
	 * the "event" is the command, "data" its arguments. */
	struct policy_event *ends;
	size_t end_count;
	struct policy_event *begins;
	size_t begin_count;
};

struct policy {
	char *path;
	char *vm;
	char *qemu; /* path of QEMU's monitor socket */
	struct policy_listen *listen;
	size_t listen_count;
	struct policy_backend *backends;
	size_t backend_count;
	struct policy_limits limits;
	bool keep_fd_names; /* getfd names outlive the client that made them */
	bool coalesce;	    /* identical read-only queries in flight are asked once */
};

/*
 * Read and check a policy file. On failure *@out is NULL and @errors holds one line per error,
 * "PATH:LINE:COLUMN: what is wrong, what was expected", every error that there is, not the first
 * alone. @recipe_dirs: NULL-terminated list of folders searched for NAME.json, first match wins.
 */
bool policy_load(const char *path, const char *const *recipe_dirs, struct policy **out,
		 struct qmp_buffer *errors) __attribute__((warn_unused_result));
void policy_free(struct policy *p);

/* The policy as it will run, as a policy file, for qmend check. */
void policy_print(const struct policy *p, struct qmp_buffer *out);

#endif
