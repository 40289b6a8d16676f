/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_FOLDER_H
#define IO_FOLDER_H

#include <stdbool.h>

#include "io/loop.h"

/* Tells when a file appears or changes: one inotify descriptor for all watches of a loop. */
struct folders;

/* Embedded in its owner, who stops it before the loop is freed. */
struct folder_watch {
	/* From the loop: something happened to the file or to its folder itself, or events were
	 * lost. The watch has ended if the folder is gone from its path (removed, renamed,
	 * unmounted) or events were lost. May stop and start any watch. */
	void (*changed)(void *owner);
	void *owner;
	const char *name; /* the last part of the path, as given */
	int wd;		  /* -1: watches nothing */
	struct folder_watch *next;
};

void folder_watch_init(struct folder_watch *w, void (*changed)(void *owner), void *owner);

/* Watch for the file @path, which need not exist and outlives the watch, in the folder that is
 * there now. Started again, it follows the path to another folder. False: it watches nothing, since
 * there is no such folder or inotify gives no more watches. */
bool folder_watch_start(struct loop *l, struct folder_watch *w, const char *path);
void folder_watch_stop(struct loop *l, struct folder_watch *w);
bool folder_watch_active(const struct folder_watch *w);

/* For loop_free(), which is the only caller; NULL is fine. */
void folders_free(struct folders *f);

#endif
