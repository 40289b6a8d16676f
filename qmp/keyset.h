/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_KEYSET_H
#define QMP_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/span.h"

/* Inside qmp/ only: the keys of all objects of one text, to find the second of a kind. */

enum { QMP_KEYSET_FIRST = 32 };

struct qmp_key {
	const char *p; /* the string token with its quotes; NULL: a free slot */
	size_t len;
	uint32_t object;
	uint32_t hash;
};

/* Open addressing, a power of two, at most half full; the first slots need no allocation. */
struct qmp_keyset {
	struct qmp_key *slots;
	size_t size, used;
	struct qmp_key first[QMP_KEYSET_FIRST];
};

void qmp_keyset_init(struct qmp_keyset *set);
void qmp_keyset_release(struct qmp_keyset *set);

/* False when @object has a key of the same characters already. */
bool qmp_keyset_add(struct qmp_keyset *set, uint32_t object, struct span key)
	__attribute__((warn_unused_result));

#endif
