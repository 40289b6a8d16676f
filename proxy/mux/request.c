/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: commands that are on their way at QEMU, by number. The number travels in the id (see
 * qmp/id.h); who asked is remembered here as slot and generation, never as a pointer, because the
 * client may be gone when QEMU answers. Used by the other parts of the router.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mux/parts.h"
#include "qmp/id.h"

/* What wrapping an id adds at most: "id":[NUMBER, and so on. */
enum { ADDED_BYTES = 48, WRAPPED_TOKENS = 7 };

/* Numbers are short, because QEMU reads them byte by byte, and are used again late, so that a reply
 * that QEMU should send twice most likely finds nobody. */
enum { NUMBER_MAX = 99 };
_Static_assert((int)NUMBER_MAX > (int)ROUTER_REQUESTS, "there must be one that is free");
_Static_assert((int)ROUTER_REQUESTS >= (int)ROUTER_IN_BAND_MAX + (int)ROUTER_OOB_MAX,
	       "there is a record for each");

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
	const struct qemu *qemu = router_qemu(rt);

	return oob ? qemu->oob < ROUTER_OOB_MAX : qemu->in_band < ROUTER_IN_BAND_MAX;
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
	struct qemu *qemu = router_qemu(rt);
	struct client *c = router_client(rt, q->client);
	uint32_t *here = q->oob ? &qemu->oob : &qemu->in_band;
	uint32_t *there = q->oob ? &c->outstanding_oob : &c->outstanding;

	REGION_SET(rt->region, *here, *here + (uint32_t)by);
	if (client_is(rt, q->client, q->generation))
		REGION_SET(rt->region, *there, *there + (uint32_t)by);
}

/* The next number that no request on its way has. */
static uint64_t next_number(struct router *rt)
{
	struct qemu *qemu = router_qemu(rt);
	uint64_t number = qemu->next_number;

	while (request_find(rt, number) != NULL)
		number = number % NUMBER_MAX + 1;
	REGION_SET(rt->region, qemu->next_number, number % NUMBER_MAX + 1);
	return number;
}

struct request *request_new(struct router *rt, uint32_t slot, const struct qmp_message *m)
{
	struct request *q = find_free(rt);
	uint64_t number = next_number(rt);

	if (q == NULL)
		return NULL;
	region_edit(rt->region, q, sizeof(*q));
	*q = (struct request){
		.number = number,
		.client = slot,
		.generation = router_conn(rt, slot)->generation,
		.oob = m->kind == QMP_MESSAGE_OOB,
		.fd_name = REGION_NONE,
	};
	queue_init(&q->id);
	snprintf(q->name, sizeof(q->name), "%.*s", ROUTER_COMMAND_MAX - 1, m->name);
	count(rt, q, 1);
	if (slot != ROUTER_QEMU_SLOT) {
		struct client *c = router_client(rt, slot);

		REGION_SET(rt->region, c->commands, c->commands + 1);
	}
	return q;
}

void request_free(struct router *rt, struct request *q)
{
	struct qemu *qemu = router_qemu(rt);

	count(rt, q, -1);
	if (queue_length(&q->id) > 0)
		queue_clear(rt->region, &q->id);
	if (q->takes_fd)
		REGION_SET(rt->region, qemu->fd_in_flight, 0);
	if (q->oob) {
		slots_each(&rt->stalled, i)
			slots_add(&rt->unread, i);
		slots_clear(&rt->stalled);
	}
	REGION_SET(rt->region, q->number, 0);
}

/* Would QEMU take @text with @tokens more in it? A shorter text is never near its limits. */
static bool has_margin(struct span text, uint32_t tokens)
{
	struct qmp_framer f = { 0 };
	size_t used;

	if (text.len < QMP_MAX_TOKENS - ADDED_BYTES)
		return true;
	if (qmp_framer_feed(&f, span_cut(text, 0, text.len - 1), &used) != QMP_FRAMER_NEED_MORE)
		return false;
	return f.tokens + 1 + tokens <= QMP_MAX_TOKENS && f.bytes + ADDED_BYTES <= QMP_MAX_BYTES;
}

bool request_fits(const struct qmp_message *m)
{
	return has_margin(m->text, m->id.p == NULL ? 4 : 0);
}

/* The id waits here for the reply, as QEMU would print it. */
static void keep_id(struct router *rt, struct request *q, struct span id)
{
	if (id.p == NULL)
		return;
	if (id.len <= ROUTER_ID_MAX && qmp_id_is_plain(id)) {
		memcpy(q->id_text, id.p, id.len);
		q->id_length = (uint32_t)id.len;
		return;
	}
	qmp_buffer_clear(&rt->answer);
	if (!qmp_print_value(&rt->answer, id) ||
	    !queue_append(rt->region, &q->id, qmp_buffer_span(&rt->answer)))
		abort(); /* room was made for six bytes for each */
}

/* May the number alone travel? Then QEMU has least to read, byte by byte. It must, where QEMU's
 * limits leave no room to wrap the id. */
static bool must_be_bare(const struct qmp_message *m)
{
	return m->id.p == NULL || (m->id.len <= ROUTER_ID_MAX && qmp_id_is_plain(m->id)) ||
	       m->depth >= QMP_MAX_DEPTH || !has_margin(m->text, WRAPPED_TOKENS);
}

/* Add @s to @out without the blanks between tokens. */
static void add_compact(struct qmp_buffer *out, struct span s)
{
	char *to = qmp_buffer_reserve(out, s.len);
	size_t n = 0;
	char quote = 0;

	if (to == NULL)
		abort(); /* the cap is above ROUTER_COMPACT_MAX */
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (quote == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n'))
			continue;
		to[n++] = c;
		if (quote == 0)
			quote = c == '"' || c == '\'' ? c : 0;
		else if (c == '\\' && i + 1 < s.len)
			to[n++] = s.p[++i];
		else if (c == quote)
			quote = 0;
	}
	out->len += n;
}

/* Blanks between tokens are not sent: each costs QEMU 2 to 3 microseconds (measured, 7.2). */
static void append_command(struct router *rt, const struct qmp_splice *s)
{
	if (qmp_splice_size(s) > ROUTER_COMPACT_MAX) {
		for (unsigned i = 0; i < s->count; i++)
			client_append(rt, ROUTER_QEMU_SLOT, s->piece[i]);
		return;
	}
	qmp_buffer_clear(&rt->command);
	for (unsigned i = 0; i < s->count; i++)
		add_compact(&rt->command, s->piece[i]);
	client_append(rt, ROUTER_QEMU_SLOT, qmp_buffer_span(&rt->command));
}

void request_send(struct router *rt, struct request *q, const struct qmp_message *m, int fd)
{
	struct conn *c = router_conn(rt, ROUTER_QEMU_SLOT);
	struct qmp_splice s;

	if (fd >= 0) {
		REGION_SET(rt->region, c->out_fd_at, c->out.head);
		REGION_SET(rt->region, c->out_fd, fd);
		REGION_SET(rt->region, q->with_fd, 1);
	}
	/* Also without one: in QEMU it would take that of the next command. */
	if (access_takes_fd(m->name)) {
		REGION_SET(rt->region, q->takes_fd, 1);
		REGION_SET(rt->region, router_qemu(rt)->fd_in_flight, 1);
	}
	q->bare = must_be_bare(m);
	if (q->bare) {
		keep_id(rt, q, m->id);
		qmp_splice_bare(&s, m, q->number);
	} else {
		qmp_splice_command(&s, m, q->number);
	}
	append_command(rt, &s);
}

uint64_t request_room(const struct qmp_message *m)
{
	/* An id that stays here may be printed longer than it was written. */
	bool printed = must_be_bare(m) && m->id.len > ROUTER_ID_MAX;

	return m->text.len + ADDED_BYTES + (printed ? 6 * m->id.len : 0);
}

struct request *request_of_reply(struct router *rt, struct span id, struct span *client_id)
{
	struct request *q;
	uint64_t number = 0;
	bool bare = qmp_id_number(id, &number);

	*client_id = (struct span){ 0 };
	if (!bare && !qmp_id_split(id, &number, client_id))
		return NULL;
	q = request_find(rt, number);
	if (q == NULL || q->bare != bare)
		return NULL;
	if (q->id_length > 0)
		*client_id = (struct span){ q->id_text, q->id_length };
	else if (queue_length(&q->id) > 0)
		*client_id = queue_gather(rt->region, &q->id, q->id.tail, q->id.head, &rt->text);
	return q;
}
