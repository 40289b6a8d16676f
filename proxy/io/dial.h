/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "io/folder.h"
#include "io/loop.h"

/* Connects to a socket path as soon as somebody listens there, however long that takes, without
 * being awake for it: a watch on its folder, and a few tries after each change of the file. */
struct dial {
	struct loop *loop;
	const char *path;
	struct folder_watch watch; /* from the first failure on, if there is a folder */
	bool active;
	uint64_t retry_at; /* CLOCK_BOOTTIME in ns, UINT64_MAX: when the folder changes */
	uint64_t delay;	   /* ns until the try after the next */
	int last_error;	   /* errno that was logged */
};

void dial_init(struct dial *d, struct loop *loop, const char *path);
/* Begin, with a first try at @not_before. */
void dial_start(struct dial *d, uint64_t not_before);
void dial_stop(struct dial *d);
/* Try if it is time; the connected descriptor, or -1. */
int dial_work(struct dial *d, uint64_t now);
uint64_t dial_deadline(const struct dial *d);

#endif
