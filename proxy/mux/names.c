/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names that clients gave to descriptors with getfd. In QEMU they belong to the monitor, which
 * never closes when a client of qmend leaves; so qmend closes them for it (unless the policy keeps
 * them). Called by client.c when commands go, by qemu.c when replies come, by router.c for the
 * closefd commands that are due.
 *
 * Known limits: a name that another command has consumed (netdev_add fd=NAME) stays in the table
 * until its owner leaves; the closefd is then refused by QEMU, which does no harm. Names beyond
 * ROUTER_FD_NAMES at once, and those of ROUTER_FD_NAME_MAX bytes and more, are not closed. Sets of
 * descriptors (add-fd) belong to the VM and are left alone, though QEMU 7.2 would drop unused ones
 * when its last client leaves.
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
	if (state == FD_NAME_ABANDONED)
		rt->names_due = true;
	REGION_SET(rt->region, n->state, (uint8_t)state);
}

/* The name as QEMU holds it. */
static uint32_t find(const struct router *rt, const char *name)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++)
		if ((at(rt, i)->state == FD_NAME_HELD || at(rt, i)->state == FD_NAME_ABANDONED) &&
		    strcmp(at(rt, i)->name, name) == 0)
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

/* The name belongs to whoever asked once QEMU has said yes. */
static void note_getfd(struct router *rt, struct request *q, const char *name)
{
	uint32_t i = find_free(rt);

	if (i == REGION_NONE)
		return;
	region_edit(rt->region, at(rt, i), sizeof(*at(rt, i)));
	*at(rt, i) = (struct fd_name){
		.state = FD_NAME_ASKED,
		.client = q->client,
		.generation = q->generation,
	};
	snprintf(at(rt, i)->name, sizeof(at(rt, i)->name), "%s", name);
	q->fd_name = i;
}

void names_note(struct router *rt, struct request *q, const struct qmp_message *m)
{
	bool getfd = strcmp(m->name, "getfd") == 0;
	char name[ROUTER_FD_NAME_MAX];
	struct span value;

	if (rt->keep_fd_names || (!getfd && strcmp(m->name, "closefd") != 0))
		return;
	value = m->body.p == NULL ? m->body : qmp_member(m->body, "fdname");
	if (value.p == NULL || !qmp_string(value, name, sizeof(name)))
		return;
	if (getfd)
		note_getfd(rt, q, name);
	else
		q->fd_name = find(rt, name);
}

/* QEMU holds the descriptor of @n now, in place of one of the same name that it closed silently. */
static void take_over_name(struct router *rt, struct fd_name *n)
{
	uint32_t old = find(rt, n->name);
	bool there = client_is(rt, n->client, n->generation);

	if (old != REGION_NONE)
		set_state(rt, at(rt, old), FD_NAME_FREE);
	set_state(rt, n, there ? FD_NAME_HELD : FD_NAME_ABANDONED);
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
	} else if (succeeded) {
		take_over_name(rt, n);
	} else {
		set_state(rt, n, FD_NAME_FREE);
		rt->names_due = true; /* one that waited for this getfd may be closed now */
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

void names_collect_stray(struct router *rt)
{
	uint32_t i = find_free(rt);

	if (i == REGION_NONE)
		return;
	region_edit(rt->region, at(rt, i), sizeof(*at(rt, i)));
	*at(rt, i) = (struct fd_name){ .state = FD_NAME_STRAY, .name = "qmend-stray" };
	rt->names_due = true;
	REGION_SET(rt->region, router_qemu(rt)->fd_in_flight, 1);
}

/* getfd or closefd of name @i, by qmend itself. */
static void send_own(struct router *rt, uint32_t i, const char *command, enum fd_name_state next)
{
	struct qmp_message m = { .kind = QMP_MESSAGE_COMMAND };
	struct request *q;

	snprintf(m.name, sizeof(m.name), "%s", command);
	q = request_new(rt, ROUTER_QEMU_SLOT, &m);
	q->fd_name = i;
	qmp_buffer_clear(&rt->answer);
	qmp_buffer_printf(&rt->answer, "{\"execute\":\"%s\",\"arguments\":{\"fdname\":", command);
	qmp_print_string(&rt->answer, span_of(at(rt, i)->name));
	qmp_buffer_add(&rt->answer, SPAN("}}"));
	m.text = qmp_buffer_span(&rt->answer);
	request_send(rt, q, &m, -1);
	set_state(rt, at(rt, i), next);
	region_commit(rt->region);
}

/* Is a getfd of the same name at QEMU? Then closefd behind it would close the new owner's. */
static bool is_asked_for(const struct router *rt, uint32_t i)
{
	for (uint32_t n = 0; n < ROUTER_FD_NAMES; n++)
		if (at(rt, n)->state == FD_NAME_ASKED &&
		    strcmp(at(rt, n)->name, at(rt, i)->name) == 0)
			return true;
	return false;
}

bool names_work(struct router *rt)
{
	if (!rt->names_due || router_qemu(rt)->state != QEMU_READY || !request_has_room(rt, false))
		return false;
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++) {
		enum fd_name_state state = (enum fd_name_state)at(rt, i)->state;

		if (state != FD_NAME_STRAY && (state != FD_NAME_ABANDONED || is_asked_for(rt, i)))
			continue;
		if (!router_make_room(rt, REGION_CHUNK, 1))
			return false;
		if (state == FD_NAME_ABANDONED)
			send_own(rt, i, "closefd", FD_NAME_CLOSING);
		else
			send_own(rt, i, "getfd", FD_NAME_ASKED);
		return true;
	}
	rt->names_due = false;
	return false;
}

void names_clear(struct router *rt)
{
	for (uint32_t i = 0; i < ROUTER_FD_NAMES; i++)
		if (at(rt, i)->state != FD_NAME_FREE)
			set_state(rt, at(rt, i), FD_NAME_FREE);
}
