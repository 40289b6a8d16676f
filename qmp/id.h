/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_ID_H
#define QMP_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/buffer.h"
#include "qmp/message.h"
#include "qmp/span.h"

/*
 * qmend's request ids. QEMU reads commands byte by byte, so what is added to them is short: a plain
 * id stays here and its request number n travels in its place. Any other id X travels as [n, X]:
 * QEMU itself then prints X as this version prints it, and qmend cuts its part out of the reply.
 */

/* Is @id (a checked value, as written) of the kind that every QEMU prints as it was written: a
 * string of printable ASCII without escapes, or an integer of at most 18 digits? */
bool qmp_id_is_plain(struct span id);

/* The bare request number that is the id of a reply. */
bool qmp_id_number(struct span id, uint64_t *number) __attribute__((warn_unused_result));

/* The request number in the wrapped id of a reply, and the client's id as QEMU printed it (p ==
 * NULL: the client gave none). False when @id is not of this form: nobody here asked. */
bool qmp_id_split(struct span id, uint64_t *number, struct span *client_id)
	__attribute__((warn_unused_result));

/* Append @value (checked, any dialect) as QEMU's qobject_to_json() prints it: ASCII only,
 * upper-case \uXXXX, 64-bit integers exact, other numbers with 17 digits. For answers of qmend's
 * own. False when @out is full. */
bool qmp_print_value(struct qmp_buffer *out, struct span value);

/* Append @text as a JSON string with its quotes, printed as QEMU prints strings; invalid UTF-8
 * becomes U+FFFD. */
bool qmp_print_string(struct qmp_buffer *out, struct span text);

#endif
