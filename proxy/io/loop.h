/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/* The event loop: the only header that includes libev. Callbacks note what happened; the work is
 * done in the drain functions, once per turn, before the loop sleeps. */
struct loop;
struct folders;

enum { LOOP_READ = EV_READ, LOOP_WRITE = EV_WRITE };

/* Embedded in its owner. The owner outlives it or stops it. */
struct loop_io {
	struct ev_io watcher;
	void (*ready)(void *owner, int events);
	void *owner;
};

/* Work done once per turn. Returns true while there is more to do at once. */
struct loop_drain {
	bool (*work)(void *owner);
	/* When to wake at the latest: CLOCK_BOOTTIME in ns, UINT64_MAX: not at all. */
	uint64_t (*deadline)(void *owner);
	void *owner;
	struct loop_drain *next;
};

struct loop *loop_new(void);
void loop_free(struct loop *l);
void loop_run(struct loop *l); /* until loop_stop() */
void loop_stop(struct loop *l);

void loop_add_drain(struct loop *l, struct loop_drain *d);
void loop_remove_drain(struct loop *l, struct loop_drain *d);

void loop_io_init(struct loop_io *io, void (*ready)(void *owner, int events), void *owner);
/* Watch @fd for @events (0: not at all). Cheap when nothing changes. Stop it before @fd is closed:
 * another file under the same number would not be seen. */
void loop_io_set(struct loop *l, struct loop_io *io, int fd, int events);
void loop_io_stop(struct loop *l, struct loop_io *io);

/* CLOCK_BOOTTIME in ns, read once per turn; tests set it. */
uint64_t loop_now(struct loop *l);
void loop_set_clock(struct loop *l, uint64_t (*clock)(void));

/* Where io/folder.c keeps what it has for this loop, NULL at first; loop_free() frees it. */
struct folders **loop_folders(struct loop *l);

#endif
