/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_CONN_H
#define IO_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/queue.h"
#include "io/region.h"

/*
 * One non-blocking stream socket: bytes from the socket into a queue, bytes of another queue into
 * the socket, descriptors with the byte that they came or go with. struct conn is a record of the
 * region; struct conn_link is what one worker keeps about it and can make again.
 */
enum conn_state {
	CONN_FREE,
	CONN_OPEN,
	CONN_DRAINING, /* reads no more; closed when everything is written, or at the deadline */
	CONN_CLOSING,  /* inside conn_close() */
};

enum { CONN_FDS = 12, CONN_CONTROL = 24 };

/* struct mmsghdr, without _GNU_SOURCE for everybody; conn.c asserts that they are the same. */
struct conn_message {
	struct msghdr header;
	unsigned int length; /* written by the kernel inside the system call */
};

/* Armed before the call, applied after it: by this worker, or by the next one. */
struct conn_receipt {
	uint64_t base; /* position of the first byte that the call may move */
	uint32_t armed;
	uint32_t with_fd;
	struct conn_message message;
};

struct conn_fd {
	uint64_t at; /* position of the byte that it came with */
	int32_t fd;
	uint32_t reserved;
};

struct conn {
	uint32_t generation; /* counts the connections that this record has served */
	uint8_t state;	     /* enum conn_state */
	uint8_t takes_fds;   /* the peer may send descriptors */
	uint8_t in_ended;    /* the peer sends no more */
	uint8_t out_broken;  /* the peer reads no more */
	int32_t fd;
	int32_t out_fd; /* goes out with the byte at out_fd_at; -1: none */
	uint64_t out_fd_at;
	uint64_t deadline; /* DRAINING: CLOCK_BOOTTIME in ns */
	struct queue in, out;
	struct conn_receipt received, sent;
	uint32_t fd_count;
	uint32_t reserved;
	struct conn_fd fds[CONN_FDS]; /* received, claimed by nobody yet, oldest first */
	uint64_t control[CONN_CONTROL / 8];
};

struct conn_link {
	struct region *region;
	struct conn *conn;
	struct queue_cursor cursor; /* for reading `in` */
	uint32_t appetite;	    /* chunks to read at once */
};

enum conn_result {
	CONN_BLOCKED, /* nothing (more) to be had until the socket is ready again */
	CONN_PARTLY,  /* something moved, and there may be more */
	CONN_ENDED,   /* receive: end of stream; send: the peer is gone */
	CONN_STARVED, /* the pool is spent */
};

/* Begin to serve @fd (owned from here on), which must be a non-blocking stream socket. */
void conn_open(struct conn_link *l, int fd, bool takes_fds);
/* After a restart: apply what the last worker's calls did. */
void conn_restore(struct conn_link *l);

/* Each a transaction of its own, or several. */
enum conn_result conn_receive(struct conn_link *l) __attribute__((warn_unused_result));
enum conn_result conn_send(struct conn_link *l) __attribute__((warn_unused_result));

/* The stream in has ended: has the peer closed altogether (then out_broken is set), or does it
 * still read? */
void conn_note_hangup(struct conn_link *l);

/* Take the descriptor that came with the bytes before @end: the first of the last byte that
 * carried any, as QEMU does; the others are closed. -1: none came. In the caller's transaction. */
int conn_claim_fd(struct conn_link *l, uint64_t end);

/* Close the socket and every descriptor, drop all bytes, make the record free. */
void conn_close(struct conn_link *l);

#endif
