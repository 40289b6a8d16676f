/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_LISTENER_H
#define IO_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "io/loop.h"
#include "qmp/error.h"

/* One listening socket. It accepts and hands on; it never reads. */
struct listener {
	struct loop *loop;
	struct loop_io io;
	const char *path; /* the policy's */
	int fd;		  /* -1: closed */
	bool failed;	  /* accepting failed, so it rests: listener_pause(l, false) tries again */
	dev_t device;	  /* of the socket file that was made, and its inode: */
	ino_t inode;	  /* only this file is removed at the end */
	/* A new connection, which the callee owns. */
	void (*accepted)(struct listener *l, int fd, void *owner);
	void *owner;
};

/* Begin to accept on @fd (owned from here on, see sock_listen()). */
void listener_start(struct listener *l, struct loop *loop, int fd);
/* Rest while there is no room for clients; they wait in the backlog. */
void listener_pause(struct listener *l, bool paused);
/* Close it and remove its file. */
void listener_stop(struct listener *l);

#endif
