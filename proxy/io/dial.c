/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waits for a listener to appear at a path and connects to it. bind() makes the file some time
 * before listen() makes it answer, so each change of the file is followed by tries at growing
 * intervals; then it sleeps until the next change. Where the folder cannot be watched (it does not
 * exist yet), and while others fill the backlog, it tries once a second. A listener that is there
 * already costs no watch: first comes a try, then the watch, then a try for what happened between.
 * Used by vm.c for QEMU.
 */
#define _GNU_SOURCE
#include "io/dial.h"

#include <errno.h>

#include "io/log.h"
#include "io/sock.h"

static const uint64_t FIRST_DELAY = UINT64_C(5000000);	 /* 5 ms */
static const uint64_t LAST_DELAY = UINT64_C(1000000000); /* 1 s */

static void on_change(void *owner)
{
	struct dial *d = owner;

	d->retry_at = 0;
	d->delay = FIRST_DELAY;
}

void dial_init(struct dial *d, struct loop *loop, const char *path)
{
	*d = (struct dial){ .loop = loop, .path = path, .retry_at = UINT64_MAX };
	folder_watch_init(&d->watch, on_change, d);
}

void dial_start(struct dial *d, uint64_t not_before)
{
	d->active = true;
	d->retry_at = not_before;
	d->delay = FIRST_DELAY;
	d->last_error = 0;
	/* A new listener is worth a try before that. */
	if (not_before > loop_now(d->loop))
		(void)folder_watch_start(d->loop, &d->watch, d->path);
}

void dial_stop(struct dial *d)
{
	folder_watch_stop(d->loop, &d->watch);
	d->active = false;
	d->retry_at = UINT64_MAX;
}

static void plan_next(struct dial *d, uint64_t now, int error)
{
	if (!folder_watch_active(&d->watch) || error == EAGAIN || error == EMFILE ||
	    error == ENFILE) {
		d->retry_at = now + LAST_DELAY;
	} else if (d->delay > LAST_DELAY) {
		d->retry_at = UINT64_MAX;
	} else {
		d->retry_at = now + d->delay;
		d->delay *= 2;
	}
}

/* Watch the folder that is there now; true: something may have been missed. */
static bool watch_anew(struct dial *d)
{
	if (folder_watch_active(&d->watch) && d->delay <= LAST_DELAY)
		return false;
	return folder_watch_start(d->loop, &d->watch, d->path);
}

int dial_work(struct dial *d, uint64_t now)
{
	struct qmp_error e;
	int fd, error;

	if (!d->active || now < d->retry_at)
		return -1;
	fd = sock_connect(d->path, &e);
	error = errno;
	if (fd < 0 && watch_anew(d)) {
		fd = sock_connect(d->path, &e);
		error = errno;
	}
	if (fd >= 0) {
		dial_stop(d);
		return fd;
	}
	if (error != d->last_error) {
		d->last_error = error;
		log_info("event=qemu-awaited path=%s error=%s", log_quote(d->path).text,
			 log_quote(e.text).text);
	}
	plan_next(d, now, error);
	return -1;
}

uint64_t dial_deadline(const struct dial *d)
{
	return d->active ? d->retry_at : UINT64_MAX;
}
