/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_FRAMER_H
#define QMP_FRAMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/buffer.h"
#include "qmp/error.h"
#include "qmp/span.h"

/* QEMU's own limits (qobject/json-streamer.c, 7.2 to 11.1). */
enum {
	QMP_MAX_DEPTH = 1024,
	QMP_MAX_TOKENS = 2 * 1024 * 1024,
	QMP_MAX_BYTES = 64 * 1024 * 1024,
};

/* How a QEMU words its parse errors; found by asking it once (see qmp/session.h). */
enum qmp_dialect {
	QMP_DIALECT_PLAIN,   /* up to 10.x: "JSON parse error, ..." */
	QMP_DIALECT_LOCATED, /* 11.1: "LINE:COLUMN: JSON parse error, ...", "expecting key" */
};

enum qmp_framer_result {
	QMP_FRAMER_NEED_MORE, /* all of the input was taken, no text is complete */
	QMP_FRAMER_GOT,	      /* one top-level value: stream bytes [begin, end) */
	QMP_FRAMER_BAD,	      /* QEMU would answer an error here: see qmp_framer_error() */
};

/* All but the last are for QMP_DIALECT_LOCATED only, in framer.c and message.c. */
enum qmp_framer_flag {
	QMP_FRAMER_MUTED = 1, /* the text went over a limit, and that was said */
	QMP_FRAMER_AGAIN = 2, /* the next byte ended a token before it: looked at a second time */
	QMP_FRAMER_BEGAN_AGAIN = 4, /* the text begins with such a byte */
	QMP_FRAMER_FROM_QEMU = 8,   /* set by the owner: takes -inf and -nan, which QEMU prints, and
				     * texts of any size */
};

/*
 * Cuts a byte stream into JSON texts exactly where QEMU's json-lexer and json-streamer do, and
 * finds the errors that they find. It keeps no bytes: all positions are offsets from the first
 * byte of the connection. Plain data without pointers: it may be copied, compared with memcmp
 * and kept in memory that outlives the process. All zero is the state of a new connection.
 */
struct qmp_framer {
	uint64_t pos;	/* bytes taken so far */
	uint64_t begin; /* GOT: first byte of the text. NEED_MORE: first byte that must be kept */
	uint64_t end; /* GOT: behind its last byte (a scalar ends before the byte that ended it) */
	uint64_t token;	 /* BAD: first byte of the offending token, which goes to @end */
	uint64_t bytes;	 /* size of the tokens of this text so far */
	uint32_t tokens; /* how many */
	int32_t braces;
	int32_t brackets;
	uint32_t line, column;		   /* of the next byte, for QMP_DIALECT_LOCATED */
	uint32_t begin_line, begin_column; /* of the byte at @begin */
	uint32_t token_line, token_column; /* of the byte at @token */
	uint16_t state;			   /* of the lexer */
	uint16_t bad;			   /* BAD: why */
	uint16_t dialect;		   /* enum qmp_dialect; set by the owner once known */
	uint16_t flags;			   /* enum qmp_framer_flag */
};

/*
 * Take bytes of @in until a result other than NEED_MORE or its end; @used says how many. The rest
 * must be given again. @in may begin and end anywhere: every split of a stream gives the same
 * results. O(len), no allocation.
 */
enum qmp_framer_result qmp_framer_feed(struct qmp_framer *f, struct span in, size_t *used)
	__attribute__((warn_unused_result));

/*
 * What QEMU says about the BAD that @f just reported, in the words of f->dialect; @text holds the
 * stream bytes [f->begin, f->end): the token that is BAD, and what stands before it in its text.
 */
void qmp_framer_error(const struct qmp_framer *f, struct span text, struct qmp_error *e);

#endif
