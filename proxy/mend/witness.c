/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery learns from the messages that pass: events that trigger rules or are awaited, and
 * commands of clients that take a device away or bring it back. This is the router's sink: every
 * function here runs inside the transaction of its message and only changes records.
 */
#include <string.h>

#include "mend/match.h"
#include "mend/parts.h"

enum { HELD_MAX = 64 * 1024 }; /* bytes in one incident; then what is held goes out */

/* What client commands mean for a backend: the tags of router_sink.command. */
enum tag_kind { TAG_ENDS = 1, TAG_BEGINS = 2 };

static bool rule_is_triggered(const struct policy_rule *rule, const struct qmp_message *m)
{
	for (size_t t = 0; t < rule->trigger_count; t++)
		if (rule->triggers[t].kind == POLICY_ON_EVENT &&
		    match_event(&rule->triggers[t].event, m))
			return true;
	return false;
}

/* The steps of the rule that await this event, as bits. */
static uint32_t awaiting_steps(const struct policy_rule *rule, const struct qmp_message *m)
{
	uint32_t bits = 0;

	for (size_t s = 0; s < rule->step_count; s++)
		if (rule->steps[s].kind == POLICY_STEP_AWAIT &&
		    match_event(&rule->steps[s].event, m))
			bits |= UINT32_C(1) << s;
	return bits;
}

/* What the rule says becomes of a message that belongs to incident @i. */
static enum router_verdict apply_verdict(struct recovery *rc, struct incident *i,
					 const struct qmp_message *m)
{
	switch (recovery_rule(rc, i)->verdict) {
	case POLICY_PASS:
		return ROUTER_PASS;
	case POLICY_DROP:
		return ROUTER_DROP;
	case POLICY_HOLD:
		break;
	}
	if (i->initial)
		return ROUTER_PASS;
	if (queue_length(&i->held) + m->text.len > HELD_MAX) {
		router_broadcast(rc->router, &i->held);
		queue_clear(rc->region, &i->held);
		return ROUTER_PASS;
	}
	if (!queue_reserve(rc->region, &i->held, m->text.len + 2) ||
	    !queue_append(rc->region, &i->held, m->text) ||
	    !queue_append(rc->region, &i->held, SPAN("\r\n")))
		return ROUTER_PASS;
	return ROUTER_HOLD;
}

/* One rule sees one event; the incident that it belongs to, or NULL. */
static struct incident *note_event(struct recovery *rc, uint32_t backend, uint32_t rule,
				   const struct qmp_message *m)
{
	const struct policy_rule *p = &recovery_policy(rc, backend)->rules[rule];
	struct incident *i = recovery_find_open(rc, backend, rule);
	uint32_t awaited = awaiting_steps(p, m);
	bool triggered = rule_is_triggered(p, m);

	if (i == NULL && triggered && recovery_is_wanted(rc, backend) &&
	    recovery_backend(rc, backend)->state != BACKEND_GIVEN_UP)
		i = recovery_open_incident(rc, backend, rule, false);
	if (i == NULL || (!triggered && awaited == 0))
		return NULL;
	region_edit(rc->region, i, sizeof(*i));
	if (triggered)
		i->seen = 0;
	i->seen |= awaited;
	return i;
}

static enum router_verdict rule_event(struct recovery *rc, uint32_t backend, uint32_t rule,
				      const struct qmp_message *m)
{
	struct incident *i = note_event(rc, backend, rule, m);

	return i == NULL ? ROUTER_PASS : apply_verdict(rc, i, m);
}

/* The VM's own comings and goings. */
static void note_run_state(struct recovery *rc, const struct qmp_message *m)
{
	struct recovery_record *r = recovery_record(rc);
	bool ends = strcmp(m->name, "SHUTDOWN") == 0;
	bool begins = strcmp(m->name, "RESET") == 0 || strcmp(m->name, "RESUME") == 0;

	if (ends && !r->ending) {
		REGION_SET(rc->region, r->ending, 1);
	} else if (begins && r->ending) {
		REGION_SET(rc->region, r->ending, 0);
		rc->start_all = true;
	}
}

static enum router_verdict on_event(void *owner, const struct qmp_message *m)
{
	struct recovery *rc = owner;
	enum router_verdict verdict = ROUTER_PASS;

	rc->now = rc->router->now;
	note_run_state(rc, m);
	for (uint32_t b = 0; b < recovery_count(rc); b++) {
		for (uint32_t n = 0; n < recovery_policy(rc, b)->rule_count; n++) {
			if (verdict == ROUTER_PASS)
				verdict = rule_event(rc, b, n, m);
			else
				note_event(rc, b, n, m); /* kept once is enough */
		}
	}
	return verdict;
}

static bool any_matches(const struct policy_event *list, size_t count, const struct qmp_message *m)
{
	for (size_t n = 0; n < count; n++)
		if (match_command(&list[n], m))
			return true;
	return false;
}

static uint32_t on_command(void *owner, const struct qmp_message *m)
{
	struct recovery *rc = owner;

	for (uint32_t n = 0; n < recovery_count(rc); n++) {
		const struct policy_backend *p = recovery_policy(rc, n);

		if (any_matches(p->ends, p->end_count, m)) {
			if (recovery_is_wanted(rc, n))
				REGION_SET(rc->region, recovery_backend(rc, n)->unwanted,
					   BACKEND_LEAVING);
			return n << 2 | TAG_ENDS;
		}
		if (any_matches(p->begins, p->begin_count, m))
			return n << 2 | TAG_BEGINS;
	}
	return 0;
}

static void on_settled(void *owner, uint32_t tag, bool succeeded)
{
	struct recovery *rc = owner;
	uint32_t n = tag >> 2;
	struct backend *b = recovery_backend(rc, n);
	struct incident *i = recovery_find_open(rc, n, REGION_NONE);

	rc->now = rc->router->now;
	if ((tag & 3) == TAG_ENDS) {
		if (succeeded)
			REGION_SET(rc->region, b->unwanted, BACKEND_UNWANTED);
		else if (b->unwanted == BACKEND_LEAVING)
			REGION_SET(rc->region, b->unwanted, BACKEND_WANTED);
		if (succeeded && i != NULL)
			recovery_advance(rc, i, INCIDENT_CANCEL);
	} else if (succeeded) {
		REGION_SET(rc->region, b->unwanted, BACKEND_WANTED);
	}
	rc->start_all = true;
}

static void on_qemu_ready(void *owner)
{
	recovery_want_all(owner);
}

/* The next QEMU has all its devices, and deserves a new try. */
static void forget_session(struct recovery *rc, struct backend *b)
{
	region_edit(rc->region, b, sizeof(*b));
	b->unwanted = BACKEND_WANTED;
	if (b->state == BACKEND_GIVEN_UP)
		backend_forgive(b);
}

static void on_qemu_gone(void *owner)
{
	struct recovery *rc = owner;

	rc->now = rc->router->now;
	REGION_SET(rc->region, recovery_record(rc)->ending, 1);
	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++)
		if (incident_is_open(recovery_incident(rc, n)))
			recovery_advance(rc, recovery_incident(rc, n), INCIDENT_CANCEL);
	for (uint32_t n = 0; n < recovery_count(rc); n++)
		forget_session(rc, recovery_backend(rc, n));
}

struct router_sink recovery_sink(struct recovery *rc)
{
	return (struct router_sink){
		.event = on_event,
		.command = on_command,
		.settled = on_settled,
		.qemu_ready = on_qemu_ready,
		.qemu_gone = on_qemu_gone,
		.status = recovery_print_status,
		.owner = rc,
	};
}
