/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_DICT_H
#define QMP_DICT_H

#include <stdint.h>

#include "qmp/span.h"

/* Inside qmp/ only: the order in which QEMU goes through the members of an object. */

/*
 * The bucket of a member: QEMU visits and prints buckets in ascending order and, in one bucket, the
 * newest member first. @key is the string token. Source: tdb_hash(), qdict_put_obj() and
 * qdict_first(), qobject/qdict.c; 512 buckets.
 */
uint32_t qmp_dict_bucket(struct span key);

#endif
