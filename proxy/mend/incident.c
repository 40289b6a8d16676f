/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The states of an incident, and nothing else: no I/O, no clock, no policy. recovery.c decides what
 * the inputs are and edits the record in its transaction before it calls.
 */
#include "mend/incident.h"

static void begin_step(struct incident *i, uint32_t step)
{
	i->step = step;
	i->begun = 0;
	i->deadline = 0;
}

static void begin_again(struct incident *i, enum incident_state next)
{
	i->state = (uint8_t)next;
	i->tries++;
	i->seen = 0;
	begin_step(i, 0);
}

static bool advance_open(struct incident *i, enum incident_input in)
{
	switch (in) {
	case INCIDENT_STEP_DONE:
		begin_step(i, i->step + 1);
		return true;
	case INCIDENT_LAST_STEP_DONE:
		i->state = INCIDENT_MENDED;
		return true;
	case INCIDENT_RETRY_NOW:
		begin_again(i, INCIDENT_RUNNING);
		return true;
	case INCIDENT_RETRY_LATER:
		begin_again(i, INCIDENT_BACKOFF);
		return true;
	case INCIDENT_GIVE_UP:
		i->state = INCIDENT_GIVEN_UP;
		return true;
	case INCIDENT_CANCEL:
		i->state = INCIDENT_CANCELLED;
		return true;
	case INCIDENT_TIMER:
		return false;
	}
	return false;
}

bool incident_advance(struct incident *i, enum incident_input in)
{
	switch ((enum incident_state)i->state) {
	case INCIDENT_RUNNING:
		return advance_open(i, in);
	case INCIDENT_BACKOFF:
		if (in == INCIDENT_TIMER) {
			i->state = INCIDENT_RUNNING;
			return true;
		}
		if (in == INCIDENT_STEP_DONE || in == INCIDENT_LAST_STEP_DONE)
			return false;
		return advance_open(i, in);
	case INCIDENT_FREE:
	case INCIDENT_MENDED:
	case INCIDENT_GIVEN_UP:
	case INCIDENT_CANCELLED:
		return false;
	}
	return false;
}

bool incident_is_open(const struct incident *i)
{
	return i->state == INCIDENT_RUNNING || i->state == INCIDENT_BACKOFF;
}

const char *incident_state_name(enum incident_state state)
{
	switch (state) {
	case INCIDENT_FREE:
		return "free";
	case INCIDENT_RUNNING:
		return "running";
	case INCIDENT_BACKOFF:
		return "backoff";
	case INCIDENT_MENDED:
		return "mended";
	case INCIDENT_GIVEN_UP:
		return "given-up";
	case INCIDENT_CANCELLED:
		return "cancelled";
	}
	return "unknown";
}
