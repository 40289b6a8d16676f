/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end: what QEMU says is cut into messages; the handshake is made; replies go to who
 * asked, events to everybody. Called by router.c alone. QEMU is not trusted more than a client: a
 * reply that nobody asked for is dropped and logged, never handed on.
 *
 * Handshake: everything up to the greeting is skipped (a QEMU >= 10.0 may send the tail of an old
 * reply first). Then one deliberate parse error, whose wording shows the dialect of this QEMU, and
 * qmp_capabilities with oob if it was offered. Only then clients are greeted.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <string.h>

#include "io/log.h"
#include "mux/parts.h"
#include "qmp/session.h"

/* Then other VMs have their turn: a QEMU may send events faster than they can be handed out. */
enum { REPLY_EXTRA = 64, SCANS_PER_TURN = 128 };

static const char CAPABILITIES_OOB[] =
	"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}";
static const char CAPABILITIES[] = "{\"execute\":\"qmp_capabilities\"}";

static void set_state(struct router *rt, enum qemu_state state)
{
	struct qemu *qemu = router_qemu(rt);

	REGION_SET(rt->region, qemu->state, (uint8_t)state);
	REGION_SET(rt->region, qemu->since, rt->now);
}

/* In the caller's transaction: keep the greeting, answer it. */
static void greeted(struct router *rt, const struct qmp_message *m)
{
	struct qemu *qemu = router_qemu(rt);
	struct qmp_message command = { .kind = QMP_MESSAGE_COMMAND, .name = "qmp_capabilities" };
	struct request *q;

	REGION_SET(rt->region, qemu->offers_oob, qmp_session_offers_oob(m));
	queue_clear(rt->region, &qemu->greeting);
	if (!queue_append(rt->region, &qemu->greeting, m->text) ||
	    !queue_append(rt->region, &qemu->greeting, SPAN("\r\n")))
		return;
	client_append(rt, ROUTER_QEMU_SLOT, qmp_session_dialect_probe());
	command.text = qemu->offers_oob ? span_of(CAPABILITIES_OOB) : span_of(CAPABILITIES);
	q = request_new(rt, ROUTER_QEMU_SLOT, &command);
	request_send(rt, q, &command, -1);
	set_state(rt, QEMU_NEGOTIATING);
}

/* qmend's own command has been answered. */
static void own_reply(struct router *rt, const struct request *q, const struct qmp_message *m)
{
	if (strcmp(q->name, "qmp_capabilities") != 0)
		return;
	if (m->kind != QMP_MESSAGE_RETURN) {
		log_error("vm=%s event=qemu-refused-negotiation", rt->vm);
		return;
	}
	set_state(rt, QEMU_READY);
	if (rt->sink.qemu_ready != NULL)
		rt->sink.qemu_ready(rt->sink.owner);
	log_info("vm=%s event=qemu-ready pid=%" PRIu32 " oob=%d", rt->vm, router_qemu(rt)->pid,
		 router_qemu(rt)->offers_oob);
}

static void deliver(struct router *rt, const struct request *q, const struct qmp_message *m,
		    struct span client_id)
{
	struct qmp_splice s;

	if (!client_is(rt, q->client, q->generation)) {
		log_debug("vm=%s event=reply-without-reader request=%" PRIu64, rt->vm, q->number);
		return;
	}
	qmp_splice_reply(&s, m, client_id);
	client_expect(rt, q->client, qmp_splice_size(&s));
	for (unsigned i = 0; i < s.count; i++)
		client_append(rt, q->client, s.piece[i]);
}

static void reply(struct router *rt, const struct qmp_message *m)
{
	struct span client_id;
	struct request *q = request_of_reply(rt, m->id, &client_id);

	if (q == NULL) {
		if (router_qemu(rt)->state == QEMU_NEGOTIATING && m->kind == QMP_MESSAGE_ERROR)
			REGION_SET(rt->region, router_qemu(rt)->dialect,
				   (uint8_t)qmp_session_dialect(m));
		else
			log_warning("vm=%s event=stray-reply", rt->vm);
		return;
	}
	if (q->cached != 0 && m->kind == QMP_MESSAGE_RETURN)
		cache_store(rt, q->cached, m->body);
	names_settle(rt, q, m->kind == QMP_MESSAGE_RETURN);
	if (q->tag != 0)
		rt->sink.settled(rt->sink.owner, q->tag, m->kind == QMP_MESSAGE_RETURN);
	if (q->client == ROUTER_QEMU_SLOT)
		own_reply(rt, q, m);
	else
		deliver(rt, q, m, client_id);
	request_free(rt, q);
	if (q->with_fd && m->kind == QMP_MESSAGE_ERROR)
		names_collect_stray(rt);
	slots_add(&rt->pending, q->client);
	slots_add(&rt->unread, q->client);
}

/* Clients whose command waits for the answer to request @number get it too. A reply that is an
 * error is not shared: they ask themselves. */
static void share(struct router *rt, uint64_t number, const struct qmp_message *m)
{
	slots_each(&rt->present, i) {
		struct client *c = router_client(rt, i);

		if (router_conn(rt, i)->state != CONN_OPEN || c->pending_count == 0 ||
		    c->pending[0].waits_for != number)
			continue;
		if (m->kind == QMP_MESSAGE_RETURN) {
			client_share(rt, i, number, m->body);
		} else {
			REGION_SET(rt->region, c->pending[0].waits_for, 0);
			region_commit(rt->region);
			slots_add(&rt->pending, i);
		}
	}
}

static void event(struct router *rt, const struct qmp_message *m)
{
	if (rt->sink.event != NULL && rt->sink.event(rt->sink.owner, m) != ROUTER_PASS)
		return;
	slots_each(&rt->present, i) {
		if (router_conn(rt, i)->state != CONN_OPEN || !router_client(rt, i)->negotiated)
			continue;
		client_expect(rt, i, m->text.len);
		client_append(rt, i, m->text);
		client_append(rt, i, SPAN("\r\n"));
	}
}

static uint32_t negotiated_clients(const struct router *rt)
{
	uint32_t n = 0;

	slots_each(&rt->present, i)
		if (router_conn(rt, i)->state == CONN_OPEN && router_client(rt, i)->negotiated)
			n++;
	return n;
}

/* How often a message may have to be kept. */
static uint32_t copies_of(const struct router *rt, const struct qmp_message *m)
{
	return m->kind == QMP_MESSAGE_EVENT ? negotiated_clients(rt) + 1 : 2;
}

/* In the transaction that consumes it. */
static void handle(struct router *rt, const struct qmp_message *m)
{
	enum qemu_state state = (enum qemu_state)router_qemu(rt)->state;

	switch (m->kind) {
	case QMP_MESSAGE_GREETING:
		if (state == QEMU_CONNECTED)
			greeted(rt, m);
		else
			log_warning("vm=%s event=second-greeting", rt->vm);
		return;
	case QMP_MESSAGE_RETURN:
	case QMP_MESSAGE_ERROR:
		if (state != QEMU_CONNECTED)
			reply(rt, m);
		return;
	case QMP_MESSAGE_EVENT:
		if (state == QEMU_READY)
			event(rt, m);
		return;
	case QMP_MESSAGE_COMMAND:
	case QMP_MESSAGE_OOB:
		log_warning("vm=%s event=qemu-sent-a-command", rt->vm);
		return;
	}
}

static void note_progress(struct router *rt, uint64_t keep)
{
	struct qemu *qemu = router_qemu(rt);

	region_edit(rt->region, &qemu->framer, sizeof(qemu->framer));
	qemu->framer = rt->framers[ROUTER_QEMU_SLOT];
	queue_consume(rt->region, &router_conn(rt, ROUTER_QEMU_SLOT)->in, keep);
}

/* The number of the request that this reply answers, if others wait for it too. */
static uint64_t shared_number(struct router *rt, const struct qmp_message *m)
{
	struct span client_id;
	const struct request *q = NULL;

	if (rt->coalesce)
		q = request_of_reply(rt, m->id, &client_id);
	return q != NULL && q->shared ? q->number : 0;
}

static void got_message(struct router *rt)
{
	const struct qmp_framer *f = &rt->framers[ROUTER_QEMU_SLOT];
	struct span text = queue_gather(rt->region, &router_conn(rt, ROUTER_QEMU_SLOT)->in,
					f->begin, f->end, &rt->message);
	bool was_ready = router_qemu(rt)->state == QEMU_READY;
	struct qmp_message m;
	struct qmp_error e;
	uint64_t number = 0;

	if (!qmp_reply_parse(text, &m, &e)) {
		if (router_qemu(rt)->state != QEMU_CONNECTED)
			log_warning("vm=%s event=bad-message-from-qemu error=%s", rt->vm,
				    log_quote(e.text).text);
	} else if (!router_make_room(rt, text.len + REPLY_EXTRA, copies_of(rt, &m)) &&
		   m.kind == QMP_MESSAGE_GREETING) {
		log_error("vm=%s event=greeting-too-large", rt->vm);
	} else {
		number = shared_number(rt, &m);
		if (number != 0) /* first: the request must be there as long as some wait for it */
			share(rt, number, &m);
		handle(rt, &m);
	}
	note_progress(rt, f->end);
	region_commit(rt->region);
	if (!was_ready && router_qemu(rt)->state == QEMU_READY)
		slots_each(&rt->present, i)
			if (router_conn(rt, i)->state == CONN_OPEN)
				client_greet(rt, i);
}

void qemu_scan(struct router *rt)
{
	struct conn_link *l = &rt->links[ROUTER_QEMU_SLOT];
	struct qmp_framer *f = &rt->framers[ROUTER_QEMU_SLOT];

	slots_remove(&rt->unread, ROUTER_QEMU_SLOT);
	for (unsigned n = 0; l->conn->state == CONN_OPEN; n++) {
		struct span in = queue_view(rt->region, &l->conn->in, f->pos, &l->cursor);
		size_t used;

		if (in.len == 0)
			break;
		if (n == SCANS_PER_TURN) {
			slots_add(&rt->unread, ROUTER_QEMU_SLOT);
			return;
		}
		switch (qmp_framer_feed(f, in, &used)) {
		case QMP_FRAMER_NEED_MORE:
			break;
		case QMP_FRAMER_BAD:
			if (router_qemu(rt)->state != QEMU_CONNECTED)
				log_warning("vm=%s event=garbage-from-qemu", rt->vm);
			break;
		case QMP_FRAMER_GOT:
			got_message(rt);
			break;
		}
	}
	slots_add(&rt->changed, ROUTER_QEMU_SLOT);
	if (l->conn->state == CONN_OPEN && f->begin > l->conn->in.tail) {
		note_progress(rt, f->begin);
		region_commit(rt->region);
	}
}

void qemu_lost(struct router *rt)
{
	struct qemu *qemu = router_qemu(rt);

	log_info("vm=%s event=qemu-gone pid=%" PRIu32, rt->vm, qemu->pid);
	if (rt->sink.qemu_gone != NULL)
		rt->sink.qemu_gone(rt->sink.owner);
	set_state(rt, QEMU_ABSENT);
	for (uint32_t i = 0; i < ROUTER_REQUESTS; i++) {
		struct request *q = region_at(rt->region, SECTION_REQUEST, i);

		if (q->number != 0)
			request_free(rt, q);
	}
	names_clear(rt);
	cache_clear(rt);
	queue_clear(rt->region, &qemu->greeting);
	slots_each(&rt->present, i)
		if (router_conn(rt, i)->state == CONN_OPEN && router_client(rt, i)->greeted)
			client_drain(rt, i);
	region_commit(rt->region);
	conn_close(&rt->links[ROUTER_QEMU_SLOT]);
	slots_add(&rt->changed, ROUTER_QEMU_SLOT);
}
