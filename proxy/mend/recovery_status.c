/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What recovery adds to the answer of x-qmend-status: backends with their death tally, incidents.
 * It only looks. The names of its members are documented in qmend(1).
 */
#include <inttypes.h>

#include "mend/parts.h"
#include "qmp/id.h"

static void print_name(struct qmp_buffer *out, const char *key, const char *value)
{
	qmp_buffer_printf(out, "\"%s\": ", key);
	qmp_print_string(out, span_of(value));
}

/* The causes that occurred, with how often. */
static void print_tally(const struct backend *b, struct qmp_buffer *out)
{
	const char *separator = "";

	qmp_buffer_printf(out, "\"tally\": {");
	for (uint32_t c = BACKEND_CAUSE_NONE + 1; c < BACKEND_CAUSE_COUNT; c++) {
		if (b->tally[c] == 0)
			continue;
		qmp_buffer_printf(out, "%s\"%s\": %" PRIu32, separator,
				  backend_cause_name((enum backend_cause)c), b->tally[c]);
		separator = ", ";
	}
	qmp_buffer_printf(out, "}");
}

static void print_backend(const struct recovery *rc, uint32_t n, struct qmp_buffer *out)
{
	const struct backend *b = recovery_backend(rc, n);
	const struct policy_backend *p = recovery_policy(rc, n);

	qmp_buffer_printf(out, "{");
	print_name(out, "name", p->name);
	qmp_buffer_printf(out, ", ");
	print_name(out, "recipe", p->recipe);
	qmp_buffer_printf(out,
			  ", \"pid\": %" PRId32 ", \"state\": \"%s\", \"found\": %s"
			  ", \"unwanted\": %s, \"starts\": %" PRIu32 ", \"cause\": \"%s\""
			  ", \"detail\": %" PRId32 ", ",
			  b->pid, backend_state_name((enum backend_state)b->state),
			  b->found ? "true" : "false",
			  b->unwanted == BACKEND_WANTED ? "false" : "true", b->starts,
			  backend_cause_name((enum backend_cause)b->cause), b->detail);
	print_tally(b, out);
	qmp_buffer_printf(out, "}");
}

static void print_incident(const struct recovery *rc, const struct incident *i,
			   struct qmp_buffer *out)
{
	uint64_t until = incident_is_open(i) ? rc->now : i->closed;

	qmp_buffer_printf(out, "{\"id\": %" PRIu32 ", ", i->id);
	print_name(out, "backend", recovery_policy(rc, i->backend)->name);
	qmp_buffer_printf(out, ", ");
	print_name(out, "rule", recovery_rule(rc, i)->name);
	qmp_buffer_printf(out,
			  ", \"state\": \"%s\", \"step\": %" PRIu32 ", \"tries\": %" PRIu32
			  ", \"initial\": %s, \"milliseconds\": %" PRIu64
			  ", \"held-bytes\": %" PRIu64 "}",
			  incident_state_name((enum incident_state)i->state), i->step, i->tries,
			  i->initial ? "true" : "false", (until - i->opened) / 1000000,
			  queue_length(&i->held));
}

/* Of the incidents that are remembered, the first after number @id. */
static const struct incident *next_incident(const struct recovery *rc, uint32_t id)
{
	const struct incident *next = NULL;

	for (uint32_t n = 0; n < RECOVERY_INCIDENTS; n++) {
		const struct incident *i = recovery_incident(rc, n);

		if (i->state != INCIDENT_FREE && i->id > id && (next == NULL || i->id < next->id))
			next = i;
	}
	return next;
}

void recovery_print_status(void *owner, struct qmp_buffer *out)
{
	struct recovery *rc = owner;
	const char *separator = "";

	rc->now = rc->router->now;
	qmp_buffer_printf(out, ", \"backends\": [");
	for (uint32_t n = 0; n < recovery_count(rc); n++) {
		qmp_buffer_printf(out, "%s", n == 0 ? "" : ", ");
		print_backend(rc, n, out);
	}
	qmp_buffer_printf(out, "], \"incidents\": [");
	for (const struct incident *i = next_incident(rc, 0); i != NULL;
	     i = next_incident(rc, i->id)) {
		qmp_buffer_printf(out, "%s", separator);
		print_incident(rc, i, out);
		separator = ", ";
	}
	qmp_buffer_printf(out, "]");
}
