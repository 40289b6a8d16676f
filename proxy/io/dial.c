/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waits for a listener to appear at a path and connects to it. bind() makes the file some time
 * before listen() makes it answer, so each change of the folder is followed by tries at growing
 * intervals; then it sleeps until the next change. Where the folder cannot be watched (it does not
 * exist yet), and while others fill the backlog, it tries once a second. Used by vm.c for QEMU.
 */
#define _GNU_SOURCE
#include "io/dial.h"

#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "io/log.h"
#include "io/sock.h"

static const uint64_t FIRST_DELAY = UINT64_C(5000000);	 /* 5 ms */
static const uint64_t LAST_DELAY = UINT64_C(1000000000); /* 1 s */

static void on_change(void *owner, int events)
{
	struct dial *d = owner;
	char buf[4096];

	(void)events;
	while (read(d->inotify, buf, sizeof(buf)) > 0)
		;
	d->retry_at = 0;
	d->delay = FIRST_DELAY;
}

void dial_init(struct dial *d, struct loop *loop, const char *path)
{
	*d = (struct dial){ .loop = loop, .path = path, .inotify = -1, .retry_at = UINT64_MAX };
	loop_io_init(&d->io, on_change, d);
}

static void unwatch(struct dial *d)
{
	if (d->inotify < 0)
		return;
	loop_io_stop(d->loop, &d->io);
	close(d->inotify);
	d->inotify = -1;
}

static void watch(struct dial *d)
{
	const char *slash = strrchr(d->path, '/');
	char folder[256] = "/";
	size_t len = slash == NULL ? 0 : (size_t)(slash - d->path);

	unwatch(d);
	if (len >= sizeof(folder))
		return;
	if (len > 0) {
		memcpy(folder, d->path, len);
		folder[len] = '\0';
	}
	d->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (d->inotify < 0)
		return;
	if (inotify_add_watch(d->inotify, folder,
			      IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF |
				      IN_ONLYDIR) < 0) {
		close(d->inotify);
		d->inotify = -1;
		return;
	}
	loop_io_set(d->loop, &d->io, d->inotify, LOOP_READ);
}

void dial_start(struct dial *d, uint64_t not_before)
{
	watch(d);
	d->active = true;
	d->retry_at = not_before;
	d->delay = FIRST_DELAY;
	d->last_error = 0;
}

void dial_stop(struct dial *d)
{
	unwatch(d);
	d->active = false;
	d->retry_at = UINT64_MAX;
}

static void plan_next(struct dial *d, uint64_t now, int error)
{
	if (d->inotify < 0)
		watch(d);
	if (d->inotify < 0 || error == EAGAIN) {
		d->retry_at = now + LAST_DELAY;
	} else if (d->delay > LAST_DELAY) {
		d->retry_at = UINT64_MAX;
		unwatch(d); /* the folder may have been made anew */
		watch(d);
	} else {
		d->retry_at = now + d->delay;
		d->delay *= 2;
	}
}

int dial_work(struct dial *d, uint64_t now)
{
	struct qmp_error e;
	int fd;

	if (!d->active || now < d->retry_at)
		return -1;
	fd = sock_connect(d->path, &e);
	if (fd >= 0) {
		dial_stop(d);
		return fd;
	}
	if (errno != d->last_error) {
		d->last_error = errno;
		log_info("event=qemu-awaited path=%s error=%s", log_quote(d->path).text,
			 log_quote(e.text).text);
	}
	plan_next(d, now, d->last_error);
	return -1;
}

uint64_t dial_deadline(const struct dial *d)
{
	return d->active ? d->retry_at : UINT64_MAX;
}
