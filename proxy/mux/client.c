/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One client: what it says is cut into texts, what it is told is queued, and it comes to an end.
 * Called by the other parts of the router. What becomes of a text when its turn comes is turn.c's.
 *
 * Every text becomes `pending`, good or bad, so that errors of qmend's own come in their place in
 * the order of replies. Only OOB commands leave when they are read, as they do in QEMU. At most
 * ROUTER_PENDING texts wait, as in QEMU; then reading stops.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/log.h"
#include "mux/parts.h"

static const uint64_t DRAIN_NS = UINT64_C(5000000000);

bool client_is(const struct router *rt, uint32_t slot, uint32_t generation)
{
	const struct conn *c = router_conn(rt, slot);

	return slot != ROUTER_QEMU_SLOT && c->state == CONN_OPEN && c->generation == generation;
}

bool client_is_doomed(const struct router *rt, uint32_t slot)
{
	return router_client(rt, slot)->doomed != 0;
}

static bool may_append(const struct router *rt, uint32_t slot)
{
	return !router_conn(rt, slot)->out_broken &&
	       (slot == ROUTER_QEMU_SLOT || !client_is_doomed(rt, slot));
}

/* Half a message must not be sent. */
static void appended(struct router *rt, uint32_t slot, bool fitted)
{
	if (!fitted && slot == ROUTER_QEMU_SLOT)
		abort();
	if (!fitted)
		REGION_SET(rt->region, router_client(rt, slot)->doomed, 1);
	slots_add(&rt->unsent, slot);
	slots_add(&rt->changed, slot);
}

void client_append(struct router *rt, uint32_t slot, struct span bytes)
{
	if (may_append(rt, slot))
		appended(rt, slot, queue_append(rt->region, &router_conn(rt, slot)->out, bytes));
}

void client_append_queue(struct router *rt, uint32_t slot, const struct queue *bytes)
{
	if (may_append(rt, slot))
		appended(rt, slot,
			 queue_append_queue(rt->region, &router_conn(rt, slot)->out, bytes));
}

void client_expect(struct router *rt, uint32_t slot, uint64_t size)
{
	struct client *c = router_client(rt, slot);

	if (size > c->largest)
		REGION_SET(rt->region, c->largest, size);
}

bool client_must_read(const struct router *rt, uint32_t slot)
{
	return queue_length(&router_conn(rt, slot)->out) > rt->queue_limit / 2;
}

void client_sent(struct router *rt, uint32_t slot)
{
	struct client *c = router_client(rt, slot);
	uint64_t waiting = queue_length(&router_conn(rt, slot)->out);

	if (waiting == 0 && c->largest != 0) {
		REGION_SET(rt->region, c->largest, 0);
		region_commit(rt->region);
	}
	if (waiting > rt->queue_limit + c->largest)
		client_close(rt, slot, "does not read what it is sent");
	else if (c->pending_count > 0 && !client_must_read(rt, slot))
		slots_add(&rt->pending, slot);
}

void client_greet(struct router *rt, uint32_t slot)
{
	struct client *c = router_client(rt, slot);
	const struct queue *greeting = &router_qemu(rt)->greeting;
	struct span text;

	if (c->greeted)
		return;
	router_make_room(rt, queue_length(greeting), 1);
	if (router_conn(rt, slot)->state != CONN_OPEN)
		return;
	text = queue_gather(rt->region, greeting, greeting->tail, greeting->head, &rt->text);
	REGION_SET(rt->region, c->greeted, 1);
	client_append(rt, slot, text);
	region_commit(rt->region);
	slots_add(&rt->pending, slot);
}

/* Where the bytes begin that are still needed. */
static uint64_t first_needed(const struct client *c)
{
	return c->pending_count > 0 ? c->pending[0].start : c->keep;
}

void client_drop_read(struct router *rt, uint32_t slot)
{
	queue_consume(rt->region, &router_conn(rt, slot)->in,
		      first_needed(router_client(rt, slot)));
}

/* The framer has come so far: final in the caller's transaction. */
static void note_progress(struct router *rt, uint32_t slot, uint64_t keep)
{
	struct client *c = router_client(rt, slot);

	region_edit(rt->region, &c->keep, sizeof(c->keep));
	region_edit(rt->region, &c->framer, sizeof(c->framer));
	c->framer = rt->framers[slot];
	c->keep = keep;
}

static void make_pending(struct router *rt, uint32_t slot, bool bad)
{
	struct client *c = router_client(rt, slot);
	const struct qmp_framer *f = &rt->framers[slot];
	struct pending *p = &c->pending[c->pending_count];

	region_edit(rt->region, p, sizeof(*p));
	*p = (struct pending){
		.framer = *f,
		.start = f->begin,
		.fd = conn_claim_fd(&rt->links[slot], f->end),
		.bad = bad,
	};
	REGION_SET(rt->region, c->pending_count, c->pending_count + 1);
	note_progress(rt, slot, f->end);
	client_drop_read(rt, slot);
	region_commit(rt->region);
	slots_add(&rt->pending, slot);
}

/* Nothing is complete, but blanks and what an error made void need not be kept. */
static void drop_blanks(struct router *rt, uint32_t slot)
{
	struct client *c = router_client(rt, slot);

	if (c->keep == rt->framers[slot].begin)
		return;
	note_progress(rt, slot, rt->framers[slot].begin);
	client_drop_read(rt, slot);
	region_commit(rt->region);
}

static struct span got_text(struct router *rt, uint32_t slot)
{
	const struct qmp_framer *f = &rt->framers[slot];

	return queue_gather(rt->region, &router_conn(rt, slot)->in, f->begin, f->end, &rt->text);
}

enum oob_result { OOB_SENT, OOB_NONE, OOB_WAITS, OOB_CLOSED };

/* Forward what the framer has just found if it is an OOB command. */
static enum oob_result try_oob(struct router *rt, uint32_t slot)
{
	struct client *c = router_client(rt, slot);
	struct qmp_message m;
	struct qmp_error e;
	struct request *q;
	struct span text;
	int fd;

	if (!c->oob || router_qemu(rt)->state != QEMU_READY)
		return OOB_NONE;
	text = got_text(rt, slot);
	if (qmp_command_parse(text, &rt->framers[slot], true, &m, &e) != QMP_COMMAND_OK ||
	    m.kind != QMP_MESSAGE_OOB || c->read_only)
		return OOB_NONE;
	if (!request_has_room(rt, true))
		return OOB_WAITS;
	if (!router_make_room(rt, request_room(&m), 1)) {
		client_close(rt, slot, "memory limit of this VM reached");
		return OOB_CLOSED;
	}
	if (router_conn(rt, slot)->state != CONN_OPEN)
		return OOB_CLOSED;
	fd = conn_claim_fd(&rt->links[slot], rt->framers[slot].end);
	q = request_new(rt, slot, &m);
	request_send(rt, q, &m, -1);
	note_progress(rt, slot, rt->framers[slot].end);
	client_drop_read(rt, slot);
	region_commit(rt->region);
	if (fd >= 0)
		close(fd);
	return OOB_SENT;
}

/* One step of the framer; false when it can do no more now. */
static bool scan_once(struct router *rt, uint32_t slot)
{
	struct client *c = router_client(rt, slot);
	struct conn_link *l = &rt->links[slot];
	struct span in = queue_view(rt->region, &l->conn->in, rt->framers[slot].pos, &l->cursor);
	size_t used;

	if (in.len == 0) {
		drop_blanks(rt, slot);
		return false;
	}
	rt->framers[slot].dialect = router_qemu(rt)->dialect;
	switch (qmp_framer_feed(&rt->framers[slot], in, &used)) {
	case QMP_FRAMER_NEED_MORE:
		return true;
	case QMP_FRAMER_BAD:
		make_pending(rt, slot, true);
		return true;
	case QMP_FRAMER_GOT:
		break;
	}
	switch (try_oob(rt, slot)) {
	case OOB_SENT:
		return true;
	case OOB_WAITS:
		rt->framers[slot] = c->framer; /* found again when an OOB reply has come */
		slots_add(&rt->stalled, slot);
		return false;
	case OOB_CLOSED:
		return false;
	case OOB_NONE:
		break;
	}
	make_pending(rt, slot, false);
	return true;
}

void client_scan(struct router *rt, uint32_t slot)
{
	const struct client *c = router_client(rt, slot);

	slots_remove(&rt->unread, slot);
	while (router_conn(rt, slot)->state == CONN_OPEN && c->pending_count < ROUTER_PENDING)
		if (!scan_once(rt, slot))
			break;
	slots_add(&rt->changed, slot);
}

bool client_is_done(const struct router *rt, uint32_t slot)
{
	const struct conn *c = router_conn(rt, slot);
	const struct client *client = router_client(rt, slot);
	bool sent = c->out.head == c->out.tail || c->out_broken;

	if (client->doomed)
		return true;
	if (c->state == CONN_DRAINING)
		return sent;
	/* Like QEMU: what a client that has gone altogether still wanted is not done any more. */
	if (c->in_ended && c->out_broken)
		return true;
	return c->in_ended && sent && client->pending_count == 0 && client->outstanding == 0 &&
	       client->outstanding_oob == 0 && !slots_has(&rt->unread, slot);
}

void client_drain(struct router *rt, uint32_t slot)
{
	struct conn *c = router_conn(rt, slot);
	struct client *client = router_client(rt, slot);

	for (uint32_t i = 0; i < client->pending_count; i++)
		if (client->pending[i].fd >= 0)
			close(client->pending[i].fd);
	REGION_SET(rt->region, client->pending_count, 0);
	REGION_SET(rt->region, c->state, CONN_DRAINING);
	REGION_SET(rt->region, c->deadline, rt->now + DRAIN_NS);
	queue_clear(rt->region, &c->in);
	slots_add(&rt->draining, slot);
	slots_add(&rt->changed, slot);
	slots_add(&rt->unsent, slot);
}

void client_close(struct router *rt, uint32_t slot, const char *why)
{
	struct client *client = router_client(rt, slot);

	log_info("vm=%s event=client-left client=%" PRIu32 " pid=%" PRIu32 " reason=%s", rt->vm,
		 slot, client->pid, log_quote(why).text);
	for (uint32_t i = 0; i < client->pending_count; i++)
		if (client->pending[i].fd >= 0)
			close(client->pending[i].fd);
	names_abandon(rt, slot, router_conn(rt, slot)->generation);
	REGION_SET(rt->region, client->pending_count, 0);
	conn_close(&rt->links[slot]);
	slots_remove(&rt->present, slot);
	slots_remove(&rt->readable, slot);
	slots_remove(&rt->unread, slot);
	slots_remove(&rt->pending, slot);
	slots_remove(&rt->held_back, slot);
	slots_remove(&rt->unsent, slot);
	slots_remove(&rt->stalled, slot);
	slots_remove(&rt->draining, slot);
	slots_add(&rt->changed, slot);
}
