/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_MESSAGE_H
#define QMP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/error.h"
#include "qmp/framer.h"
#include "qmp/span.h"

enum { QMP_NAME_MAX = 128 };

enum qmp_message_kind {
	QMP_MESSAGE_COMMAND, /* {"execute": ...} */
	QMP_MESSAGE_OOB,     /* {"exec-oob": ...} */
	QMP_MESSAGE_RETURN,
	QMP_MESSAGE_ERROR,
	QMP_MESSAGE_EVENT,
	QMP_MESSAGE_GREETING,
};

/* One JSON text with the spans of its top-level members. Everything borrows from @text. */
struct qmp_message {
	enum qmp_message_kind kind;
	struct span text;
	struct span id;	       /* value, as written; p == NULL: no id */
	struct span id_member; /* with its key and the one comma that must go when it goes */
	struct span body;      /* value of arguments, return, error, data or QMP; p == NULL: none */
	char name[QMP_NAME_MAX]; /* decoded name of a command or event; longer names are cut */
	uint32_t depth;		 /* deepest nesting, 1 for {} */
};

enum qmp_command_check {
	QMP_COMMAND_OK,
	QMP_COMMAND_UNPARSABLE, /* answer without id */
	QMP_COMMAND_REJECTED,	/* well-formed, but no command: answer with its id (m->id) */
};

/*
 * Check one text from a client as QEMU's json-parser and qmp_dispatch_check_obj() do, with their
 * errors, wording and order of checks; @oob: this client has enabled oob. @f is the framer right
 * after it said GOT: it knows the dialect and the position.
 */
enum qmp_command_check qmp_command_parse(struct span text, const struct qmp_framer *f, bool oob,
					 struct qmp_message *m, struct qmp_error *e)
	__attribute__((warn_unused_result));

/* Check one text from QEMU: greeting, return, error or event. Strict: anything else is an error. */
bool qmp_reply_parse(struct span text, struct qmp_message *m, struct qmp_error *e)
	__attribute__((warn_unused_result));

/*
 * The value of member @key of the object @object (both as written, any QEMU dialect, already
 * checked), or { NULL, 0 }.
 */
struct span qmp_member(struct span object, const char *key);

/* Decode the first key of the object @object; false when it has none, or the key does not fit. */
bool qmp_first_key(struct span object, char *out, size_t size);

/* Element @index of the array @array, or { NULL, 0 }. */
struct span qmp_element(struct span array, unsigned index);

/* Decode the string @value (with its quotes) into @out, cut and always terminated; false when it
 * is no string, does not fit or holds a NUL. */
bool qmp_string(struct span value, char *out, size_t size);

#endif
