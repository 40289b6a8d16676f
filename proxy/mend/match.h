/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_MATCH_H
#define MEND_MATCH_H

#include <stdbool.h>

#include "policy/policy.h"
#include "qmp/message.h"

/* Does this event of QEMU's fit the pattern: same name, each named member of data equal? Pure. */
bool match_event(const struct policy_event *pattern, const struct qmp_message *event);

/* Does this command of a client fit: same name, and each named argument equal? Pure. */
bool match_command(const struct policy_event *pattern, const struct qmp_message *command);

#endif
