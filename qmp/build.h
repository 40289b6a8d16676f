/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_BUILD_H
#define QMP_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/buffer.h"
#include "qmp/error.h"
#include "qmp/message.h"
#include "qmp/span.h"

/* A message put together from borrowed pieces: spliced, never encoded again. */
struct qmp_splice {
	struct span piece[6];
	unsigned count;
	char scratch[48]; /* what qmend adds; pieces may point here: never copy a splice */
};

/* A client's command on its way to QEMU: its id wrapped, or the bare number in its place; see
 * qmp/id.h. */
void qmp_splice_command(struct qmp_splice *s, const struct qmp_message *m, uint64_t number);
void qmp_splice_bare(struct qmp_splice *s, const struct qmp_message *m, uint64_t number);

/* QEMU's reply on its way to the client that asked: id unwrapped, or taken out. Ends with the
 * line end that QEMU sent or, when the text has none, CR LF. */
void qmp_splice_reply(struct qmp_splice *s, const struct qmp_message *m, struct span client_id);

size_t qmp_splice_size(const struct qmp_splice *s);

/* Answers of qmend's own, byte for byte as QEMU prints them, CR LF at the end. @id as the client
 * wrote it (p == NULL: none). @body: JSON as QEMU prints it. False when @out is full. */
bool qmp_build_return(struct qmp_buffer *out, struct span body, struct span id);
bool qmp_build_error(struct qmp_buffer *out, const struct qmp_error *e, struct span id);

#endif
