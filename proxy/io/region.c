/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory that outlives the worker: tables, undo log, chunk pool. It knows nothing of what the
 * records mean. Everybody who keeps state of a VM uses it; only vm.c makes one.
 *
 * Theory of operation
 * -------------------
 * A worker may die between any two instructions. The next one maps the same memory and must find
 * a state from which it can go on as if nothing had happened. Three kinds of stores make that so:
 *
 * 1. Transactions. region_edit() copies the old bytes of a record into the undo log, then the log's
 *    top moves, then the record may be changed. region_commit() sets the top to 0: this one store
 *    makes all changes final. region_attach() finds the top not 0 and copies the old bytes back,
 *    newest first. One message is one transaction.
 * 2. Receipts (io/conn.c): written by the kernel inside a system call, applied with absolute
 * values, so that applying them twice does no harm.
 * 3. Bytes that nobody can see yet: behind the head of a queue, in chunks of no chain, links of
 *    such chunks. They need no log.
 *
 * A killed process has made all its earlier stores and none later, so compiler barriers are enough
 * (facts: keeper study, "memory order"). Nothing here depends on the address of the mapping.
 *
 * The pool: chunks below `fresh` have been used before and, when free, hang on the free list; those
 * above have never been touched and cost no memory. Free chunks at the front of the list that still
 * hold memory are counted in `dirty`; region_trim() gives that memory back. A chunk that is given
 * back waits in a chain of its own until the transaction is final, because its bytes must still be
 * there if the transaction is undone.
 */
#define _GNU_SOURCE
#include "io/region.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define REGION_MAGIC UINT64_C(0x31646e656d71) /* "qmend1" */

enum { DIRTY_MAX = 128, PAGE = 4096, ALIGNMENT = 64 };

struct pool {
	uint32_t free_first;  /* chain of free chunks, REGION_NONE: none */
	uint32_t free_count;  /* its length */
	uint32_t fresh;	      /* chunks from here on have never been used */
	uint32_t dirty;	      /* the first so many free chunks hold memory */
	uint32_t freed_first; /* chain of those given back in the open transaction */
	uint32_t freed_last;
	uint32_t freed_count;
	uint32_t reserved;
};

struct header {
	uint64_t magic;
	uint64_t size; /* of the whole region in bytes */
	struct region_layout layout;
	uint64_t offset[REGION_MAX_SECTIONS];
	uint64_t undo_offset, next_offset, chunk_offset;
	uint64_t undo_top; /* bytes in the undo log; 0: no transaction is open */
	struct pool pool;
};

/* Behind the old bytes in the undo log, so that the log can be read backwards. */
struct undo {
	uint64_t offset;
	uint64_t size; /* of the old bytes, which are padded to 8 */
};

struct region {
	int fd;
	char *base;
	struct header *header;
	uint32_t *next;
	void (*hook)(void *owner);
	void *hook_owner;
};

static inline void compiler_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

static uint64_t align(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Where everything lies, from the layout alone. */
static void place(struct header *h, const struct region_layout *layout)
{
	uint64_t at = align(sizeof(*h), ALIGNMENT);

	h->layout = *layout;
	for (uint32_t i = 0; i < layout->section_count; i++) {
		h->offset[i] = at;
		at += align((uint64_t)layout->section[i].size * layout->section[i].count,
			    ALIGNMENT);
	}
	h->undo_offset = align(at, PAGE);
	h->next_offset = align(h->undo_offset + layout->undo_bytes, PAGE);
	h->chunk_offset = align(h->next_offset + (uint64_t)layout->chunks * sizeof(uint32_t), PAGE);
	h->size = h->chunk_offset + (uint64_t)layout->chunks * REGION_CHUNK;
	h->pool.free_first = REGION_NONE;
	h->pool.freed_first = REGION_NONE;
	h->magic = REGION_MAGIC;
}

static struct region *map(int fd, uint64_t size, struct qmp_error *e)
{
	struct region *r = calloc(1, sizeof(*r));
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (r == NULL)
		abort();
	if (base == MAP_FAILED) {
		qmp_error_sys(e, "region of %llu bytes", (unsigned long long)size);
		close(fd);
		free(r);
		return NULL;
	}
	r->fd = fd;
	r->base = base;
	r->header = base;
	return r;
}

struct region *region_new(const struct region_layout *layout, struct qmp_error *e)
{
	struct header h = { 0 };
	struct region *r;
	int fd = memfd_create("qmend", MFD_CLOEXEC);

	place(&h, layout);
	if (fd < 0 || ftruncate(fd, (off_t)h.size) != 0) {
		qmp_error_sys(e, "region of %llu bytes", (unsigned long long)h.size);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	r = map(fd, h.size, e);
	if (r == NULL)
		return NULL;
	*r->header = h;
	r->next = (uint32_t *)(void *)(r->base + h.next_offset);
	return r;
}

static void rollback(struct region *r)
{
	struct header *h = r->header;
	char *log = r->base + h->undo_offset;

	while (h->undo_top != 0) {
		struct undo u;

		uint64_t top;

		memcpy(&u, log + h->undo_top - sizeof(u), sizeof(u));
		top = h->undo_top - sizeof(u) - align(u.size, 8);
		memcpy(r->base + u.offset, log + top, u.size);
		compiler_barrier();
		h->undo_top = top; /* only now: a death in here must find the entry again */
		compiler_barrier();
	}
}

/* Every number of the log must lie inside the region before it is believed. */
static bool undo_is_sound(const struct region *r)
{
	const struct header *h = r->header;
	uint64_t top = h->undo_top;

	if (top > h->layout.undo_bytes)
		return false;
	while (top != 0) {
		struct undo u;

		if (top < sizeof(u))
			return false;
		memcpy(&u, r->base + h->undo_offset + top - sizeof(u), sizeof(u));
		top -= sizeof(u);
		if (u.size > top || align(u.size, 8) > top || u.offset > h->size - u.size)
			return false;
		top -= align(u.size, 8);
	}
	return true;
}

void region_free(struct region *r)
{
	if (r == NULL)
		return;
	munmap(r->base, r->header->size);
	close(r->fd);
	free(r);
}

int region_fd(const struct region *r)
{
	return r->fd;
}

void *region_at(const struct region *r, uint32_t section, uint32_t index)
{
	const struct region_layout *l = &r->header->layout;

	if (section >= l->section_count || index >= l->section[section].count)
		abort();
	return r->base + r->header->offset[section] + (size_t)index * l->section[section].size;
}

uint32_t region_count(const struct region *r, uint32_t section)
{
	return r->header->layout.section[section].count;
}

void region_edit(struct region *r, void *p, size_t size)
{
	struct header *h = r->header;
	char *at = r->base + h->undo_offset + h->undo_top;
	uint64_t padded = align(size, 8);
	struct undo u = { (uint64_t)((char *)p - r->base), size };

	if (h->undo_top + padded + sizeof(u) > h->layout.undo_bytes)
		abort();
	memcpy(at, p, size);
	memcpy(at + padded, &u, sizeof(u));
	compiler_barrier();
	h->undo_top += padded + sizeof(u);
	compiler_barrier();
	region_barrier(r);
}

static void forget_undo(struct region *r)
{
	region_barrier(r);
	r->header->undo_top = 0;
	region_barrier(r);
}

/* The transaction that gave these chunks back is final: others may have them. */
static void free_given_chunks(struct region *r)
{
	struct pool *p = &r->header->pool;

	if (p->freed_count == 0)
		return;
	region_edit(r, p, sizeof(*p));
	region_chain_link(r, p->freed_last, p->free_first);
	p->free_first = p->freed_first;
	p->free_count += p->freed_count;
	p->dirty += p->freed_count;
	p->freed_first = REGION_NONE;
	p->freed_count = 0;
	forget_undo(r);
}

void region_commit(struct region *r)
{
	forget_undo(r);
	free_given_chunks(r);
}

struct region *region_attach(int fd, const struct region_layout *layout, struct qmp_error *e)
{
	struct header want = { 0 };
	struct region *r;
	struct stat st;

	place(&want, layout);
	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != want.size) {
		qmp_error_set(e, "region has another size than this qmend's");
		close(fd);
		return NULL;
	}
	r = map(fd, want.size, e);
	if (r == NULL)
		return NULL;
	if (r->header->magic != REGION_MAGIC ||
	    memcmp(&r->header->layout, &want.layout, sizeof(want.layout)) != 0 ||
	    memcmp(r->header->offset, want.offset, sizeof(want.offset)) != 0 ||
	    r->header->chunk_offset != want.chunk_offset || !undo_is_sound(r)) {
		qmp_error_set(e, "region has another layout than this qmend's");
		region_free(r);
		return NULL;
	}
	r->next = (uint32_t *)(void *)(r->base + want.next_offset);
	rollback(r);
	free_given_chunks(r);
	return r;
}

void region_set_hook(struct region *r, void (*hook)(void *owner), void *owner)
{
	r->hook = hook;
	r->hook_owner = owner;
}

void region_barrier(struct region *r)
{
	compiler_barrier();
	if (r->hook != NULL)
		r->hook(r->hook_owner);
}

char *region_chunk(const struct region *r, uint32_t chunk)
{
	if (chunk >= r->header->layout.chunks)
		abort();
	return r->base + r->header->chunk_offset + (size_t)chunk * REGION_CHUNK;
}

uint32_t region_chunk_next(const struct region *r, uint32_t chunk)
{
	if (chunk >= r->header->layout.chunks)
		abort();
	return r->next[chunk];
}

/* The first @count chunks of the free list, which has so many. */
static void take_free(struct region *r, struct pool *p, uint32_t count, uint32_t *first,
		      uint32_t *last)
{
	*first = p->free_first;
	*last = *first;
	for (uint32_t i = 1; i < count; i++)
		*last = region_chunk_next(r, *last);
	p->free_count -= count;
	p->free_first = p->free_count == 0 ? REGION_NONE : region_chunk_next(r, *last);
	p->dirty -= p->dirty < count ? p->dirty : count;
}

/* @count chunks that were never used; their links can be written without a log. */
static void take_fresh(struct region *r, struct pool *p, uint32_t count, uint32_t *first,
		       uint32_t *last)
{
	*first = p->fresh;
	*last = p->fresh + count - 1;
	for (uint32_t i = *first; i < *last; i++)
		r->next[i] = i + 1;
	p->fresh += count;
}

bool region_chain_take(struct region *r, uint32_t count, uint32_t *first, uint32_t *last)
{
	struct pool *p = &r->header->pool;
	uint32_t from_free = count < p->free_count ? count : p->free_count;
	uint32_t fresh;

	if (count == 0 || count > region_chunks_free(r))
		return false;
	region_edit(r, p, sizeof(*p));
	if (from_free > 0)
		take_free(r, p, from_free, first, last);
	if (from_free == count)
		return true;
	if (from_free == 0) {
		take_fresh(r, p, count, first, last);
		return true;
	}
	region_edit(r, &r->next[*last], sizeof(r->next[*last]));
	r->next[*last] = p->fresh;
	take_fresh(r, p, count - from_free, &fresh, last);
	return true;
}

void region_chain_link(struct region *r, uint32_t last, uint32_t first)
{
	if (last >= r->header->layout.chunks)
		abort();
	region_edit(r, &r->next[last], sizeof(r->next[last]));
	r->next[last] = first;
}

void region_chain_give(struct region *r, uint32_t first, uint32_t last, uint32_t count)
{
	struct pool *p = &r->header->pool;

	region_edit(r, p, sizeof(*p));
	region_chain_link(r, last, p->freed_first);
	if (p->freed_count == 0)
		p->freed_last = last;
	p->freed_first = first;
	p->freed_count += count;
}

uint32_t region_chunks_free(const struct region *r)
{
	return r->header->pool.free_count + r->header->layout.chunks - r->header->pool.fresh;
}

uint32_t region_chunks_used(const struct region *r)
{
	return r->header->layout.chunks - region_chunks_free(r) - r->header->pool.freed_count;
}

void region_trim(struct region *r)
{
	struct pool *p = &r->header->pool;
	uint32_t chunk = p->free_first;

	if (p->dirty <= DIRTY_MAX)
		return;
	for (uint32_t left = p->dirty; left > 0;) {
		uint32_t first = chunk;
		uint32_t run = 0;

		while (left > 0 && chunk == first + run) {
			chunk = region_chunk_next(r, chunk);
			run++;
			left--;
		}
		if (madvise(region_chunk(r, first), (size_t)run * REGION_CHUNK, MADV_REMOVE) != 0)
			break;
	}
	REGION_SET(r, p->dirty, 0);
	region_commit(r);
}
