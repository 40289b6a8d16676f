/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MUX_RECORDS_H
#define MUX_RECORDS_H

#include <stdint.h>

#include "io/queue.h"
#include "qmp/framer.h"
#include "qmp/message.h"

/* The records of the multiplexer in the region of one VM. Plain data; they name each other by slot
 * and generation, or by number. All zero (but for queues and descriptors) is "not in use". */
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
	ROUTER_REQUESTS = 16, /* in-band and OOB together fit */
	ROUTER_PENDING = 8,   /* commands of one client that wait here, as in QEMU's own queue */
	ROUTER_ID_MAX = 64,
	ROUTER_COMMAND_MAX = 48,	/* bytes kept of the name of a command */
	ROUTER_COMPACT_MAX = 64 * 1024, /* bytes; longer commands are sent with their blanks */
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
	uint32_t turn;	  /* the client that was served last */
	uint32_t pid;	  /* of the process at the other end, 0: not known */
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
	uint8_t doomed; /* something for it did not fit: not a byte more is sent, it is closed */
	uint8_t reserved[3];
	uint32_t pid; /* of the peer, 0: not known */
	uint32_t uid;
	uint32_t listener;    /* index in the policy */
	uint32_t outstanding; /* commands at QEMU */
	uint32_t outstanding_oob;
	uint32_t pending_count;
	uint64_t commands; /* so far */
	uint64_t largest;  /* bytes of the largest message since `out` was empty */
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
	uint8_t takes_fd;   /* a command that takes a descriptor: one at a time */
	uint8_t with_fd;    /* and it carries one */
	uint8_t bare;	    /* its id at QEMU is the number alone */
	uint8_t cached;	    /* 1 + number of the cached answer that this one becomes, 0: none */
	uint8_t shared;	    /* identical queries may wait for this one */
	uint32_t fd_name;   /* that it makes or closes, REGION_NONE: none */
	uint32_t tag;	    /* of the sink */
	uint32_t id_length; /* of id_text, 0: the id is not there */
	char id_text[ROUTER_ID_MAX]; /* the client's id, when it stayed here: see request_send() */
	struct queue id;	     /* the same when it is too long */
	char name[ROUTER_COMMAND_MAX];
};

enum fd_name_state {
	FD_NAME_FREE,
	FD_NAME_ASKED,	   /* its getfd is on its way */
	FD_NAME_HELD,	   /* QEMU holds a descriptor of this name */
	FD_NAME_ABANDONED, /* its owner has left: closefd is due */
	FD_NAME_CLOSING,   /* closefd is on its way */
	FD_NAME_STRAY,	   /* QEMU refused the command: the descriptor lies there, getfd is due */
};

struct fd_name {
	uint8_t state; /* enum fd_name_state */
	uint8_t reserved[3];
	uint32_t client;
	uint32_t generation;
	char name[ROUTER_FD_NAME_MAX];
};

#endif
