/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_QUEUE_H
#define IO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "io/region.h"
#include "qmp/buffer.h"
#include "qmp/span.h"

enum { QUEUE_PIECES = 16 };

/*
 * Bytes waiting in the region: a chain of chunks. A record, to be embedded in others; empty, it
 * holds no chunk. Positions are offsets in the stream of all bytes that ever passed through it.
 * A record that is all zero must be made a queue by queue_init().
 */
struct queue {
	uint32_t first, last; /* chunks; REGION_NONE: none */
	uint32_t chunks;
	uint32_t reserved;
	uint64_t base; /* position of the first byte of `first` */
	uint64_t tail; /* bytes [tail, head) are there */
	uint64_t head;
};

/* Where a position was found last, so that it need not be searched from the start of the chain.
 * Never in the region; all zero: nowhere. */
struct queue_cursor {
	const struct queue *queue;
	uint32_t chunk;
	uint64_t base;
};

void queue_init(struct queue *q);
uint64_t queue_length(const struct queue *q);

/* These change records and belong into a transaction. */

/* Room for @size bytes behind the head; false when the pool is spent. */
bool queue_reserve(struct region *r, struct queue *q, uint64_t size)
	__attribute__((warn_unused_result));
bool queue_append(struct region *r, struct queue *q, struct span s)
	__attribute__((warn_unused_result));
/* Append a copy of all bytes of @from. */
bool queue_append_queue(struct region *r, struct queue *q, const struct queue *from)
	__attribute__((warn_unused_result));
/* Drop the bytes before position @to, and reserved room when none is left. */
void queue_consume(struct region *r, struct queue *q, uint64_t to);
/* Drop everything. */
void queue_clear(struct region *r, struct queue *q);

/* These only look. */

/* The bytes from position @from on that lie in one piece; empty at the head. */
struct span queue_view(const struct region *r, const struct queue *q, uint64_t from,
		       struct queue_cursor *c);
/* The bytes [from, to) in one piece: in place when they lie so, else copied to @scratch. */
struct span queue_gather(const struct region *r, const struct queue *q, uint64_t from, uint64_t to,
			 struct qmp_buffer *scratch);
/* Pieces that cover the bytes from @from to @to, which may reach into reserved room, as far as
 * QUEUE_PIECES are enough; how many. */
size_t queue_pieces(const struct region *r, const struct queue *q, uint64_t from, uint64_t to,
		    struct iovec piece[QUEUE_PIECES]);
/* Position behind the last reserved byte. */
uint64_t queue_room_end(const struct queue *q);

#endif
