/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recovery: faults become incidents, incidents run the steps of their rule. It knows backends,
 * events and policies, no device. Here: its life, and what processes tell. incidents.c has the
 * records and the fault decision, steps.c the steps, witness.c what passes through the router.
 * vm.c drives it.
 *
 * Theory of operation
 * -------------------
 * - Two witnesses. A backend's process tells of its end (process.c); QEMU tells by events. Whoever
 *   comes first opens the incident; the other joins it. The fault is counted when the process has
 *   ended or a step has failed, never for an event alone, so that one fault counts once.
 * - An event that a rule with verdict `hold` is triggered by, or awaits, is kept in the incident:
 *   dropped if it is mended, released in order if not.
 * - Steps run from the first again when the fault comes again. `seen` notes awaited events from the
 *   beginning of the incident on, because they may come before their step.
 * - A wanted end is no fault: QEMU is going (SHUTDOWN) or gone, or a client has taken the device
 *   away with a command that the recipe names.
 * - What a process tells is only noted in the callback. recovery_work() handles it after the router
 *   has read QEMU's socket, so that a QEMU that died with its backend is not mended.
 * - Every change is made in a transaction; processes are started outside of one, with a receipt.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "io/log.h"
#include "mend/parts.h"

enum { RELEASE_MAX = 1 << 18 }; /* bytes of held events for which room is made */
/* UNDO_RELEASE: one queue appended to another, see queue_append_queue(). */
enum { UNDO_BASE = 64 * 1024, UNDO_RELEASE = 256 };

struct recovery_record *recovery_record(const struct recovery *rc)
{
	return region_at(rc->region, SECTION_RECOVERY, 0);
}

const struct policy_backend *recovery_policy(const struct recovery *rc, uint32_t i)
{
	return &rc->policy->backends[i];
}

const struct policy_rule *recovery_rule(const struct recovery *rc, const struct incident *i)
{
	return &recovery_policy(rc, i->backend)->rules[i->rule];
}

void recovery_layout(uint32_t backends, struct region_layout *layout)
{
	struct region_section *s = layout->section;

	s[SECTION_RECOVERY] = (struct region_section){ sizeof(struct recovery_record), 1 };
	s[SECTION_BACKEND] = (struct region_section){ sizeof(struct backend), backends };
	s[SECTION_INCIDENT] =
		(struct region_section){ sizeof(struct incident), RECOVERY_INCIDENTS };
	layout->section_count = RECOVERY_SECTIONS;
}

uint64_t recovery_undo_bytes(uint32_t clients)
{
	return UNDO_BASE + (uint64_t)clients * RECOVERY_INCIDENTS * UNDO_RELEASE;
}

uint32_t recovery_count(const struct recovery *rc)
{
	return (uint32_t)rc->policy->backend_count;
}

/* The first rule of this backend that its process ending triggers; REGION_NONE: none does. */
uint32_t recovery_exit_rule(const struct recovery *rc, uint32_t backend)
{
	const struct policy_backend *p = recovery_policy(rc, backend);

	for (uint32_t n = 0; n < p->rule_count; n++)
		for (size_t t = 0; t < p->rules[n].trigger_count; t++)
			if (p->rules[n].triggers[t].kind == POLICY_ON_BACKEND_EXITED)
				return n;
	return REGION_NONE;
}

/* Would the end of this backend be a fault? */
bool recovery_is_wanted(const struct recovery *rc, uint32_t backend)
{
	return !recovery_record(rc)->ending &&
	       recovery_backend(rc, backend)->unwanted == BACKEND_WANTED;
}

/* ---- processes ---- */

static void on_news(struct process *p, enum process_news what, void *owner)
{
	struct recovery_process *rp = owner;

	(void)p;
	if (what == PROCESS_READY)
		rp->ready = true;
	else
		rp->ended = true;
}

static void handle_ready(struct recovery *rc, uint32_t n)
{
	struct backend *b = recovery_backend(rc, n);

	if (b->state != BACKEND_STARTING)
		return;
	region_edit(rc->region, b, sizeof(*b));
	backend_ready(b, rc->now);
	region_commit(rc->region);
	log_info("vm=%s event=backend-ready backend=%s pid=%" PRId32 " ms=%" PRIu64, rc->policy->vm,
		 recovery_policy(rc, n)->name, b->pid, (b->ready_at - b->started_at) / 1000000);
}

/* A process has ended that was missed: what now? In the caller's transaction. */
static void handle_loss(struct recovery *rc, uint32_t n)
{
	const struct process *p = &rc->processes[n].process;
	uint32_t rule = recovery_exit_rule(rc, n);
	struct incident *i = recovery_find_open(rc, n, REGION_NONE);

	if (i == NULL && rule != REGION_NONE)
		i = recovery_open_incident(rc, n, rule, false);
	if (i != NULL)
		recovery_fault(rc, i, p->cause, p->detail);
}

static void handle_end(struct recovery *rc, uint32_t n)
{
	const struct process *p = &rc->processes[n].process;
	struct backend *b = recovery_backend(rc, n);
	struct incident *i = recovery_find_open(rc, n, REGION_NONE);
	bool given_up = b->state == BACKEND_GIVEN_UP;
	bool killed = i != NULL && i->killing;

	log_info("vm=%s event=backend-ended backend=%s pid=%" PRId32
		 " cause=%s detail=%d wanted=%d",
		 rc->policy->vm, recovery_policy(rc, n)->name, b->pid, backend_cause_name(p->cause),
		 p->detail, !recovery_is_wanted(rc, n) || killed);
	region_edit(rc->region, b, sizeof(*b));
	backend_ended(b, !recovery_is_wanted(rc, n), rc->now);
	if (given_up)
		b->state = BACKEND_GIVEN_UP;
	if (killed)
		REGION_SET(rc->region, i->killing, 0);
	else if (!given_up && recovery_is_wanted(rc, n))
		handle_loss(rc, n);
	region_commit(rc->region);
}

void recovery_note_started(struct recovery *rc, uint32_t n, uint64_t start_time, bool found)
{
	struct backend *b = recovery_backend(rc, n);
	struct backend_birth birth = { rc->processes[n].process.pid, start_time, found };

	region_edit(rc->region, b, sizeof(*b));
	backend_started(b, &birth, rc->now);
	region_commit(rc->region);
	log_info("vm=%s event=backend-%s backend=%s pid=%" PRId32, rc->policy->vm,
		 found ? "found" : "started", recovery_policy(rc, n)->name, b->pid);
}

/* ---- starting what should run ---- */

/* A backend that is handed a connection needs a QEMU that listens. */
static bool may_start(const struct recovery *rc, uint32_t n)
{
	const struct backend *b = recovery_backend(rc, n);
	const struct policy_backend *p = recovery_policy(rc, n);

	return p->command != NULL && b->unwanted == BACKEND_WANTED &&
	       (b->state == BACKEND_STOPPED || b->state == BACKEND_EXITED) &&
	       !(p->handover && router_qemu(rc->router)->state != QEMU_READY);
}

static void start_missing(struct recovery *rc)
{
	for (uint32_t n = 0; n < recovery_count(rc); n++) {
		struct process *p = &rc->processes[n].process;
		uint64_t start_time;

		if (p->pidfd >= 0 || rc->processes[n].ended ||
		    recovery_find_open(rc, n, REGION_NONE) != NULL)
			continue;
		if (process_find(p, &start_time)) {
			recovery_note_started(rc, n, start_time, true);
		} else if (may_start(rc, n) && recovery_exit_rule(rc, n) != REGION_NONE) {
			recovery_open_incident(rc, n, recovery_exit_rule(rc, n), true);
			region_commit(rc->region);
		}
	}
}

void recovery_want_all(struct recovery *rc)
{
	rc->start_all = true;
	REGION_SET(rc->region, recovery_record(rc)->ending, 0);
}

/* ---- life ---- */

/* After a restart of the worker: watch what was running. */
static void resume(struct recovery *rc, uint32_t n)
{
	struct backend *b = recovery_backend(rc, n);
	struct recovery_process *rp = &rc->processes[n];

	if (b->spawn_receipt != 0) { /* started, and nobody lived to note it */
		uint64_t start_time = process_start_time(b->spawn_receipt);

		if (start_time != 0 &&
		    process_resume(&rp->process, b->spawn_receipt, start_time, true))
			recovery_note_started(rc, n, start_time, false);
		REGION_SET(rc->region, b->spawn_receipt, 0);
		region_commit(rc->region);
		return;
	}
	if (b->pid == 0 || (b->state != BACKEND_STARTING && b->state != BACKEND_READY))
		return;
	if (!process_resume(&rp->process, b->pid, b->start_time, !b->found)) {
		rp->process.cause = BACKEND_CAUSE_UNKNOWN;
		rp->process.detail = 0;
		rp->ended = true;
	}
}

void recovery_init(struct recovery *rc)
{
	struct recovery_record *r = recovery_record(rc);

	rc->processes = calloc(recovery_count(rc) + 1u, sizeof(*rc->processes));
	if (rc->processes == NULL)
		abort();
	for (uint32_t n = 0; n < recovery_count(rc); n++) {
		struct recovery_process *rp = &rc->processes[n];

		rp->recovery = rc;
		rp->index = n;
		process_init(&rp->process, rc->loop, recovery_policy(rc, n), on_news, rp);
		if (r->set_up)
			resume(rc, n);
	}
	rc->start_all = r->set_up && !r->ending; /* the last worker may not have come to it */
	if (!r->set_up) {
		for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++)
			queue_init(&recovery_incident(rc, n)->held);
		r->next_incident = 1;
		r->set_up = 1;
	}
}

void recovery_release(struct recovery *rc)
{
	for (uint32_t n = 0; n < recovery_count(rc); n++)
		process_release(&rc->processes[n].process);
	free(rc->processes);
}

bool recovery_has_news(const struct recovery *rc)
{
	for (uint32_t n = 0; n < recovery_count(rc); n++)
		if (rc->processes[n].ended)
			return true;
	return false;
}

bool recovery_work(struct recovery *rc, uint64_t now)
{
	bool more = false;

	rc->now = now;
	for (uint32_t n = 0; n < recovery_count(rc); n++) {
		struct recovery_process *rp = &rc->processes[n];

		if (rp->ended) {
			rp->ended = rp->ready = false;
			router_make_room(rc->router, RELEASE_MAX, 1);
			handle_end(rc, n);
			more = true;
		} else if (rp->ready) {
			rp->ready = false;
			handle_ready(rc, n);
			more = true;
		}
	}
	if (rc->start_all) {
		rc->start_all = false;
		start_missing(rc);
		more = true;
	}
	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++)
		more |= recovery_run_incident(rc, recovery_incident(rc, n));
	return more;
}

uint64_t recovery_deadline(const struct recovery *rc)
{
	uint64_t earliest = UINT64_MAX;

	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++) {
		const struct incident *i = recovery_incident(rc, n);
		uint64_t at = UINT64_MAX;

		if (i->state == INCIDENT_BACKOFF)
			at = recovery_backend(rc, i->backend)->retry_at;
		else if (i->state == INCIDENT_RUNNING && i->begun)
			at = i->deadline;
		if (at < earliest)
			earliest = at;
	}
	return earliest;
}
