/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MUX_ROUTER_H
#define MUX_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/conn.h"
#include "io/region.h"
#include "mux/slots.h"
#include "qmp/buffer.h"
#include "qmp/framer.h"
#include "qmp/message.h"

/*
 * The multiplexer of one VM: many clients, one QEMU. router.c has the theory of operation and what
 * vm.c calls; client.c, qemu.c, names.c and cache.c are its parts. struct router is what a worker
 * can make again; the records lie in the region.
 */
enum router_section {
	SECTION_QEMU,	 /* one struct qemu */
	SECTION_CONN,	 /* struct conn; number 0 is QEMU's, the others are clients' */
	SECTION_CLIENT,	 /* struct client, same numbers */
	SECTION_REQUEST, /* struct request */
	SECTION_FD_NAME, /* struct fd_name */
	SECTION_CACHE,	 /* struct queue: the answers that cache.c keeps */
	ROUTER_SECTIONS
};

enum {
	ROUTER_QEMU_SLOT = 0,
	ROUTER_IN_BAND_MAX = 7, /* QEMU stops reading, OOB too, at 8 (monitor/monitor-internal.h) */
	ROUTER_OOB_MAX = 8,
	ROUTER_REQUESTS = 32,
	ROUTER_PENDING = 8, /* commands of one client that wait here, as in QEMU's own queue */
	ROUTER_FD_NAMES = 64,
	ROUTER_FD_NAME_MAX = 120,
	ROUTER_CACHED = 16,
};

enum qemu_state {
	QEMU_ABSENT,
	QEMU_CONNECTED,	  /* no greeting yet */
	QEMU_NEGOTIATING, /* greeted; qmend's own handshake is on its way */
	QEMU_READY,
};

struct qemu {
	uint8_t state;	    /* enum qemu_state */
	uint8_t offers_oob; /* its greeting did */
	uint8_t dialect;    /* enum qmp_dialect */
	uint8_t fd_in_flight;
	uint32_t in_band; /* outstanding commands */
	uint32_t oob;
	uint32_t turn;	 /* the client that was served last */
	uint32_t pid;	 /* of the process at the other end, 0: not known */
	uint32_t session; /* counts connections */
	uint64_t next_number;
	uint64_t since; /* of this state, CLOCK_BOOTTIME in ns */
	struct qmp_framer framer;
	struct queue greeting; /* as QEMU sent it, with its line end */
};

/* Something that one client said and that waits for its turn. */
struct pending {
	struct qmp_framer framer; /* right behind it */
	uint64_t start;		  /* position of its first byte */
	int32_t fd;		  /* that came with it, -1: none */
	uint8_t bad;		  /* no JSON: the framer says why */
	uint8_t reserved[3];
	uint64_t waits_for; /* number of the request whose answer will be this one's, 0: none */
};

struct client {
	uint8_t greeted;
	uint8_t negotiated;
	uint8_t oob; /* this client enabled it */
	uint8_t read_only;
	uint32_t pid; /* of the peer, 0: not known */
	uint32_t uid;
	uint32_t listener;    /* index in the policy */
	uint32_t outstanding; /* commands at QEMU */
	uint32_t outstanding_oob;
	uint32_t pending_count;
	uint64_t commands; /* so far */
	uint64_t since;	   /* CLOCK_BOOTTIME in ns */
	uint64_t keep;	   /* position of the first byte that is not pending and still needed */
	struct qmp_framer framer;
	struct pending pending[ROUTER_PENDING];
};

struct request {
	uint64_t number; /* 0: free */
	uint32_t client; /* ROUTER_QEMU_SLOT: qmend itself asked */
	uint32_t generation;
	uint8_t oob;
	uint8_t with_fd;
	uint8_t cached;	 /* 1 + number of the cached answer that this one becomes, 0: none */
	uint8_t shared;	 /* identical queries may wait for this one */
	uint32_t fd_name; /* that it makes or closes, REGION_NONE: none */
	uint32_t tag;	  /* of the sink */
	char name[QMP_NAME_MAX];
};

enum fd_name_state {
	FD_NAME_FREE,
	FD_NAME_ASKED,	   /* its getfd is on its way */
	FD_NAME_HELD,	   /* QEMU holds a descriptor of this name */
	FD_NAME_ABANDONED, /* its owner has left: closefd is due */
	FD_NAME_CLOSING,   /* closefd is on its way */
};

struct fd_name {
	uint8_t state; /* enum fd_name_state */
	uint8_t reserved[3];
	uint32_t client;
	uint32_t generation;
	char name[ROUTER_FD_NAME_MAX];
};

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
	const char *vm;	 /* for the log */
	uint32_t slots;	 /* 1 + most clients */
	uint64_t queue_limit; /* bytes waiting for one client */
	bool keep_fd_names;
	bool coalesce;
	struct router_sink sink;
	struct conn_link *links;    /* by slot */
	struct qmp_framer *framers; /* by slot: ahead of those in the region */
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
/* Give the connection up from this side, as if QEMU had ended it. */
void router_lose_qemu(struct router *rt);

/* A socket is ready; the work is done by router_work(). */
void router_ready(struct router *rt, uint32_t slot, bool readable, bool writable);
/* Do what can be done at @now; true while there is more to do at once. */
bool router_work(struct router *rt, uint64_t now);
/* CLOCK_BOOTTIME in ns at which router_work() must be called again; UINT64_MAX: not at all. */
uint64_t router_deadline(const struct router *rt);
/* Is there room for one more client? */
bool router_has_room(const struct router *rt);
/* What to watch the socket of @slot for (loop.h); -1: it is closed. */
int router_interest(const struct router *rt, uint32_t slot);

/* Let these bytes (complete messages) go to every negotiated client. In the caller's transaction;
 * the room was made by router_make_room(). */
void router_broadcast(struct router *rt, const struct queue *messages);
void router_make_room(struct router *rt, uint64_t bytes_each, uint32_t copies);

struct qemu *router_qemu(const struct router *rt);
bool router_pick_free_slot(const struct router *rt, uint32_t *slot);

#endif
