/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_REGION_H
#define IO_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/error.h"

/*
 * The memory of one VM that outlives the worker: one memfd, mapped shared. It holds tables
 * ("sections") of plain records, an undo log and a pool of chunks from which queues are made.
 * Records name each other by index and generation, never by pointer. The rules are in region.c.
 */
struct region;

enum { REGION_CHUNK = 4096, REGION_MAX_SECTIONS = 16 };
#define REGION_NONE UINT32_MAX

struct region_section {
	uint32_t size;	/* bytes of one record */
	uint32_t count; /* records */
};

struct region_layout {
	uint32_t version; /* of the records: changes whenever one of them does */
	uint32_t section_count;
	struct region_section section[REGION_MAX_SECTIONS];
	uint64_t undo_bytes; /* largest sum of all edits of one transaction, 24 bytes more for each
			      */
	uint32_t chunks;     /* in the pool */
};

/* A new region, all zero. */
struct region *region_new(const struct region_layout *layout, struct qmp_error *e)
	__attribute__((warn_unused_result));

/* Map the region behind @fd (taken), which must have this layout, and undo the transaction that
 * its last worker did not finish. */
struct region *region_attach(int fd, const struct region_layout *layout, struct qmp_error *e)
	__attribute__((warn_unused_result));
void region_free(struct region *r);
int region_fd(const struct region *r);

/* Record @index of @section; both must exist. */
void *region_at(const struct region *r, uint32_t section, uint32_t index);
uint32_t region_count(const struct region *r, uint32_t section);

/* Note the bytes [p, p + size) before they are changed. Until the next commit they can be put back.
 */
void region_edit(struct region *r, void *p, size_t size);
#define REGION_SET(r, lvalue, value) \
	(region_edit((r), &(lvalue), sizeof(lvalue)), (lvalue) = (value))

/* All edits since the last commit become final, together. */
void region_commit(struct region *r);

/* For tests: called at each instant at which a death would make a difference. */
void region_set_hook(struct region *r, void (*hook)(void *owner), void *owner);
void region_barrier(struct region *r);

/* The pool. Chunks form chains; the link of the last is not defined. */
char *region_chunk(const struct region *r, uint32_t chunk);
uint32_t region_chunk_next(const struct region *r, uint32_t chunk);
/* Take a chain of @count chunks: *first to *last. False, and nothing taken, when they are not
 * there. */
bool region_chain_take(struct region *r, uint32_t count, uint32_t *first, uint32_t *last)
	__attribute__((warn_unused_result));
/* Link the chain that begins at @first behind chunk @last, which was the last of its own. */
void region_chain_link(struct region *r, uint32_t last, uint32_t first);
void region_chain_give(struct region *r, uint32_t first, uint32_t last, uint32_t count);
uint32_t region_chunks_free(const struct region *r);
uint32_t region_chunks_used(const struct region *r);
/* Give memory of chunks that are not used back to the system when there is much of it. */
void region_trim(struct region *r);

#endif
