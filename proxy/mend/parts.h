/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_PARTS_H
#define MEND_PARTS_H

#include "mend/recovery.h"

/* What the parts of recovery offer each other; nobody else includes this. */

struct recovery_record *recovery_record(const struct recovery *rc);
uint32_t recovery_count(const struct recovery *rc); /* of backends */
const struct policy_backend *recovery_policy(const struct recovery *rc, uint32_t backend);
const struct policy_rule *recovery_rule(const struct recovery *rc, const struct incident *i);
/* The first rule of this backend that its process ending triggers; REGION_NONE: none does. */
uint32_t recovery_exit_rule(const struct recovery *rc, uint32_t backend);
/* Would the end of this backend be a fault? */
bool recovery_is_wanted(const struct recovery *rc, uint32_t backend);
/* Its process has been started, or found; a transaction of its own. */
void recovery_note_started(struct recovery *rc, uint32_t backend, uint64_t start_time, bool found);

/* incidents.c */
/* The open incident of this backend, of rule @rule or of any (REGION_NONE); or NULL. */
struct incident *recovery_find_open(const struct recovery *rc, uint32_t backend, uint32_t rule);
/* NULL: too many are open. */
struct incident *recovery_open_incident(struct recovery *rc, uint32_t backend, uint32_t rule,
					bool initial);
void recovery_advance(struct recovery *rc, struct incident *i, enum incident_input in);
/* A fault is counted, and decides how the incident goes on. */
void recovery_fault(struct recovery *rc, struct incident *i, enum backend_cause cause, int detail);

/* steps.c: true when something changed. */
bool recovery_run_incident(struct recovery *rc, struct incident *i);

#endif
