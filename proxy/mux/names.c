/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that clients gave to descriptors with getfd. In QEMU they belong to the monitor, which
 * never closes when a client of qmend leaves; so qmend closes them for it (unless the policy keeps
 * them). Called by client.c when commands go, by qemu.c when replies come, by router.c for the
 * closefd commands that are due.
 *
 * Known limit: a name that another command has consumed (netdev_add fd=NAME) stays in the table
 * until its owner leaves; the closefd is then refused by QEMU, which does no harm.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "mux/parts.h"
#include "qmp/id.h"

static struct fd_name *at(const struct router *rt, uint32_t i)
{
	return region_at(rt->region, SECTION_FD_NAME, i);
}

static void set_state(struct router *rt, struct fd_name *n, enum fd_name_state state)
{
	REGION_SET(rt->region, n->state, (uint8_t)state);
}

static uint32_t find(const struct router *rt, const char *name)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++)
		if (at(rt, i)->state != FD_NAME_FREE && strcmp(at(rt, i)->name, name) == 0)
			return i;
	return REGION_NONE;
}

static uint32_t find_free(const struct router *rt)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++)
		if (at(rt, i)->state == FD_NAME_FREE)
			return i;
	return REGION_NONE;
}

/* getfd: the name has a new owner, also when there was one (QEMU replaces it silently). */
static bool note_getfd(struct router *rt, struct request *q, const char *name, struct qmp_error *e)
{
	uint32_t i = find(rt, name);

	if (i == REGION_NONE)
		i = find_free(rt);
	if (i == REGION_NONE)
		return qmp_error_set(e,
				     "qmend holds %d names of file descriptors for its clients "
				     "already; close some with closefd",
				     ROUTER_FD_NAMES);
	region_edit(rt->region, at(rt, i), sizeof(*at(rt, i)));
	*at(rt, i) = (struct fd_name){
		.state = FD_NAME_ASKED,
		.client = q->client,
		.generation = q->generation,
	};
	snprintf(at(rt, i)->name, sizeof(at(rt, i)->name), "%s", name);
	q->fd_name = i;
	return true;
}

bool names_note(struct router *rt, struct request *q, const struct qmp_message *m,
		struct qmp_error *e)
{
	bool getfd = strcmp(m->name, "getfd") == 0;
	char name[ROUTER_FD_NAME_MAX];
	struct span value;

	if (rt->keep_fd_names || (!getfd && strcmp(m->name, "closefd") != 0))
		return true;
	value = m->body.p == NULL ? m->body : qmp_member(m->body, "fdname");
	if (value.p == NULL || (value.p[0] != '"' && value.p[0] != '\''))
		return true; /* QEMU will refuse it */
	if (!qmp_string(value, name, sizeof(name)))
		return !getfd || qmp_error_set(e,
					       "Parameter 'fdname': qmend takes names of at most "
					       "%d bytes",
					       ROUTER_FD_NAME_MAX - 1);
	if (getfd)
		return note_getfd(rt, q, name, e);
	q->fd_name = find(rt, name);
	return true;
}

void names_settle(struct router *rt, const struct request *q, bool succeeded)
{
	struct fd_name *n;

	if (q->fd_name == REGION_NONE)
		return;
	n = at(rt, q->fd_name);
	if (strcmp(q->name, "closefd") == 0) {
		if (succeeded || n->state == FD_NAME_CLOSING)
			set_state(rt, n, FD_NAME_FREE);
	} else if (n->client != q->client || n->generation != q->generation) {
		return; /* somebody else has taken the name since */
	} else if (!succeeded) {
		set_state(rt, n, FD_NAME_FREE);
	} else {
		set_state(rt, n,
			  client_is(rt, q->client, q->generation) ? FD_NAME_HELD
								  : FD_NAME_ABANDONED);
	}
}

void names_abandon(struct router *rt, uint32_t slot, uint32_t generation)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++) {
		struct fd_name *n = at(rt, i);

		if (n->state == FD_NAME_HELD && n->client == slot && n->generation == generation)
			set_state(rt, n, FD_NAME_ABANDONED);
	}
}

/* Ask QEMU to close name @i. */
static void send_closefd(struct router *rt, uint32_t i)
{
	struct qmp_message m = { .kind = QMP_MESSAGE_COMMAND, .name = "closefd" };
	struct request *q = request_new(rt, ROUTER_QEMU_SLOT, &m);

	q->fd_name = i;
	qmp_buffer_clear(&rt->answer);
	qmp_buffer_add(&rt->answer, SPAN("{\"execute\":\"closefd\",\"arguments\":{\"fdname\":"));
	qmp_print_string(&rt->answer, span_of(at(rt, i)->name));
	qmp_buffer_add(&rt->answer, SPAN("}}"));
	m.text = qmp_buffer_span(&rt->answer);
	request_send(rt, q, &m, -1);
	set_state(rt, at(rt, i), FD_NAME_CLOSING);
	region_commit(rt->region);
}

bool names_work(struct router *rt)
{
	if (router_qemu(rt)->state != QEMU_READY || !request_has_room(rt, false))
		return false;
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++) {
		if (at(rt, i)->state == FD_NAME_ABANDONED) {
			router_make_room(rt, REGION_CHUNK, 1);
			send_closefd(rt, i);
			return true;
		}
	}
	return false;
}

void names_clear(struct router *rt)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++)
		if (at(rt, i)->state != FD_NAME_FREE)
			set_state(rt, at(rt, i), FD_NAME_FREE);
}
