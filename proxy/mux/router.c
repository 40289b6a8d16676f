/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The multiplexer of one VM: one QEMU connection shared by many clients. vm.c feeds it sockets and
 * time; it knows no policy: the verdict on an event comes through the sink.
 *
 * Theory of operation
 * -------------------
 * client socket -> conn `in` -> client_scan(): texts become pending -> client_turn(): answered
 * here, or request + QEMU's `out` -> socket -> QEMU -> conn `in` -> qemu_scan(): reply -> request
 * -> the client's `out`; event -> verdict -> every negotiated client's `out`.
 *
 * - One message is one transaction: what is consumed, the request, and what is appended change
 *   together. Room in the pool is made before a transaction begins (router_make_room()).
 * - Order: a client has one FIFO (`out`); QEMU's messages are handled in QEMU's order; answers made
 *   here wait until the client has nothing outstanding.
 * - QEMU never has more than ROUTER_IN_BAND_MAX commands, taken in turn from the clients, one each.
 * - The sets of slots say where work may be; they are hints that a new worker makes by filling
 * them. Doing a turn too often does no harm.
 * - Nothing is allocated for a message but scratch buffers; queues live in the region's pool, which
 *   is this VM's memory limit. When it is spent, the client with most bytes in its queues goes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/log.h"
#include "io/loop.h"
#include "io/sock.h"
#include "mux/parts.h"

enum { UNDO_BASE = 64 * 1024, UNDO_CLIENT = 512, KEPT_CHUNKS = 64 };

struct qemu *router_qemu(const struct router *rt)
{
	return region_at(rt->region, SECTION_QEMU, 0);
}

struct client *router_client(const struct router *rt, uint32_t slot)
{
	return region_at(rt->region, SECTION_CLIENT, slot);
}

void router_layout(uint32_t clients, struct region_layout *layout)
{
	struct region_section *s = layout->section;

	s[SECTION_QEMU] = (struct region_section){ sizeof(struct qemu), 1 };
	s[SECTION_CONN] = (struct region_section){ sizeof(struct conn), clients + 1 };
	s[SECTION_CLIENT] = (struct region_section){ sizeof(struct client), clients + 1 };
	s[SECTION_REQUEST] = (struct region_section){ sizeof(struct request), ROUTER_REQUESTS };
	s[SECTION_FD_NAME] = (struct region_section){ sizeof(struct fd_name), ROUTER_FD_NAMES };
	s[SECTION_CACHE] = (struct region_section){ sizeof(struct queue), ROUTER_CACHED };
	layout->section_count = ROUTER_SECTIONS;
}

uint64_t router_undo_bytes(uint32_t clients)
{
	return UNDO_BASE + (uint64_t)clients * UNDO_CLIENT;
}

/* A region that has never been used. */
static void set_up(struct router *rt)
{
	struct qemu *qemu = router_qemu(rt);

	qemu->next_number = 1;
	queue_init(&qemu->greeting);
	for (uint32_t i = 0; i < ROUTER_CACHED; i++)
		queue_init(region_at(rt->region, SECTION_CACHE, i));
}

/* Tables by slot are filled when the slot is used: a VM with few clients touches little memory. */
static struct conn_link *link_up(struct router *rt, uint32_t slot)
{
	rt->links[slot].region = rt->region;
	rt->links[slot].conn = router_conn(rt, slot);
	return &rt->links[slot];
}

static void take_over(struct router *rt)
{
	rt->names_due = true;
	rt->framers[ROUTER_QEMU_SLOT] = router_qemu(rt)->framer;
	for (uint32_t i = 0; i < rt->slots; i++) {
		if (router_conn(rt, i)->state == CONN_FREE)
			continue;
		conn_restore(link_up(rt, i));
		if (router_conn(rt, i)->state == CONN_FREE)
			continue;
		if (i != ROUTER_QEMU_SLOT) {
			slots_add(&rt->present, i);
			rt->framers[i] = router_client(rt, i)->framer;
		}
		slots_add(&rt->readable, i);
		slots_add(&rt->unread, i);
		slots_add(&rt->pending, i);
		slots_add(&rt->unsent, i);
		slots_add(&rt->changed, i);
		if (router_conn(rt, i)->state == CONN_DRAINING)
			slots_add(&rt->draining, i);
		else if (i != ROUTER_QEMU_SLOT && router_qemu(rt)->state == QEMU_READY)
			client_greet(rt, i);
	}
}

void router_init(struct router *rt, struct region *region, const char *vm)
{
	rt->region = region;
	rt->vm = vm;
	rt->slots = region_count(region, SECTION_CONN);
	rt->links = calloc(rt->slots, sizeof(*rt->links));
	rt->framers = calloc(rt->slots, sizeof(*rt->framers));
	if (rt->links == NULL || rt->framers == NULL)
		abort();
	slots_init(&rt->present, rt->slots);
	slots_init(&rt->readable, rt->slots);
	slots_init(&rt->unread, rt->slots);
	slots_init(&rt->pending, rt->slots);
	slots_init(&rt->held_back, rt->slots);
	slots_init(&rt->unsent, rt->slots);
	slots_init(&rt->changed, rt->slots);
	slots_init(&rt->stalled, rt->slots);
	slots_init(&rt->draining, rt->slots);
	rt->message = (struct qmp_buffer)QMP_BUFFER_INIT(
		((size_t)region_chunks_free(region) + region_chunks_used(region)) * REGION_CHUNK);
	rt->text = (struct qmp_buffer)QMP_BUFFER_INIT(2 * (size_t)QMP_MAX_BYTES);
	rt->answer = (struct qmp_buffer)QMP_BUFFER_INIT(8 * (size_t)QMP_MAX_BYTES);
	rt->command = (struct qmp_buffer)QMP_BUFFER_INIT(ROUTER_COMPACT_MAX);
	if (router_qemu(rt)->next_number == 0)
		set_up(rt);
	else
		take_over(rt);
}

void router_release(struct router *rt)
{
	free(rt->links);
	free(rt->framers);
	slots_release(&rt->present);
	slots_release(&rt->readable);
	slots_release(&rt->unread);
	slots_release(&rt->pending);
	slots_release(&rt->held_back);
	slots_release(&rt->unsent);
	slots_release(&rt->changed);
	slots_release(&rt->stalled);
	slots_release(&rt->draining);
	qmp_buffer_release(&rt->command);
	qmp_buffer_release(&rt->message);
	qmp_buffer_release(&rt->text);
	qmp_buffer_release(&rt->answer);
}

static bool pick_free_slot(const struct router *rt, uint32_t *slot)
{
	for (*slot = ROUTER_QEMU_SLOT + 1; *slot < rt->slots; (*slot)++)
		if (!slots_has(&rt->present, *slot))
			return true;
	return false;
}

static bool wants_input(const struct router *rt, uint32_t slot)
{
	const struct conn *c = router_conn(rt, slot);

	if (c->state != CONN_OPEN || c->in_ended)
		return false;
	if (slots_has(&rt->unread, slot)) /* first what is there: it must not pile up */
		return false;
	return slot == ROUTER_QEMU_SLOT ||
	       (router_client(rt, slot)->pending_count < ROUTER_PENDING &&
		!slots_has(&rt->stalled, slot));
}

void router_close_gone(struct router *rt)
{
	slots_each(&rt->present, i) {
		if (wants_input(rt, i))
			continue;
		conn_note_hangup(&rt->links[i]);
		if (router_conn(rt, i)->out_broken)
			client_close(rt, i, "gone");
	}
}

bool router_has_room(const struct router *rt)
{
	uint32_t slot;

	return pick_free_slot(rt, &slot);
}

/* Whoever may only look never takes the last places from those who manage the VM. */
static bool has_room_for_reader(const struct router *rt)
{
	uint32_t readers = 0;

	slots_each(&rt->present, i)
		readers += router_client(rt, i)->read_only;
	return readers < rt->slots / 2;
}

bool router_add_client(struct router *rt, int fd, uint32_t listener, bool read_only)
{
	struct sock_peer peer = { 0 };
	struct client *c;
	uint32_t slot;

	if (!pick_free_slot(rt, &slot) || (read_only && !has_room_for_reader(rt))) {
		close(fd);
		return false;
	}
	sock_peer(fd, &peer);
	c = router_client(rt, slot);
	conn_open(link_up(rt, slot), fd, true);
	region_edit(rt->region, c, sizeof(*c));
	*c = (struct client){
		.read_only = read_only,
		.pid = (uint32_t)peer.pid,
		.uid = peer.uid,
		.listener = listener,
		.since = rt->now,
	};
	region_commit(rt->region);
	rt->framers[slot] = c->framer;
	slots_add(&rt->present, slot);
	slots_remove(&rt->stalled, slot);
	slots_add(&rt->changed, slot);
	slots_add(&rt->readable, slot);
	log_info("vm=%s event=client client=%" PRIu32 " pid=%d uid=%u", rt->vm, slot, (int)peer.pid,
		 (unsigned)peer.uid);
	if (router_qemu(rt)->state == QEMU_READY)
		client_greet(rt, slot);
	return true;
}

void router_add_qemu(struct router *rt, int fd, uint32_t pid)
{
	struct qemu *qemu = router_qemu(rt);

	conn_open(link_up(rt, ROUTER_QEMU_SLOT), fd, false);
	region_edit(rt->region, qemu, sizeof(*qemu));
	qemu->state = QEMU_CONNECTED;
	qemu->since = rt->now;
	qemu->offers_oob = 0;
	qemu->pid = pid;
	qemu->in_band = 0;
	qemu->oob = 0;
	qemu->fd_in_flight = 0;
	qemu->session++;
	qemu->framer = (struct qmp_framer){ .flags = QMP_FRAMER_FROM_QEMU };
	region_commit(rt->region);
	rt->framers[ROUTER_QEMU_SLOT] = qemu->framer;
	slots_add(&rt->changed, ROUTER_QEMU_SLOT);
	log_info("vm=%s event=qemu-connected pid=%" PRIu32, rt->vm, pid);
}

void router_ready(struct router *rt, uint32_t slot, bool readable, bool writable)
{
	if (readable)
		slots_add(&rt->readable, slot);
	if (writable)
		slots_add(&rt->unsent, slot);
}

static uint64_t queued(const struct router *rt, uint32_t slot)
{
	const struct conn *c = router_conn(rt, slot);

	return (uint64_t)(c->in.chunks + c->out.chunks) * REGION_CHUNK;
}

/* All that would be free if every client were closed and nothing else. */
static uint64_t client_chunks(const struct router *rt)
{
	uint64_t chunks = 0;

	slots_each(&rt->present, i)
		chunks += queued(rt, i) / REGION_CHUNK;
	return chunks;
}

/* Of the clients that hold memory, the one that holds most goes; false when none does. */
static bool close_largest(struct router *rt)
{
	uint32_t worst = ROUTER_QEMU_SLOT;

	slots_each(&rt->present, i)
		if (queued(rt, i) > 0 &&
		    (worst == ROUTER_QEMU_SLOT || queued(rt, i) > queued(rt, worst)))
			worst = i;
	if (worst == ROUTER_QEMU_SLOT)
		return false;
	client_close(rt, worst, "memory limit of this VM reached");
	return true;
}

/* There is no memory to read into. */
static void starve(struct router *rt, uint32_t slot)
{
	if (close_largest(rt))
		return;
	if (slot != ROUTER_QEMU_SLOT) {
		client_close(rt, slot, "memory limit of this VM reached");
		return;
	}
	log_error("vm=%s event=message-from-qemu-too-large hint=\"raise limits.memory\"", rt->vm);
	qemu_lost(rt);
}

bool router_make_room(struct router *rt, uint64_t bytes_each, uint32_t copies)
{
	uint64_t chunks = (bytes_each / REGION_CHUNK + 2) * copies + KEPT_CHUNKS;

	if (chunks > (uint64_t)region_chunks_free(rt->region) + client_chunks(rt))
		return false;
	while (region_chunks_free(rt->region) < chunks)
		if (!close_largest(rt))
			return false;
	return true;
}

void router_broadcast(struct router *rt, const struct queue *messages)
{
	slots_each(&rt->present, i) {
		struct conn *c = router_conn(rt, i);

		if (c->state != CONN_OPEN || !router_client(rt, i)->negotiated)
			continue;
		client_append_queue(rt, i, messages);
	}
}

int router_interest(const struct router *rt, uint32_t slot)
{
	const struct conn *c = router_conn(rt, slot);
	int events = 0;

	if (c->state == CONN_FREE)
		return -1;
	if (wants_input(rt, slot))
		events |= LOOP_READ;
	if (c->out.head != c->out.tail && !c->out_broken)
		events |= LOOP_WRITE;
	return events;
}

static void receive(struct router *rt, uint32_t slot)
{
	if (!wants_input(rt, slot)) {
		slots_remove(&rt->readable, slot); /* level-triggered: it comes back */
		return;
	}
	switch (conn_receive(&rt->links[slot])) {
	case CONN_PARTLY:
		break;
	case CONN_ENDED:
		conn_note_hangup(&rt->links[slot]);
		slots_remove(&rt->readable, slot);
		break;
	case CONN_BLOCKED:
		slots_remove(&rt->readable, slot);
		break;
	case CONN_STARVED:
		starve(rt, slot);
		break;
	}
	slots_add(&rt->unread, slot);
	slots_add(&rt->changed, slot);
}

static void send_queued(struct router *rt, uint32_t slot)
{
	struct conn *c = router_conn(rt, slot);
	enum conn_result result = CONN_PARTLY;

	slots_remove(&rt->unsent, slot);
	slots_add(&rt->changed, slot);
	if (c->state == CONN_FREE || (slot != ROUTER_QEMU_SLOT && client_is_doomed(rt, slot)))
		return;
	while (result == CONN_PARTLY)
		result = conn_send(&rt->links[slot]);
	if (result == CONN_ENDED && slot == ROUTER_QEMU_SLOT) {
		slots_add(&rt->readable, slot); /* what it said last */
	} else if (result == CONN_ENDED) {
		queue_clear(rt->region, &c->out);
		region_commit(rt->region);
		/* What it may have said last is read; if that must wait, it is not (as in QEMU). */
		if (c->in_ended || router_client(rt, slot)->pending_count == ROUTER_PENDING)
			client_close(rt, slot, "gone");
	} else if (slot != ROUTER_QEMU_SLOT) {
		client_sent(rt, slot);
	}
}

/* One command of each client in turn, beginning behind the one that was served last. */
static bool take_turns(struct router *rt)
{
	uint32_t last = router_qemu(rt)->turn;
	bool progress = false;

	for (uint32_t step = 1; step <= rt->slots; step++) {
		uint32_t slot = (last + step) % rt->slots;
		uint32_t next = slots_next(&rt->pending, slot);

		if (next != slot) { /* skip what is empty */
			step += (next < rt->slots ? next : rt->slots) - slot - 1;
			continue;
		}
		if (slot == ROUTER_QEMU_SLOT) {
			slots_remove(&rt->pending, slot);
			continue;
		}
		if (slots_has(&rt->held_back, slot) && !request_has_room(rt, false))
			continue;
		slots_remove(&rt->held_back, slot);
		switch (client_turn(rt, slot)) {
		case TURN_DONE:
			progress = true;
			break;
		case TURN_NOTHING:
			slots_remove(&rt->pending, slot);
			break;
		case TURN_FULL:
			slots_add(&rt->held_back, slot);
			break;
		}
	}
	return progress;
}

/* Close what is done; take over the end of QEMU. True when somebody went: that may be work for
 * others. */
static bool finish(struct router *rt)
{
	const struct conn *qemu = router_conn(rt, ROUTER_QEMU_SLOT);
	bool gone = false;

	if (qemu->state == CONN_OPEN && (qemu->in_ended || qemu->out_broken) &&
	    !slots_has(&rt->unread, 0) && !slots_has(&rt->readable, 0)) {
		qemu_lost(rt);
		gone = true;
	}
	slots_each(&rt->draining, i) {
		if (router_conn(rt, i)->deadline <= rt->now) {
			client_close(rt, i, "did not read to the end");
			gone = true;
		}
	}
	slots_each(&rt->changed, i) {
		if (i != ROUTER_QEMU_SLOT && router_conn(rt, i)->state != CONN_FREE &&
		    client_is_done(rt, i)) {
			client_close(rt, i, "done");
			gone = true;
		}
	}
	return gone;
}

bool router_work(struct router *rt, uint64_t now)
{
	bool more = false;

	rt->now = now;
	if (slots_has(&rt->readable, ROUTER_QEMU_SLOT))
		receive(rt, ROUTER_QEMU_SLOT);
	if (slots_has(&rt->unread, ROUTER_QEMU_SLOT))
		qemu_scan(rt);
	slots_each(&rt->unsent, i)
		if (i != ROUTER_QEMU_SLOT)
			send_queued(rt, i);
	slots_each(&rt->readable, i)
		if (i != ROUTER_QEMU_SLOT)
			receive(rt, i);
	slots_each(&rt->unread, i)
		if (i != ROUTER_QEMU_SLOT)
			client_scan(rt, i);
	more |= names_work(rt); /* first: clients that want a place never end */
	more |= take_turns(rt);
	slots_each(&rt->unsent, i)
		send_queued(rt, i);
	more |= finish(rt);
	region_trim(rt->region);
	return more || slots_next(&rt->readable, 0) < rt->slots ||
	       slots_next(&rt->unread, 0) < rt->slots;
}

uint64_t router_deadline(const struct router *rt)
{
	uint64_t earliest = UINT64_MAX;

	slots_each(&rt->draining, i)
		if (router_conn(rt, i)->deadline < earliest)
			earliest = router_conn(rt, i)->deadline;
	return earliest;
}
