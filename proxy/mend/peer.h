/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_PEER_H
#define MEND_PEER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Which process is at the other end of a unix socket, without touching it: passt and others serve
 * one client only, so that a connect() to see whether somebody listens would be that client.
 * sock_diag(7) knows the sockets of our network namespace, /proc/PID/fd who holds them.
 */

/* Does @pid listen on @path? When we may not look at its descriptors (it has dropped its rights and
 * we are not root), whether anybody does. */
bool peer_listens(int32_t pid, const char *path);

/* A process running the program of @command (NULL: any) that listens on @path, 0: none. */
int32_t peer_find_listener(const char *path, const char *command);

/* The same, connected to a server on @path. */
int32_t peer_find_connected(const char *path, const char *command);

/* Does @pid run the program of @command (a path or a name; NULL: any)? A variant with a suffix
 * behind a dot (passt.avx2), a script and a replaced executable count. */
bool peer_is_program(int32_t pid, const char *command);

/* Is @argument one of the arguments of process @pid (or the last part of one, behind a '=')? */
bool peer_has_argument(int32_t pid, const char *argument);

#endif
