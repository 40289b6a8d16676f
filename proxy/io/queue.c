/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes waiting in the region, as chains of chunks: what was read and not yet understood, what is
 * to be written, held events, cached answers. It knows nothing of sockets or messages.
 *
 * Invariant: base <= tail <= head <= base + chunks * REGION_CHUNK; an empty chain has chunks == 0
 * and base == tail == head. Bytes behind the head do not exist for anybody, so they are written
 * without a log; everything else is edited in the caller's transaction.
 */
#include "io/queue.h"

#include <string.h>

void queue_init(struct queue *q)
{
	*q = (struct queue){ .first = REGION_NONE, .last = REGION_NONE };
}

uint64_t queue_length(const struct queue *q)
{
	return q->head - q->tail;
}

uint64_t queue_room_end(const struct queue *q)
{
	return q->base + (uint64_t)q->chunks * REGION_CHUNK;
}

bool queue_reserve(struct region *r, struct queue *q, uint64_t size)
{
	uint64_t room = q->chunks == 0 ? 0 : queue_room_end(q) - q->head;
	uint64_t count;
	uint32_t first, last;

	if (size <= room)
		return true;
	count = (size - room + REGION_CHUNK - 1) / REGION_CHUNK;
	if (count > region_chunks_free(r) || !region_chain_take(r, (uint32_t)count, &first, &last))
		return false;
	region_edit(r, q, sizeof(*q));
	if (q->chunks == 0) {
		q->first = first;
		q->base = q->head;
	} else {
		region_chain_link(r, q->last, first);
	}
	q->last = last;
	q->chunks += (uint32_t)count;
	return true;
}

/* The chunk that holds position @at (which must be in the chain) and the position of its start. */
static uint32_t find_chunk(const struct region *r, const struct queue *q, uint64_t at,
			   struct queue_cursor *c)
{
	uint32_t chunk = q->first;
	uint64_t base = q->base;

	if (at >= queue_room_end(q) - REGION_CHUNK) {
		chunk = q->last;
		base = queue_room_end(q) - REGION_CHUNK;
	} else if (c->queue == q && c->base >= base && c->base <= at) {
		chunk = c->chunk;
		base = c->base;
	}
	while (at - base >= REGION_CHUNK) {
		chunk = region_chunk_next(r, chunk);
		base += REGION_CHUNK;
	}
	*c = (struct queue_cursor){ q, chunk, base };
	return chunk;
}

/* One piece of at most @max bytes at position @at. */
static struct iovec piece_at(const struct region *r, const struct queue *q, uint64_t at,
			     uint64_t max, struct queue_cursor *c)
{
	uint32_t chunk = find_chunk(r, q, at, c);
	size_t skip = (size_t)(at - c->base);
	size_t size = REGION_CHUNK - skip;

	if (size > max)
		size = (size_t)max;
	return (struct iovec){ region_chunk(r, chunk) + skip, size };
}

size_t queue_pieces(const struct region *r, const struct queue *q, uint64_t from, uint64_t to,
		    struct iovec piece[QUEUE_PIECES])
{
	struct queue_cursor c = { 0 };
	size_t n = 0;

	while (from < to && n < QUEUE_PIECES) {
		piece[n] = piece_at(r, q, from, to - from, &c);
		from += piece[n].iov_len;
		n++;
	}
	return n;
}

/* Bytes behind the head: nobody sees them before the head is moved. */
static void write_at(struct region *r, struct queue *q, uint64_t at, struct span s)
{
	struct queue_cursor c = { 0 };

	for (size_t done = 0; done < s.len;) {
		struct iovec v = piece_at(r, q, at + done, s.len - done, &c);

		memcpy(v.iov_base, s.p + done, v.iov_len);
		done += v.iov_len;
	}
}

bool queue_append(struct region *r, struct queue *q, struct span s)
{
	if (!queue_reserve(r, q, s.len))
		return false;
	write_at(r, q, q->head, s);
	if (s.len > 0)
		REGION_SET(r, q->head, q->head + s.len);
	return true;
}

bool queue_append_queue(struct region *r, struct queue *q, const struct queue *from)
{
	struct queue_cursor c = { 0 };
	uint64_t length = queue_length(from);

	if (!queue_reserve(r, q, length))
		return false;
	for (uint64_t at = from->tail; at < from->head;) {
		struct span s = queue_view(r, from, at, &c);

		write_at(r, q, q->head + (at - from->tail), s);
		at += s.len;
	}
	if (length > 0)
		REGION_SET(r, q->head, q->head + length);
	return true;
}

/* How many chunks at the front hold nothing that lies at or behind @to, and the last of them. */
static uint32_t count_spent(const struct region *r, const struct queue *q, uint64_t to,
			    uint32_t *last)
{
	uint32_t spent = (uint32_t)((to - q->base) / REGION_CHUNK);

	if (to == q->head) {
		*last = q->last;
		return q->chunks;
	}
	*last = q->first;
	for (uint32_t i = 1; i < spent; i++)
		*last = region_chunk_next(r, *last);
	return spent;
}

void queue_consume(struct region *r, struct queue *q, uint64_t to)
{
	uint32_t spent, last, rest;

	if (to == q->tail && (to != q->head || q->chunks == 0))
		return;
	region_edit(r, q, sizeof(*q));
	q->tail = to;
	if (q->chunks == 0) {
		q->base = to;
		return;
	}
	spent = count_spent(r, q, to, &last);
	if (spent == 0)
		return;
	rest = spent == q->chunks ? REGION_NONE : region_chunk_next(r, last);
	region_chain_give(r, q->first, last, spent);
	q->first = rest;
	q->chunks -= spent;
	q->base += (uint64_t)spent * REGION_CHUNK;
	if (q->chunks == 0) {
		q->last = REGION_NONE;
		q->base = to;
	}
}

void queue_clear(struct region *r, struct queue *q)
{
	queue_consume(r, q, q->head);
}

struct span queue_view(const struct region *r, const struct queue *q, uint64_t from,
		       struct queue_cursor *c)
{
	struct iovec v;

	if (from >= q->head)
		return (struct span){ "", 0 };
	v = piece_at(r, q, from, q->head - from, c);
	return (struct span){ v.iov_base, v.iov_len };
}

struct span queue_gather(const struct region *r, const struct queue *q, uint64_t from, uint64_t to,
			 struct qmp_buffer *scratch)
{
	struct queue_cursor c = { 0 };
	struct span s;

	if (from >= to)
		return (struct span){ "", 0 };
	s = queue_view(r, q, from, &c);
	if (s.len >= to - from)
		return (struct span){ s.p, (size_t)(to - from) };
	qmp_buffer_clear(scratch);
	while (from < to) {
		s = queue_view(r, q, from, &c);
		if (s.len > to - from)
			s.len = (size_t)(to - from);
		if (!qmp_buffer_add(scratch, s))
			break;
		from += s.len;
	}
	return qmp_buffer_span(scratch);
}
