/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_SESSION_H
#define QMP_SESSION_H

#include <stdbool.h>

#include "qmp/error.h"
#include "qmp/framer.h"
#include "qmp/message.h"

/* The handshake of one connection, both roles. Pure; plain data. */

/* Server role: what a client may do before and while it negotiates. */
enum qmp_session_answer {
	QMP_SESSION_NEGOTIATED, /* answer {} ; *oob says what was enabled */
	QMP_SESSION_REFUSED,	/* answer @e with the id; still not negotiated */
};

/* The answer to command @m of a client that has not negotiated yet, with QEMU's errors.
 * @offers_oob: the greeting listed it. Source: qmp_qmp_capabilities() */
enum qmp_session_answer qmp_session_negotiate(const struct qmp_message *m, bool offers_oob,
					      bool *oob, struct qmp_error *e)
	__attribute__((warn_unused_result));

/* Client role: does this greeting offer oob? */
bool qmp_session_offers_oob(const struct qmp_message *greeting);

/* Client role: bytes that make every QEMU answer one parse error and change nothing, and what its
 * wording says. Sent once after the greeting, before anything is asked. */
struct span qmp_session_dialect_probe(void);
enum qmp_dialect qmp_session_dialect(const struct qmp_message *error_reply);

#endif
