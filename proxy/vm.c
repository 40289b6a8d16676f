/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The composition root of one VM: makes the region, the listeners, the router and the recovery of
 * one policy, and is the only place that wires their callbacks. It decides next to nothing.
 *
 * One turn: what the loop reported is noted in the sets of the router; vm_work() then lets the
 * router read, answer and send; then recovery acts on what processes told and what is due. A
 * backend's death is handled only after QEMU's socket has been read: a QEMU that died with it, or
 * is shutting down, must be known to be so.
 */
#include "vm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/dial.h"
#include "io/listener.h"
#include "io/log.h"
#include "io/region.h"
#include "io/sock.h"
#include "mend/recovery.h"
#include "mux/router.h"

enum { LAYOUT_VERSION = 1, MIN_CHUNKS = 1024 };

static const uint64_t SECOND = UINT64_C(1000000000);
static const uint64_t ACCEPT_AGAIN_NS = UINT64_C(200000000);
static const uint64_t GREETING_NS = UINT64_C(10000000000);

/* The watcher of one connection. */
struct link_io {
	struct loop_io io;
	struct vm *vm;
	uint32_t slot;
};

struct vm_listener {
	struct listener listener;
	struct vm *vm;
	uint32_t index;
};

struct vm {
	const struct policy *policy;
	struct loop *loop;
	struct loop_drain drain;
	struct region *region;
	struct router router;
	struct recovery recovery;
	struct dial dial;
	struct link_io *links; /* by slot; made when the slot is first used */
	struct vm_listener *listeners;
	size_t listener_count; /* of those that listen */
	bool paused;	       /* they rest: there is no room */
	uint64_t accept_at;    /* when those at which accepting failed try again, 0: none did */
	bool greeting_late;    /* said so */
	uint64_t connected_at;
};

static void on_connection(void *owner, int events)
{
	struct link_io *l = owner;

	router_ready(&l->vm->router, l->slot, (events & LOOP_READ) != 0,
		     (events & LOOP_WRITE) != 0);
}

static void on_accepted(struct listener *l, int fd, void *owner)
{
	struct vm_listener *vl = owner;
	struct vm *vm = vl->vm;
	const struct policy_listen *p = &vm->policy->listen[vl->index];

	(void)l;
	vm->router.now = loop_now(vm->loop);
	if (!router_add_client(&vm->router, fd, vl->index, p->access == POLICY_READ_ONLY))
		log_warning("vm=%s event=client-refused reason=limit", vm->policy->vm);
}

static void watch_connection(struct vm *vm, uint32_t slot, int interest)
{
	struct link_io *l = &vm->links[slot];

	if (l->vm == NULL) {
		l->vm = vm;
		l->slot = slot;
		loop_io_init(&l->io, on_connection, l);
	}
	if (interest < 0)
		loop_io_stop(vm->loop, &l->io);
	else
		loop_io_set(vm->loop, &l->io, vm->router.links[slot].conn->fd, interest);
}

/* Watch each socket for what can be done with it now. While there is more to do at once, only those
 * that are closed matter. */
static void watch_connections(struct vm *vm, bool more)
{
	struct router *rt = &vm->router;

	slots_each(&rt->changed, slot) {
		int interest = router_interest(rt, slot);

		if (interest >= 0 && more)
			continue;
		slots_remove(&rt->changed, slot);
		watch_connection(vm, slot, interest);
	}
}

/* No connection is accepted that could not be served. */
static void watch_listeners(struct vm *vm)
{
	bool full = !router_has_room(&vm->router);

	if (full == vm->paused)
		return;
	vm->paused = full;
	for (size_t i = 0; i < vm->listener_count; i++)
		listener_pause(&vm->listeners[i].listener, full);
	if (full)
		log_warning("vm=%s event=clients-full limit=%" PRIu32, vm->policy->vm,
			    vm->policy->limits.clients);
}

/* Listeners that rest, for lack of a descriptor or of a place, try again after a while. */
static void retry_accepting(struct vm *vm, uint64_t now)
{
	bool failed = false;

	for (size_t i = 0; i < vm->listener_count; i++)
		failed |= vm->listeners[i].listener.failed;
	if (!failed && !vm->paused) {
		vm->accept_at = 0;
	} else if (vm->accept_at == 0) {
		vm->accept_at = now + ACCEPT_AGAIN_NS;
	} else if (now >= vm->accept_at) {
		vm->accept_at = 0;
		if (vm->paused)
			router_close_gone(&vm->router);
		for (size_t i = 0; i < vm->listener_count && !vm->paused; i++)
			listener_pause(&vm->listeners[i].listener, false);
		watch_listeners(vm);
	}
}

static void connect_qemu(struct vm *vm, uint64_t now)
{
	struct sock_peer peer = { 0 };
	int fd = dial_work(&vm->dial, now);

	if (fd < 0)
		return;
	sock_peer(fd, &peer);
	vm->connected_at = now;
	vm->greeting_late = false;
	router_add_qemu(&vm->router, fd, (uint32_t)peer.pid);
	recovery_want_all(&vm->recovery);
	region_commit(vm->region);
}

/* Is QEMU connected and has not finished its handshake, and nobody has been told so yet? */
static bool awaits_greeting(const struct vm *vm)
{
	enum qemu_state state = (enum qemu_state)router_qemu(&vm->router)->state;

	return (state == QEMU_CONNECTED || state == QEMU_NEGOTIATING) && !vm->greeting_late;
}

static void look_after_qemu(struct vm *vm, uint64_t now)
{
	enum qemu_state state = (enum qemu_state)router_qemu(&vm->router)->state;

	if (state == QEMU_ABSENT && !vm->dial.active) {
		/* One that closed at once is not asked again at once. */
		bool brief = vm->connected_at != 0 && now - vm->connected_at < SECOND;

		dial_start(&vm->dial, brief ? now + SECOND : now);
	}
	if (state == QEMU_ABSENT)
		connect_qemu(vm, now);
	if (awaits_greeting(vm) && now >= vm->connected_at + GREETING_NS) {
		vm->greeting_late = true;
		log_warning("vm=%s event=no-greeting seconds=%" PRIu64 " hint=\"QEMU waits for a "
			    "backend, or another process holds its monitor\"",
			    vm->policy->vm, (now - vm->connected_at) / SECOND);
	}
}

static bool vm_work(void *owner)
{
	struct vm *vm = owner;
	uint64_t now = loop_now(vm->loop);
	bool more;

	if (recovery_has_news(&vm->recovery))
		router_ready(&vm->router, ROUTER_QEMU_SLOT, true, false);
	more = router_work(&vm->router, now);
	watch_connections(vm, true);
	more |= recovery_work(&vm->recovery, now);
	look_after_qemu(vm, now);
	watch_connections(vm, more);
	watch_listeners(vm);
	retry_accepting(vm, now);
	return more;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t vm_deadline(void *owner)
{
	const struct vm *vm = owner;
	uint64_t at = earlier(router_deadline(&vm->router), recovery_deadline(&vm->recovery));

	if (awaits_greeting(vm))
		at = earlier(at, vm->connected_at + GREETING_NS);
	if (vm->accept_at != 0)
		at = earlier(at, vm->accept_at);
	return earlier(at, dial_deadline(&vm->dial));
}

static struct region *make_region(const struct policy *p, struct qmp_error *e)
{
	struct region_layout layout = { .version = LAYOUT_VERSION };
	uint64_t chunks = p->limits.memory / REGION_CHUNK;

	router_layout(p->limits.clients, &layout);
	recovery_layout((uint32_t)p->backend_count, &layout);
	layout.undo_bytes =
		router_undo_bytes(p->limits.clients) + recovery_undo_bytes(p->limits.clients);
	layout.chunks = chunks < MIN_CHUNKS ? MIN_CHUNKS : (uint32_t)chunks;
	return region_new(&layout, e);
}

static bool listen_all(struct vm *vm, struct qmp_error *e)
{
	const struct policy *p = vm->policy;

	for (size_t i = 0; i < p->listen_count; i++) {
		struct vm_listener *l = &vm->listeners[i];
		int fd = sock_listen(p->listen[i].path, p->listen[i].mode, p->listen[i].uid,
				     p->listen[i].gid, e);

		if (fd < 0)
			return false;
		l->vm = vm;
		l->index = (uint32_t)i;
		l->listener.path = p->listen[i].path;
		l->listener.accepted = on_accepted;
		l->listener.owner = l;
		listener_start(&l->listener, vm->loop, fd);
		vm->listener_count++;
	}
	return true;
}

static void wire(struct vm *vm)
{
	const struct policy *p = vm->policy;

	vm->router.queue_limit = p->limits.queue;
	vm->router.keep_fd_names = p->keep_fd_names;
	vm->router.coalesce = p->coalesce;
	router_init(&vm->router, vm->region, p->vm);
	vm->recovery = (struct recovery){
		.region = vm->region,
		.router = &vm->router,
		.loop = vm->loop,
		.policy = p,
	};
	recovery_init(&vm->recovery);
	vm->router.sink = recovery_sink(&vm->recovery);
	recovery_want_all(&vm->recovery);
	region_commit(vm->region);
	dial_init(&vm->dial, vm->loop, p->qemu);
	vm->drain = (struct loop_drain){ .work = vm_work, .deadline = vm_deadline, .owner = vm };
	loop_add_drain(vm->loop, &vm->drain);
}

struct vm *vm_new(struct loop *loop, const struct policy *policy, struct qmp_error *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (vm == NULL)
		abort();
	vm->loop = loop;
	vm->policy = policy;
	vm->links = calloc(policy->limits.clients + 1u, sizeof(*vm->links));
	vm->listeners = calloc(policy->listen_count + 1, sizeof(*vm->listeners));
	if (vm->links == NULL || vm->listeners == NULL)
		abort();
	vm->region = make_region(policy, e);
	if (vm->region == NULL) {
		qmp_error_prefix(e, "vm %s: ", policy->vm);
		vm_free(vm);
		return NULL;
	}
	wire(vm);
	if (!listen_all(vm, e)) {
		qmp_error_prefix(e, "vm %s: ", policy->vm);
		vm_free(vm);
		return NULL;
	}
	return vm;
}

void vm_free(struct vm *vm)
{
	if (vm == NULL)
		return;
	for (size_t i = 0; i < vm->listener_count; i++)
		listener_stop(&vm->listeners[i].listener);
	if (vm->region != NULL) {
		loop_remove_drain(vm->loop, &vm->drain);
		dial_stop(&vm->dial);
		recovery_release(&vm->recovery);
		for (uint32_t i = 0; i < vm->router.slots; i++) {
			if (vm->links[i].vm == NULL)
				continue;
			loop_io_stop(vm->loop, &vm->links[i].io);
			if (vm->router.links[i].conn->state != CONN_FREE)
				conn_close(&vm->router.links[i]);
		}
		router_release(&vm->router);
		region_free(vm->region);
	}
	free(vm->links);
	free(vm->listeners);
	free(vm);
}
