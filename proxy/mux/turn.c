/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's turn: its first pending text is answered here or goes to QEMU. Called by router.c for
 * each client in turn; it does not know what comes back: qemu.c delivers replies.
 *
 * An answer made here waits until nothing of this client is outstanding at QEMU, so that it comes
 * in its place in the order of replies. Everything is one transaction, which turn_done() ends.
 */
#include <string.h>
#include <unistd.h>

#include "mux/parts.h"
#include "qmp/session.h"

static const struct span NO_ID = { NULL, 0 };

enum { ANSWER_EXTRA = 256 }; /* bytes around an id or a body in an answer */

/* What client_turn() looks at. */
struct turn {
	struct router *rt;
	uint32_t slot;
	struct client *client;
	struct pending *pending;
	struct qmp_message m;
	struct qmp_error e;
};

/* The first pending text has been dealt with, in the caller's transaction. */
static void pop_pending(struct turn *t)
{
	struct client *c = t->client;
	struct region *r = t->rt->region;

	region_edit(r, c->pending, c->pending_count * sizeof(c->pending[0]));
	REGION_SET(r, c->pending_count, c->pending_count - 1);
	memmove(&c->pending[0], &c->pending[1], c->pending_count * sizeof(c->pending[0]));
	client_drop_read(t->rt, t->slot);
	slots_add(&t->rt->unread, t->slot);
	if (c->pending_count > 0)
		slots_add(&t->rt->pending, t->slot);
}

/* End of the transaction that dealt with the first pending text; @unused is closed. */
static enum client_turn turn_done(struct turn *t, int unused)
{
	pop_pending(t);
	region_commit(t->rt->region);
	if (unused >= 0)
		close(unused);
	return TURN_DONE;
}

/* Send what lies in rt->answer as the answer to the first pending text. */
static enum client_turn answer(struct turn *t)
{
	struct router *rt = t->rt;

	router_make_room(rt, rt->answer.len, 1);
	if (router_conn(rt, t->slot)->state != CONN_OPEN)
		return TURN_NOTHING;
	client_expect(rt, t->slot, rt->answer.len);
	client_append(rt, t->slot, qmp_buffer_span(&rt->answer));
	return turn_done(t, t->pending->fd);
}

static enum client_turn answer_error(struct turn *t, struct span id)
{
	qmp_buffer_clear(&t->rt->answer);
	if (!qmp_build_error(&t->rt->answer, &t->e, id)) {
		client_close(t->rt, t->slot, "id too large");
		return TURN_NOTHING;
	}
	return answer(t);
}

static enum client_turn answer_return(struct turn *t, struct span body)
{
	qmp_buffer_clear(&t->rt->answer);
	if (!qmp_build_return(&t->rt->answer, body, t->m.id)) {
		client_close(t->rt, t->slot, "id too large");
		return TURN_NOTHING;
	}
	return answer(t);
}

static enum client_turn answer_status(struct turn *t)
{
	struct qmp_buffer *body = &t->rt->message;

	qmp_buffer_clear(body);
	status_print(t->rt, body);
	return answer_return(t, qmp_buffer_span(body));
}

/* x-qmend-status takes no arguments; QEMU words it so for its own commands. */
static enum client_turn status_turn(struct turn *t)
{
	char name[QMP_NAME_MAX];

	if (!qmp_first_key(t->m.body, name, sizeof(name)))
		return answer_status(t);
	qmp_error_set(&t->e, "Parameter '%s' is unexpected", name);
	return answer_error(t, t->m.id);
}

/* The kept value goes from queue to queue; only what stands around it is built. */
static enum client_turn answer_cached(struct turn *t, uint8_t number)
{
	static const size_t before = sizeof("{\"return\": ") - 1;
	struct router *rt = t->rt;
	const struct queue *body = cache_body(rt, number);
	struct conn *c = router_conn(rt, t->slot);
	struct span frame;

	qmp_buffer_clear(&rt->answer);
	if (!qmp_build_return(&rt->answer, SPAN(""), t->m.id)) {
		client_close(rt, t->slot, "id too large");
		return TURN_NOTHING;
	}
	frame = qmp_buffer_span(&rt->answer);
	router_make_room(rt, frame.len + queue_length(body), 1);
	if (c->state != CONN_OPEN)
		return TURN_NOTHING;
	client_expect(rt, t->slot, frame.len + queue_length(body));
	client_append(rt, t->slot, span_cut(frame, 0, before));
	client_append_queue(rt, t->slot, body);
	client_append(rt, t->slot, span_cut(frame, before, frame.len));
	return turn_done(t, t->pending->fd);
}

static enum client_turn negotiate(struct turn *t)
{
	bool oob = false;

	if (qmp_session_negotiate(&t->m, router_qemu(t->rt)->offers_oob, &oob, &t->e) !=
	    QMP_SESSION_NEGOTIATED)
		return answer_error(t, t->m.id);
	/* Here, because making room may end a transaction. */
	router_make_room(t->rt, 6 * t->m.id.len + ANSWER_EXTRA, 1);
	if (router_conn(t->rt, t->slot)->state != CONN_OPEN)
		return TURN_NOTHING;
	region_edit(t->rt->region, &t->client->negotiated, sizeof(t->client->negotiated));
	region_edit(t->rt->region, &t->client->oob, sizeof(t->client->oob));
	t->client->negotiated = 1;
	t->client->oob = oob;
	return answer_return(t, SPAN("{}"));
}

static enum client_turn forward(struct turn *t)
{
	struct router *rt = t->rt;
	bool oob = t->m.kind == QMP_MESSAGE_OOB;
	bool takes_fd = access_takes_fd(t->m.name);
	int fd = takes_fd ? t->pending->fd : -1;
	int unused = fd < 0 ? t->pending->fd : -1;
	uint8_t cached = cache_number(&t->m);
	struct request *q;

	if (!request_has_room(rt, oob) || (takes_fd && router_qemu(rt)->fd_in_flight))
		return TURN_FULL;
	if (!request_fits(&t->m)) {
		qmp_error_set(&t->e, "JSON token count limit exceeded");
		return t->client->outstanding > 0 ? TURN_NOTHING : answer_error(t, NO_ID);
	}
	if (!router_make_room(rt, request_room(&t->m), 1)) {
		client_close(rt, t->slot, "memory limit of this VM reached");
		return TURN_NOTHING;
	}
	if (router_conn(rt, t->slot)->state != CONN_OPEN)
		return TURN_NOTHING;
	q = request_new(rt, t->slot, &t->m);
	names_note(rt, q, &t->m);
	q->cached = cached;
	q->shared = rt->coalesce && access_is_shareable(&t->m);
	request_send(rt, q, &t->m, fd);
	if (rt->sink.command != NULL)
		q->tag = rt->sink.command(rt->sink.owner, &t->m);
	REGION_SET(rt->region, router_qemu(rt)->turn, t->slot);
	return turn_done(t, unused);
}

/* Is the same query on its way, so that its answer will do? */
static bool wait_for_shared(struct turn *t)
{
	struct router *rt = t->rt;

	if (!rt->coalesce || !access_is_shareable(&t->m) || t->client->outstanding > 0)
		return false;
	for (uint32_t i = 0; i < ROUTER_REQUESTS; i++) {
		const struct request *q = region_at(rt->region, SECTION_REQUEST, i);

		if (q->number == 0 || !q->shared || strcmp(q->name, t->m.name) != 0)
			continue;
		REGION_SET(rt->region, t->pending->waits_for, q->number);
		region_commit(rt->region);
		return true;
	}
	return false;
}

void client_share(struct router *rt, uint32_t slot, uint64_t number, struct span body)
{
	struct turn t = { .rt = rt, .slot = slot, .client = router_client(rt, slot) };
	struct span text;

	t.pending = &t.client->pending[0];
	if (router_conn(rt, slot)->state != CONN_OPEN || t.client->pending_count == 0 ||
	    t.pending->waits_for != number)
		return;
	text = queue_gather(rt->region, &router_conn(rt, slot)->in, t.pending->start,
			    t.pending->framer.end, &rt->text);
	if (qmp_command_parse(text, &t.pending->framer, t.client->oob, &t.m, &t.e) ==
		    QMP_COMMAND_OK &&
	    answer_return(&t, body) == TURN_DONE)
		slots_add(&rt->changed, slot);
}

/* Must this command not get to QEMU? */
static bool is_refused(struct turn *t)
{
	if (strncmp(t->m.name, "x-qmend-", strlen("x-qmend-")) == 0)
		return !qmp_error_class(&t->e, QMP_ERROR_COMMAND_NOT_FOUND,
					"The command %s has not been found", t->m.name);
	if (t->client->read_only && !access_read_only_allows(t->m.name))
		return !qmp_error_set(&t->e, "The command %s is refused: this socket is read-only",
				      t->m.name);
	return false;
}

/* A well-formed command whose answer is decided here. */
static enum client_turn command_turn(struct turn *t)
{
	struct router *rt = t->rt;
	bool alone = t->client->outstanding == 0;
	uint8_t number = cache_number(&t->m);

	if (strcmp(t->m.name, "x-qmend-status") == 0)
		return alone ? status_turn(t) : TURN_NOTHING;
	if (router_qemu(rt)->state != QEMU_READY)
		return TURN_NOTHING;
	if (!t->client->negotiated)
		return negotiate(t);
	if (is_refused(t))
		return alone ? answer_error(t, t->m.id) : TURN_NOTHING;
	if (request_find(rt, t->pending->waits_for) != NULL || wait_for_shared(t))
		return TURN_NOTHING;
	if (alone && number != 0 && cache_has(rt, number))
		return answer_cached(t, number);
	return forward(t);
}

enum client_turn client_turn(struct router *rt, uint32_t slot)
{
	struct turn t = { .rt = rt, .slot = slot, .client = router_client(rt, slot) };
	const struct qemu *qemu = router_qemu(rt);
	enum qmp_command_check check = QMP_COMMAND_UNPARSABLE;
	struct qmp_framer framer;
	struct span text;

	if (router_conn(rt, slot)->state != CONN_OPEN || t.client->pending_count == 0 ||
	    client_must_read(rt, slot))
		return TURN_NOTHING;
	t.pending = &t.client->pending[0];
	text = queue_gather(rt->region, &router_conn(rt, slot)->in, t.pending->start,
			    t.pending->framer.end, &rt->text);
	framer = t.pending->framer;
	framer.dialect = qemu->dialect; /* not known when the text came before the greeting */
	if (t.pending->bad)
		qmp_framer_error(&framer, text, &t.e);
	else
		check = qmp_command_parse(text, &framer, t.client->oob, &t.m, &t.e);
	if (check == QMP_COMMAND_OK)
		return command_turn(&t);
	if (qemu->state != QEMU_READY || t.client->outstanding > 0)
		return TURN_NOTHING;
	return answer_error(&t, check == QMP_COMMAND_REJECTED ? t.m.id : NO_ID);
}
