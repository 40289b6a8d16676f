/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One listening socket: accepts a few connections per turn and hands them on. It does not know who
 * may connect (file rights say that) nor what is spoken. Used by vm.c.
 */
#define _GNU_SOURCE
#include "io/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/log.h"

enum { ACCEPTS_PER_TURN = 16 };

static void on_ready(void *owner, int events)
{
	struct listener *l = owner;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			l->accepted(l, fd, l->owner);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno != EAGAIN) {
			log_warning("event=accept-failed path=%s error=%s", log_quote(l->path).text,
				    log_quote(strerror(errno)).text);
			listener_pause(l, true);
			l->failed = true;
		}
		return;
	}
}

void listener_start(struct listener *l, struct loop *loop, int fd)
{
	struct stat st;

	if (stat(l->path, &st) == 0) {
		l->device = st.st_dev;
		l->inode = st.st_ino;
	}
	l->loop = loop;
	l->fd = fd;
	loop_io_init(&l->io, on_ready, l);
	listener_pause(l, false);
}

void listener_pause(struct listener *l, bool paused)
{
	l->failed = false;
	if (l->fd >= 0)
		loop_io_set(l->loop, &l->io, l->fd, paused ? 0 : LOOP_READ);
}

void listener_stop(struct listener *l)
{
	struct stat st;

	if (l->fd < 0)
		return;
	loop_io_stop(l->loop, &l->io);
	if (stat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
	close(l->fd);
	l->fd = -1;
}
