/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_SPAWN_H
#define MEND_SPAWN_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/error.h"

/*
 * Execute @command (NULL-terminated; searched in PATH when it has no slash) as a child of ours, in
 * a session of its own, with default signals, stdin from /dev/null, stdout and stderr to our
 * stderr, @fd (-1: none) as POLICY_BACKEND_FD, and no other descriptor.
 *
 * The kernel writes the pid to *@receipt before the child runs: if we die inside this call, the
 * receipt knows the child. *@pidfd is the caller's. exec failing is an error here: the child is
 * reaped and the receipt 0 again. Returns when the child has executed; @fd stays the caller's.
 */
bool spawn_exec(char *const *command, int fd, int32_t *receipt, int *pidfd, struct qmp_error *e)
	__attribute__((warn_unused_result));

#endif
