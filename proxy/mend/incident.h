/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_INCIDENT_H
#define MEND_INCIDENT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/queue.h"

/* One run of one rule, from trigger to end: a record of the region and a pure state machine. What
 * its states make happen is done by recovery.c. */
enum incident_state {
	INCIDENT_FREE,
	INCIDENT_RUNNING, /* at a step */
	INCIDENT_BACKOFF, /* a step failed; tried again at the backend's retry_at */
	INCIDENT_MENDED,
	INCIDENT_GIVEN_UP,
	INCIDENT_CANCELLED, /* QEMU went, or the end was wanted */
};

enum incident_input {
	INCIDENT_STEP_DONE,
	INCIDENT_LAST_STEP_DONE,
	INCIDENT_RETRY_NOW,   /* the fault came (again): from the first step on */
	INCIDENT_RETRY_LATER, /* the same, but not before the backend's retry_at */
	INCIDENT_TIMER,	      /* retry_at has come */
	INCIDENT_GIVE_UP,
	INCIDENT_CANCEL,
};

struct incident {
	uint32_t id;	 /* counts from 1 */
	uint8_t state;	 /* enum incident_state */
	uint8_t initial; /* no fault: the backend's first start; nothing is awaited */
	uint8_t killing; /* the old process is being ended to make way */
	uint8_t begun;	 /* the step has been begun */
	uint32_t backend;
	uint32_t rule;
	uint32_t step;
	uint32_t tries; /* how often it began again */
	uint32_t seen;	/* bit n: the event that step n awaits has come */
	uint32_t reserved;
	uint64_t opened, closed; /* CLOCK_BOOTTIME in ns */
	uint64_t deadline;	 /* of the step */
	struct queue held;	 /* events kept from the clients, in order */
};

/* Move on; false when @in means nothing in this state. Only this function writes `state`. */
bool incident_advance(struct incident *i, enum incident_input in);

bool incident_is_open(const struct incident *i);
const char *incident_state_name(enum incident_state state);

#endif
