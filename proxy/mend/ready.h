/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MEND_READY_H
#define MEND_READY_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/policy.h"

/* Is a backend ready, as its policy defines it? Looks at files, sockets and /proc; never connects.
 */
bool ready_check(const struct policy_backend *b, int32_t pid);

/* The file at which readiness will show, NULL: it is ready as soon as it runs. */
const char *ready_file(const struct policy_backend *b);

/* The number in a pid file, 0: none. */
int32_t ready_read_pidfile(const char *path);

#endif
