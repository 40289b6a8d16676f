/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of incidents, one kind each: begin it, see whether it is done, give it up at its
 * deadline. Called by recovery_work() outside of any transaction.
 */
#include <errno.h>
#include <signal.h>

#include "io/log.h"
#include "mend/parts.h"

/* Start the process of step `start`; a failure is a fault. */
static void start_process(struct recovery *rc, struct incident *i)
{
	struct recovery_process *rp = &rc->processes[i->backend];
	struct backend *b = recovery_backend(rc, i->backend);
	uint64_t start_time = 0;
	struct qmp_error e;
	int error;

	rp->ready = false;
	rp->ended = false;
	if (process_start(&rp->process, &b->spawn_receipt, &start_time, &e)) {
		recovery_note_started(rc, i->backend, start_time, false);
		return;
	}
	error = errno;
	log_warning("vm=%s event=start-failed backend=%s error=%s", rc->policy->vm,
		    recovery_policy(rc, i->backend)->name, log_quote(e.text).text);
	recovery_fault(rc, i, BACKEND_CAUSE_NOT_STARTED, error);
	region_commit(rc->region);
}

/* A step has not come to its end in time. */
static void step_late(struct recovery *rc, struct incident *i, enum backend_cause cause)
{
	recovery_fault(rc, i, cause, 0);
	region_commit(rc->region);
}

static void step_done(struct recovery *rc, struct incident *i)
{
	const struct policy_rule *rule = recovery_rule(rc, i);
	size_t next = i->step + 1;

	while (i->initial && next < rule->step_count && rule->steps[next].kind == POLICY_STEP_AWAIT)
		next++;
	region_edit(rc->region, i, sizeof(*i));
	i->step = (uint32_t)next - 1;
	recovery_advance(rc, i,
			 next >= rule->step_count ? INCIDENT_LAST_STEP_DONE : INCIDENT_STEP_DONE);
	region_commit(rc->region);
}

/* End the old process before a new one is tried. */
static void make_way(struct recovery *rc, struct incident *i)
{
	if (i->killing)
		return;
	REGION_SET(rc->region, i->killing, 1);
	region_commit(rc->region);
	process_signal(&rc->processes[i->backend].process, SIGKILL);
}

static void begin(struct recovery *rc, struct incident *i)
{
	region_edit(rc->region, i, sizeof(*i));
	i->begun = 1;
	i->deadline = rc->now + recovery_rule(rc, i)->steps[i->step].deadline;
	region_commit(rc->region);
}

/* The backend runs and is ready. A process that was there when an earlier try failed makes way;
 * one that is ready and alive need not be started: then QEMU alone has lost the connection. */
static bool step_start(struct recovery *rc, struct incident *i)
{
	struct recovery_process *rp = &rc->processes[i->backend];
	const struct backend *b = recovery_backend(rc, i->backend);
	bool first = !i->begun;

	if (first)
		begin(rc, i);
	if (rp->process.pidfd < 0 && !rp->ended) {
		start_process(rc, i);
		return true;
	}
	if (first && i->tries > 0 && process_alive(&rp->process))
		make_way(rc, i);
	if (!i->killing && b->state == BACKEND_READY && process_alive(&rp->process)) {
		step_done(rc, i);
		return true;
	}
	if (i->deadline > rc->now)
		return false;
	make_way(rc, i);
	step_late(rc, i, BACKEND_CAUSE_NOT_READY);
	return true;
}

static bool step_await(struct recovery *rc, struct incident *i)
{
	if ((i->seen >> i->step & 1) != 0) {
		step_done(rc, i);
		return true;
	}
	if (!i->begun) {
		begin(rc, i);
		return true;
	}
	if (i->deadline > rc->now)
		return false;
	step_late(rc, i, BACKEND_CAUSE_NOT_MENDED);
	return true;
}

/* True when something changed. */
bool recovery_run_incident(struct recovery *rc, struct incident *i)
{
	if (i->state == INCIDENT_BACKOFF) {
		if (recovery_backend(rc, i->backend)->retry_at > rc->now)
			return false;
		recovery_advance(rc, i, INCIDENT_TIMER);
		region_commit(rc->region);
	}
	if (i->state != INCIDENT_RUNNING)
		return false;
	switch (recovery_rule(rc, i)->steps[i->step].kind) {
	case POLICY_STEP_START:
		return step_start(rc, i);
	case POLICY_STEP_AWAIT:
		return step_await(rc, i);
	}
	return false;
}
