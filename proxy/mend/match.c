/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a message fit a rule of a policy? Pure, and called for each event of QEMU's. Values are
 * compared as QEMU prints them: policies hold them in that form already (policy_rules.c).
 */
#include "mend/match.h"

#include "qmp/id.h"

bool match_event(const struct policy_event *pattern, const struct qmp_message *event)
{
	if (event->kind != QMP_MESSAGE_EVENT || !span_is(span_of(event->name), pattern->name))
		return false;
	for (size_t i = 0; i < pattern->match_count; i++) {
		const struct policy_match *m = &pattern->match[i];
		struct span value = { 0 };

		if (event->body.p != NULL)
			value = qmp_member(event->body, m->key);
		if (value.p == NULL || !span_is(value, m->value))
			return false;
	}
	return true;
}

/* A client may write a value in any way that QEMU takes; it is compared as QEMU would print it. */
static bool argument_equals(struct span value, const char *wanted)
{
	AUTO_BUF struct qmp_buffer printed = QMP_BUFFER_INIT(4096);

	return value.p != NULL && qmp_print_value(&printed, value) &&
	       span_is(qmp_buffer_span(&printed), wanted);
}

bool match_command(const struct policy_event *pattern, const struct qmp_message *command)
{
	if (command->kind != QMP_MESSAGE_COMMAND || !span_is(span_of(command->name), pattern->name))
		return false;
	for (size_t i = 0; i < pattern->match_count; i++) {
		const struct policy_match *m = &pattern->match[i];

		if (command->body.p == NULL ||
		    !argument_equals(qmp_member(command->body, m->key), m->value))
			return false;
	}
	return true;
}
