/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_JSON_H
#define QMP_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmp/error.h"
#include "qmp/span.h"

/* Strict JSON decoded into a tree, for what must be understood: policies, recipes, answers. The
 * only user of yajl is json.c. */

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
	enum json_type type;
	size_t offset;	    /* of its first byte in the text */
	size_t key_offset;  /* of its key, when it is a member */
	struct json *next;  /* sibling, in the order of the text */
	struct json *first; /* first element or member */
	const char *key;    /* decoded, terminated; NULL when it is no member */
	const char *text;   /* string: decoded, terminated (no NUL inside); number: as written */
	size_t len;	    /* of @text */
	bool boolean;
};

enum { JSON_COMMENTS = 1 }; /* accept C and C++ comments, as policies do */

/* Decode one document. On failure @e says what and *@offset where (bytes). Duplicate keys, NUL in
 * strings and nesting above 128 are errors. Free with json_free(). */
bool json_parse(struct span text, unsigned flags, struct json **out, size_t *offset,
		struct qmp_error *e) __attribute__((warn_unused_result));
void json_free(struct json *root);

const struct json *json_get(const struct json *object, const char *key); /* or NULL */
bool json_int(const struct json *value, int64_t *out); /* false: no integer, or out of range */
const char *json_type_name(enum json_type type);       /* "object", "string", ... */

/* Line and column, both from 1, column in bytes, of @offset in @text. */
void json_position(struct span text, size_t offset, unsigned *line, unsigned *column);

#endif
