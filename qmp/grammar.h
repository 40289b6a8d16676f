/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_GRAMMAR_H
#define QMP_GRAMMAR_H

#include <stdbool.h>
#include <stdint.h>

#include "qmp/error.h"
#include "qmp/framer.h"
#include "qmp/span.h"

/* Inside qmp/ only: is a text that the framer cut one that QEMU's parser takes? */
struct qmp_grammar {
	enum qmp_dialect dialect;
	bool unfinished;       /* the text may end at any token */
	uint32_t line, column; /* of its first byte, from 0, for QMP_DIALECT_LOCATED */
	bool began_again;      /* QMP_FRAMER_BEGAN_AGAIN */
	uint32_t depth;	       /* out: deepest nesting */
};

/* False, and what QEMU says of the first fault, when it does not. Source: qobject/json-parser.c;
 * 11.1 measured. */
bool qmp_grammar_check(struct span text, struct qmp_grammar *g, struct qmp_error *e)
	__attribute__((warn_unused_result));

#endif
