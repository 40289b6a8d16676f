/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of one backend process, and how often it may fail.
 *
 * Pure functions over struct backend: recovery calls them and carries out what they decide. A fault
 * is counted by cause (the death tally, never reset), kept by time (the budget: so many faults in a
 * period) and counted since the last success (the backoff). The first try after a success is made
 * at once, each later wait is twice the one before, with jitter, so that many VMs whose backends
 * died together do not come back together.
 */
#include "mend/backend.h"

#include <string.h>

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Murmur3's finalizer: every bit of @x moves every bit of the result. */
static uint32_t scramble(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x85ebca6bu;
	x ^= x >> 13;
	x *= 0xc2b2ae35u;
	x ^= x >> 16;
	return x;
}

/* @wait +-25 %. */
static uint64_t jitter(uint64_t wait, uint32_t seed)
{
	uint64_t half = wait / 2;
	uint64_t share = scramble(seed + 0x9e3779b9u); /* of 2^32 */

	if (half == 0)
		return wait;
	/* half * share / 2^32 without a product that could overflow */
	return wait - half / 2 + (half >> 32) * share + (((half & UINT32_MAX) * share) >> 32);
}

static uint64_t backoff(const struct policy_backend *p, unsigned attempt, uint32_t seed)
{
	uint64_t wait = p->backoff_first;

	if (attempt == 0)
		return 0;
	for (unsigned i = 1; i < attempt && wait < p->backoff_max; i++)
		wait = add_saturating(wait, wait);
	if (wait > p->backoff_max)
		wait = p->backoff_max;
	return jitter(wait, seed);
}

static void note_fault(struct backend *b, struct backend_loss loss, uint64_t now)
{
	b->cause = (uint8_t)loss.cause;
	b->detail = loss.detail;
	if (b->tally[loss.cause] < UINT32_MAX)
		b->tally[loss.cause]++;
	b->fault_at[b->fault_next % BACKEND_FAULTS_KEPT] = now;
	b->fault_next = (b->fault_next + 1) % BACKEND_FAULTS_KEPT;
}

static bool budget_is_spent(const struct backend *b, const struct policy_backend *p, uint64_t now)
{
	uint32_t limit = p->budget_faults;
	uint32_t n = 0;

	if (limit > BACKEND_FAULTS_KEPT)
		limit = BACKEND_FAULTS_KEPT;
	for (unsigned i = 0; i < BACKEND_FAULTS_KEPT; i++) {
		uint64_t t = b->fault_at[i];

		if (t != 0 && (t >= now || now - t < p->budget_period))
			n++;
	}
	return n >= limit;
}

enum backend_decision backend_fault(struct backend *b, const struct policy_backend *p,
				    struct backend_loss loss, uint64_t now, uint32_t seed)
{
	note_fault(b, loss, now);
	if (budget_is_spent(b, p, now)) {
		b->state = BACKEND_GIVEN_UP;
		b->retry_at = 0;
		return BACKEND_GIVE_UP;
	}
	b->retry_at = add_saturating(now, backoff(p, b->attempt, seed));
	if (b->attempt < UINT8_MAX)
		b->attempt++;
	return BACKEND_RETRY;
}

void backend_started(struct backend *b, const struct backend_birth *birth, uint64_t now)
{
	b->pid = birth->pid;
	b->start_time = birth->start_time;
	b->found = birth->found;
	b->spawn_receipt = 0; /* noted: the receipt has done its work */
	b->state = BACKEND_STARTING;
	if (!birth->found)
		b->starts++;
	b->started_at = now;
	b->ready_at = 0;
	b->retry_at = 0;
}

void backend_ready(struct backend *b, uint64_t now)
{
	b->state = BACKEND_READY;
	b->ready_at = now;
}

void backend_ended(struct backend *b, bool wanted, uint64_t now)
{
	b->pid = 0;
	b->start_time = 0;
	b->spawn_receipt = 0;
	b->found = false;
	b->lost_at = now;
	/* One that was given up before it died (it never became ready) stays so. */
	if (wanted)
		b->state = BACKEND_STOPPED;
	else if (b->state != BACKEND_GIVEN_UP)
		b->state = BACKEND_EXITED;
}

void backend_forgive(struct backend *b)
{
	b->state = BACKEND_STOPPED;
	b->attempt = 0;
	b->retry_at = 0;
	memset(b->fault_at, 0, sizeof(b->fault_at));
}

void backend_mended(struct backend *b)
{
	b->attempt = 0;
	b->retry_at = 0;
}

const char *backend_state_name(enum backend_state state)
{
	switch (state) {
	case BACKEND_STOPPED:
		return "stopped";
	case BACKEND_STARTING:
		return "starting";
	case BACKEND_READY:
		return "ready";
	case BACKEND_EXITED:
		return "exited";
	case BACKEND_GIVEN_UP:
		return "given-up";
	}
	return "?";
}

const char *backend_cause_name(enum backend_cause cause)
{
	switch (cause) {
	case BACKEND_CAUSE_NONE:
		return "none";
	case BACKEND_CAUSE_EXITED:
		return "exited";
	case BACKEND_CAUSE_KILLED:
		return "killed";
	case BACKEND_CAUSE_UNKNOWN:
		return "unknown";
	case BACKEND_CAUSE_NOT_STARTED:
		return "not-started";
	case BACKEND_CAUSE_NOT_READY:
		return "not-ready";
	case BACKEND_CAUSE_NOT_MENDED:
		return "not-mended";
	case BACKEND_CAUSE_COUNT:
		break;
	}
	return "?";
}
