/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MUX_ROUTER_H
#define MUX_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/conn.h"
#include "io/region.h"
#include "mux/records.h"
#include "mux/slots.h"
#include "qmp/buffer.h"
#include "qmp/framer.h"
#include "qmp/message.h"

/*
 * The multiplexer of one VM: many clients, one QEMU. router.c has the theory of operation and what
 * vm.c calls; client.c, turn.c, qemu.c, request.c, names.c and cache.c are its parts. struct router
 * is what a worker can make again; the records lie in the region.
 */

/* What happens to a message of QEMU's. */
enum router_verdict { ROUTER_PASS, ROUTER_HOLD, ROUTER_DROP };

/* What the router tells the layer above. All are called inside the transaction of the message. */
struct router_sink {
	/* An event came. HOLD: the sink has kept it. */
	enum router_verdict (*event)(void *owner, const struct qmp_message *m);
	/* A command of a client is about to go to QEMU. What is returned, if not 0, is told again
	 * when QEMU has answered: did it succeed? */
	uint32_t (*command)(void *owner, const struct qmp_message *m);
	void (*settled)(void *owner, uint32_t tag, bool succeeded);
	/* QEMU has been greeted and serves; QEMU is gone, its clients not yet told. */
	void (*qemu_ready)(void *owner);
	void (*qemu_gone)(void *owner);
	/* Members to add to the answer of x-qmend-status, each beginning with ", ". */
	void (*status)(void *owner, struct qmp_buffer *out);
	void *owner;
};

struct router {
	struct region *region;
	const char *vm;	      /* for the log */
	uint32_t slots;	      /* 1 + most clients */
	uint64_t queue_limit; /* bytes waiting for one client */
	bool keep_fd_names;
	bool coalesce;
	struct router_sink sink;
	struct conn_link *links;    /* by slot; of use while the slot is */
	struct qmp_framer *framers; /* by slot: ahead of those in the region */
	struct slots present;	    /* clients, also those that are being drained */
	bool names_due;		    /* names_work() may have something to do */
	struct slots readable;	    /* sockets that have something */
	struct slots unread;	    /* bytes lie in `in` that no framer has seen */
	struct slots pending;	    /* clients whose turn should be tried */
	struct slots held_back;	    /* of these, the ones that wait for a place at QEMU */
	struct slots unsent;	    /* bytes lie in `out` */
	struct slots changed;	    /* what to watch may have changed */
	struct slots stalled;	    /* not read until an OOB reply has come */
	struct slots draining;	    /* closed when everything is sent, or late */
	struct qmp_buffer message;  /* scratch: QEMU's message, the status */
	struct qmp_buffer text;	    /* a client's text */
	struct qmp_buffer answer;   /* qmend's own */
	struct qmp_buffer command;  /* one on its way to QEMU */
	uint64_t now;
};

/* How many records of each section; @layout gets the sections of the router. */
void router_layout(uint32_t clients, struct region_layout *layout);
/* Undo bytes that the largest transaction of the router needs. */
uint64_t router_undo_bytes(uint32_t clients);

/* Serve @region; everything but it and what is assigned to the public members is made here. A new
 * region (no session yet) is set up; of a used one the state is taken over. */
void router_init(struct router *rt, struct region *region, const char *vm);
void router_release(struct router *rt);

/* A client has connected on listener @listener; false when there is no room (fd is closed). */
bool router_add_client(struct router *rt, int fd, uint32_t listener, bool read_only);
/* QEMU has been connected. */
void router_add_qemu(struct router *rt, int fd, uint32_t pid);
/* A socket is ready; the work is done by router_work(). */
void router_ready(struct router *rt, uint32_t slot, bool readable, bool writable);
/* Do what can be done at @now; true while there is more to do at once. */
bool router_work(struct router *rt, uint64_t now);
/* CLOCK_BOOTTIME in ns at which router_work() must be called again; UINT64_MAX: not at all. */
uint64_t router_deadline(const struct router *rt);
/* Close clients that have gone without its being noticed: those that are not read, because their
 * commands wait, are not watched either. Asks the kernel about each. */
void router_close_gone(struct router *rt);
/* Is there room for one more client? */
bool router_has_room(const struct router *rt);
/* What to watch the socket of @slot for (loop.h); -1: it is closed. */
int router_interest(const struct router *rt, uint32_t slot);

/* Let these bytes (complete messages) go to every negotiated client. In the caller's transaction. A
 * client for which there is no room is closed. */
void router_broadcast(struct router *rt, const struct queue *messages);
/* Before a transaction: make room for @copies of so many bytes, if need be by closing the clients
 * that hold most. False when that was not enough, or (nobody is closed then) cannot be. */
bool router_make_room(struct router *rt, uint64_t bytes_each, uint32_t copies);

struct qemu *router_qemu(const struct router *rt);

#endif
