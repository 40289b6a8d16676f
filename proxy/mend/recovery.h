/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_RECOVERY_H
#define MEND_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "io/loop.h"
#include "mend/incident.h"
#include "policy/policy.h"
#include "mend/process.h"
#include "mux/router.h"

/* The recovery of one VM: its backends and incidents. vm.c makes one, gives its sink to the router
 * and calls recovery_work() after router_work(). */
enum recovery_section {
	SECTION_RECOVERY = ROUTER_SECTIONS, /* one struct recovery_record */
	SECTION_BACKEND,		    /* struct backend, in the order of the policy */
	SECTION_INCIDENT,		    /* struct incident */
	RECOVERY_SECTIONS
};

enum { RECOVERY_INCIDENTS = 32 };

struct recovery_record {
	uint32_t next_incident;
	uint8_t set_up;
	uint8_t ending; /* QEMU is going or gone: backends that end are not missed */
	uint8_t reserved[2];
};

/* What a process has told and recovery_work() has not handled yet. */
struct recovery_process {
	struct process process;
	struct recovery *recovery;
	uint32_t index;
	bool ready, ended;
};

struct recovery {
	struct region *region;
	struct router *router;
	struct loop *loop;
	const struct policy *policy;
	struct recovery_process *processes; /* in the order of the policy */
	bool start_all; /* backends that should run are looked for and started in the next turn */
	uint64_t now;
};

void recovery_layout(uint32_t backends, struct region_layout *layout);
/* Undo bytes that the largest transaction of recovery needs: QEMU goes, and all that every incident
 * holds is released to every client. */
uint64_t recovery_undo_bytes(uint32_t clients);

/* @rc->region, router, loop and policy are set by the caller. */
void recovery_init(struct recovery *rc);
/* witness.c: what the router is to tell. */
struct router_sink recovery_sink(struct recovery *rc);
/* Stops watching; the backends go on. */
void recovery_release(struct recovery *rc);

/* A connection to QEMU stands, or QEMU is about to be waited for: see that backends run. */
void recovery_want_all(struct recovery *rc);

/* Has a process ended? Then QEMU's socket is to be read before recovery_work() is called: when
 * QEMU is gone too, nothing is to be mended. */
bool recovery_has_news(const struct recovery *rc);
bool recovery_work(struct recovery *rc, uint64_t now);
uint64_t recovery_deadline(const struct recovery *rc);

/* recovery_status.c: members of x-qmend-status. */
void recovery_print_status(void *owner, struct qmp_buffer *out);

static inline struct backend *recovery_backend(const struct recovery *rc, uint32_t i)
{
	return (struct backend *)region_at(rc->region, SECTION_BACKEND, i);
}

static inline struct incident *recovery_incident(const struct recovery *rc, uint32_t i)
{
	return (struct incident *)region_at(rc->region, SECTION_INCIDENT, i);
}

#endif
