/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_SOCK_H
#define IO_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "qmp/error.h"

#define AUTO_CLOSE __attribute__((cleanup(sock_close_cleanup)))

/* Unix stream sockets. All are made non-blocking and close-on-exec. */

/* Who is at the other end; for a connection to a listener: who called listen(). */
struct sock_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* Connect to @path; the descriptor, or -1 with errno and @e. EAGAIN: its backlog is full. */
int sock_connect(const char *path, struct qmp_error *e) __attribute__((warn_unused_result));

/*
 * Listen on @path with these rights ((uid_t)-1 and (gid_t)-1 leave the owner as it comes). A
 * socket file that nobody serves any more is replaced; one that is served, and anything that is no
 * socket, is left alone and is an error.
 */
int sock_listen(const char *path, mode_t mode, uid_t uid, gid_t gid, struct qmp_error *e)
	__attribute__((warn_unused_result));

bool sock_peer(int fd, struct sock_peer *out);

void sock_close_cleanup(int *fd);

#endif
