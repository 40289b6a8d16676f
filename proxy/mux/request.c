/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: commands that are on their way at QEMU, by number. The number travels in the id (see
 * qmp/id.h); who asked is remembered here as slot and generation, never as a pointer, because the
 * client may be gone when QEMU answers. Used by the other parts of the router.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "mux/parts.h"

static struct request *at(const struct router *rt, uint32_t i)
{
	return region_at(rt->region, SECTION_REQUEST, i);
}

struct request *request_find(const struct router *rt, uint64_t number)
{
	for (uint32_t i = 0; number != 0 && i < ROUTER_REQUESTS; i++)
		if (at(rt, i)->number == number)
			return at(rt, i);
	return NULL;
}

bool request_has_room(const struct router *rt, bool oob)
{
	const struct qemu *k = router_qemu(rt);

	return oob ? k->oob < ROUTER_OOB_MAX : k->in_band < ROUTER_IN_BAND_MAX;
}

static struct request *find_free(const struct router *rt)
{
	for (uint32_t i = 0; i < ROUTER_REQUESTS; i++)
		if (at(rt, i)->number == 0)
			return at(rt, i);
	return NULL;
}

/* One more or one less command outstanding, at QEMU and for its client. */
static void count(struct router *rt, const struct request *q, int by)
{
	struct qemu *k = router_qemu(rt);
	struct client *c = router_client(rt, q->client);
	uint32_t *here = q->oob ? &k->oob : &k->in_band;
	uint32_t *there = q->oob ? &c->outstanding_oob : &c->outstanding;

	REGION_SET(rt->region, *here, *here + (uint32_t)by);
	if (client_is(rt, q->client, q->generation))
		REGION_SET(rt->region, *there, *there + (uint32_t)by);
}

struct request *request_new(struct router *rt, uint32_t slot, const struct qmp_message *m)
{
	struct qemu *k = router_qemu(rt);
	struct request *q = find_free(rt);

	if (q == NULL)
		return NULL;
	region_edit(rt->region, q, sizeof(*q));
	*q = (struct request){
		.number = k->next_number,
		.client = slot,
		.generation = router_conn(rt, slot)->generation,
		.oob = m->kind == QMP_MESSAGE_OOB,
		.fd_name = REGION_NONE,
	};
	snprintf(q->name, sizeof(q->name), "%s", m->name);
	REGION_SET(rt->region, k->next_number, k->next_number + 1);
	count(rt, q, 1);
	if (slot != ROUTER_QEMU_SLOT) {
		struct client *c = router_client(rt, slot);

		REGION_SET(rt->region, c->commands, c->commands + 1);
	}
	return q;
}

void request_free(struct router *rt, struct request *q)
{
	struct qemu *k = router_qemu(rt);

	count(rt, q, -1);
	if (q->with_fd)
		REGION_SET(rt->region, k->fd_in_flight, 0);
	if (q->oob) {
		slots_each(&rt->stalled, i)
			slots_add(&rt->unread, i);
		slots_clear(&rt->stalled);
	}
	REGION_SET(rt->region, q->number, 0);
}

void request_send(struct router *rt, struct request *q, const struct qmp_message *m, int fd)
{
	struct conn *c = router_conn(rt, ROUTER_QEMU_SLOT);
	struct qmp_splice s;

	if (fd >= 0) {
		REGION_SET(rt->region, c->out_fd_at, c->out.head);
		REGION_SET(rt->region, c->out_fd, fd);
		REGION_SET(rt->region, q->with_fd, 1);
		REGION_SET(rt->region, router_qemu(rt)->fd_in_flight, 1);
	}
	qmp_splice_command(&s, m, q->number);
	for (unsigned i = 0; i < s.count; i++)
		client_append(rt, ROUTER_QEMU_SLOT, s.piece[i]);
}
