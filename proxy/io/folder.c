/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches folders for files that others make. Used by dial.c for QEMU's socket and by
 * mend/process.c for what a backend makes when it is ready.
 *
 * Theory of operation. Closing an inotify descriptor that has watches blocks for 10 ms and more in
 * the kernel, removing a watch does not: so each loop has one descriptor, made with the first watch
 * and closed with the loop. The kernel gives one watch descriptor (wd) per folder and inotify
 * instance, so that all watches of a folder share it; the last that stops removes it. Numbers are
 * not given out again (until 2^31 of them were), so that a late event finds nobody. All use one
 * mask, since inotify_add_watch() replaces that of a wd that exists.
 */
#define _GNU_SOURCE 1 /* IN_CLOEXEC, PATH_MAX */
#include "io/folder.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

static const uint32_t MASK = IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_CLOSE_WRITE | IN_DELETE_SELF |
			     IN_MOVE_SELF | IN_ONLYDIR;
/* The wd stands no longer for what is at the path. */
static const uint32_t GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

struct folders {
	struct loop *loop;
	struct loop_io io;
	int fd; /* -1: there was none to be had */
	struct folder_watch *watches;
	struct folder_watch *cursor; /* next watch of a walk; kept right by drop() */
};

static bool is_used(const struct folders *f, int wd)
{
	for (const struct folder_watch *w = f->watches; w != NULL; w = w->next)
		if (w->wd == wd)
			return true;
	return false;
}

/* Off the list; the wd goes with its last user. */
static void drop(struct folders *f, struct folder_watch *w)
{
	struct folder_watch **at = &f->watches;
	int wd = w->wd;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (f->cursor == w)
		f->cursor = w->next;
	w->next = NULL;
	w->wd = -1;
	/* Fails when the kernel has removed it already, with the folder. */
	if (!is_used(f, wd))
		(void)inotify_rm_watch(f->fd, wd);
}

static bool concerns(const struct folder_watch *w, const struct inotify_event *i)
{
	if ((i->mask & IN_Q_OVERFLOW) != 0)
		return true;
	return w->wd == i->wd && (i->len == 0 || strcmp(i->name, w->name) == 0);
}

/* Watches that changed() starts are put in front of the walk: this event is not theirs. */
static void tell(struct folders *f, const struct inotify_event *i)
{
	for (struct folder_watch *w = f->watches; w != NULL; w = f->cursor) {
		f->cursor = w->next;
		if (!concerns(w, i))
			continue;
		if ((i->mask & (GONE | IN_Q_OVERFLOW)) != 0)
			drop(f, w);
		w->changed(w->owner);
	}
}

static void on_events(void *owner, int events)
{
	struct folders *f = owner;
	_Alignas(struct inotify_event) char buf[16384];
	ssize_t n = read(f->fd, buf, sizeof(buf));

	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *i = (const void *)(buf + at);

		tell(f, i);
		at += (ssize_t)(sizeof(*i) + i->len);
	}
}

/* The loop's, made when there is none yet; without a descriptor if the system has no more. */
static struct folders *folders_of(struct loop *l)
{
	struct folders **f = loop_folders(l);

	if (*f == NULL) {
		*f = calloc(1, sizeof(**f));
		if (*f == NULL)
			abort();
		(*f)->loop = l;
		(*f)->fd = -1;
		loop_io_init(&(*f)->io, on_events, *f);
	}
	if ((*f)->fd < 0) {
		(*f)->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if ((*f)->fd >= 0)
			loop_io_set(l, &(*f)->io, (*f)->fd, LOOP_READ);
	}
	return *f;
}

void folders_free(struct folders *f)
{
	if (f == NULL)
		return;
	if (f->fd >= 0) {
		loop_io_stop(f->loop, &f->io);
		close(f->fd);
	}
	free(f);
}

/* The wd of the folder of @path, -1: none. */
static int add(const struct folders *f, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX] = ".";
	size_t len;

	if (f->fd < 0)
		return -1;
	if (slash != NULL) {
		len = slash == path ? 1 : (size_t)(slash - path);
		if (len >= sizeof(folder))
			return -1;
		memcpy(folder, path, len);
		folder[len] = '\0';
	}
	return inotify_add_watch(f->fd, folder, MASK);
}

void folder_watch_init(struct folder_watch *w, void (*changed)(void *owner), void *owner)
{
	*w = (struct folder_watch){ .changed = changed, .owner = owner, .wd = -1 };
}

bool folder_watch_start(struct loop *l, struct folder_watch *w, const char *path)
{
	struct folders *f = folders_of(l);
	const char *slash = strrchr(path, '/');
	int wd = add(f, path);

	if (w->wd >= 0 && w->wd != wd)
		drop(f, w);
	w->name = slash == NULL ? path : slash + 1;
	if (wd < 0)
		return false;
	if (w->wd < 0) {
		w->wd = wd;
		w->next = f->watches;
		f->watches = w;
	}
	return true;
}

void folder_watch_stop(struct loop *l, struct folder_watch *w)
{
	if (w->wd >= 0)
		drop(*loop_folders(l), w);
}

bool folder_watch_active(const struct folder_watch *w)
{
	return w->wd >= 0;
}
