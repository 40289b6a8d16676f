/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Incidents as records: opening, finding, moving on, closing; and the one place where a fault is
 * counted and its consequence decided. Every function that changes something does so in the
 * caller's transaction.
 */
#include <inttypes.h>

#include "io/log.h"
#include "mend/parts.h"

/* The open incident of this backend, of rule @rule or of any (REGION_NONE); or NULL. */
struct incident *recovery_find_open(const struct recovery *rc, uint32_t backend, uint32_t rule)
{
	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++) {
		struct incident *i = recovery_incident(rc, n);

		if (incident_is_open(i) && i->backend == backend &&
		    (rule == REGION_NONE || i->rule == rule))
			return i;
	}
	return NULL;
}

/* A record for a new incident: a free one, else that of the oldest that is closed. */
static struct incident *find_record(const struct recovery *rc)
{
	struct incident *oldest = NULL;

	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++) {
		struct incident *i = recovery_incident(rc, n);

		if (i->state == INCIDENT_FREE)
			return i;
		if (!incident_is_open(i) && (oldest == NULL || i->id < oldest->id))
			oldest = i;
	}
	return oldest;
}

static void log_incident(const struct recovery *rc, const struct incident *i, const char *what)
{
	const struct policy_backend *p = recovery_policy(rc, i->backend);

	log_info("vm=%s event=incident id=%" PRIu32 " backend=%s rule=%s state=%s step=%" PRIu32
		 " tries=%" PRIu32 " ms=%" PRIu64 " what=%s",
		 rc->policy->vm, i->id, p->name, log_quote(recovery_rule(rc, i)->name).text,
		 incident_state_name((enum incident_state)i->state), i->step, i->tries,
		 (rc->now - i->opened) / 1000000, what);
}

/* In the caller's transaction; NULL: too many are open. */
struct incident *recovery_open_incident(struct recovery *rc, uint32_t backend, uint32_t rule,
					bool initial)
{
	struct incident *i = find_record(rc);
	struct recovery_record *r = recovery_record(rc);

	if (i == NULL)
		return NULL;
	region_edit(rc->region, i, sizeof(*i));
	*i = (struct incident){
		.id = r->next_incident,
		.state = INCIDENT_RUNNING,
		.initial = initial,
		.backend = backend,
		.rule = rule,
		.opened = rc->now,
	};
	queue_init(&i->held);
	REGION_SET(rc->region, r->next_incident, r->next_incident + 1);
	log_incident(rc, i, initial ? "start" : "opened");
	return i;
}

/* The incident has ended in this transaction: what becomes of the held events? */
static void close_incident(struct recovery *rc, struct incident *i)
{
	struct backend *b = recovery_backend(rc, i->backend);

	i->closed = rc->now;
	if (i->state == INCIDENT_MENDED) {
		region_edit(rc->region, b, sizeof(*b));
		backend_mended(b);
	} else {
		router_broadcast(rc->router, &i->held);
	}
	queue_clear(rc->region, &i->held);
	log_incident(rc, i, "closed");
}

void recovery_advance(struct recovery *rc, struct incident *i, enum incident_input in)
{
	region_edit(rc->region, i, sizeof(*i));
	if (incident_advance(i, in) && !incident_is_open(i))
		close_incident(rc, i);
}

/* A fault is counted, and decides how the incident goes on. */
void recovery_fault(struct recovery *rc, struct incident *i, enum backend_cause cause, int detail)
{
	struct backend *b = recovery_backend(rc, i->backend);
	const struct policy_backend *p = recovery_policy(rc, i->backend);

	region_edit(rc->region, b, sizeof(*b));
	region_edit(rc->region, i, sizeof(*i));
	i->initial = 0;
	log_warning("vm=%s event=fault backend=%s cause=%s detail=%d incident=%" PRIu32,
		    rc->policy->vm, p->name, backend_cause_name(cause), detail, i->id);
	if (backend_fault(b, p, (struct backend_loss){ cause, detail }, rc->now,
			  i->id * 31 + i->tries) == BACKEND_GIVE_UP) {
		log_error("vm=%s event=given-up backend=%s faults=%" PRIu32 " period_s=%" PRIu64,
			  rc->policy->vm, p->name, p->budget_faults, p->budget_period / 1000000000);
		recovery_advance(rc, i, INCIDENT_GIVE_UP);
	} else {
		recovery_advance(rc, i,
				 b->retry_at > rc->now ? INCIDENT_RETRY_LATER : INCIDENT_RETRY_NOW);
	}
}
