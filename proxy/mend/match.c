/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a message fit a rule of a policy? Pure, and called for each event of QEMU's. Values are
 * compared as QEMU prints them: policies hold them in that form already (policy_rules.c).
 */
#include "mend/match.h"

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
