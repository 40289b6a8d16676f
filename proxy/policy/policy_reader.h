/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_READER_H
#define POLICY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"
#include "qmp/buffer.h"
#include "qmp/json.h"
#include "qmp/span.h"

/* What the files that turn policy text into struct policy share; for
 * them, the tests and the command line's look into folders alone. */

enum {
	POLICY_MAX_BYTES = 1024 * 1024, /* of one file */
	POLICY_MAX_ERRORS = 1000,	/* told; the position of each costs a scan */
	POLICY_MAX_NAME = 64,
	POLICY_MAX_SUN_PATH = 107, /* of a socket: sun_path without its NUL */
	POLICY_MAX_PATH = 4095,
	POLICY_MAX_STRING = 16 * 1024, /* after ${...} was put in */
	POLICY_MAX_ARGUMENTS = 256,
	POLICY_MAX_LISTEN = 16,
	POLICY_MAX_BACKENDS = 64,
	POLICY_MAX_PARAMETERS = 32,
	POLICY_MAX_RULES = 32,
	POLICY_MAX_TRIGGERS = 16, /* of one rule */
	POLICY_MAX_MATCHES = 16,  /* members of one "data" */
	POLICY_MAX_COMMANDS = 16, /* in "ends", in "begins" */
	POLICY_MAX_USES = 1 + POLICY_MAX_LISTEN + 2 * POLICY_MAX_BACKENDS,
};

/* One file: its bytes stay while errors may point into them. */
struct policy_source {
	char *path;
	struct qmp_buffer text;
	struct json *root; /* NULL: no JSON */
};

struct policy_recipe {
	struct policy_recipe *next;
	char *name;
	struct policy_source source;
	bool good; /* checked once, when it was read; a bad one is not expanded */
};

struct policy_use {
	const char *path; /* owned by the policy; none may be used twice */
	size_t offset;
};

struct policy_reader {
	const char *const *recipe_dirs; /* NULL-terminated */
	struct qmp_buffer *errors;
	unsigned error_count;
	const struct policy_source *source; /* errors are at offsets of this text */
	const struct policy_source *policy_source;
	const struct json *backend; /* whose recipe is being expanded, or NULL */
	struct policy_recipe *recipes;
	struct policy *policy;
	struct policy_use uses[POLICY_MAX_USES];
	size_t use_count;
};

/* policy_load.c: policy_load() without the file; recipes may have been added before. */
bool policy_parse(struct policy_reader *r, const char *path, struct span text, struct policy **out)
	__attribute__((warn_unused_result));

/* policy_reader.c: errors and files. */

/* Append "PATH:LINE:COLUMN: text" to the errors, reader_note() the text alone; always false. */
bool reader_error(struct policy_reader *r, size_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool reader_note(struct policy_reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The offset of byte @index of the decoded string @value. */
size_t reader_offset_in(const struct policy_reader *r, const struct json *value, size_t index);

struct reader_quote {
	char text[72];
};
/* @text in single quotes, printable, cut when long: what a peer wrote, in an error of one line. */
struct reader_quote reader_quote(const char *text);

/* The whole of a file up to POLICY_MAX_BYTES. False: errno, with EFBIG for a longer one. */
bool policy_read_file(const char *path, struct qmp_buffer *text)
	__attribute__((warn_unused_result));
/* Parse @text into @source (which owns path, text and tree from then on, also on failure). */
bool policy_source_open(struct policy_reader *r, struct policy_source *source, const char *path,
			struct span text) __attribute__((warn_unused_result));
void policy_source_close(struct policy_source *source);

/* policy_values.c. @value gives the position; @text is what stands there, parameters put in. */
bool reader_duration(struct policy_reader *r, const struct json *value, const char *text,
		     uint64_t *ns) __attribute__((warn_unused_result));
bool reader_size(struct policy_reader *r, const struct json *value, uint64_t *bytes)
	__attribute__((warn_unused_result));
bool reader_count(struct policy_reader *r, const struct json *value, uint32_t max, uint32_t *out)
	__attribute__((warn_unused_result));
/* Names of VMs, backends, recipes: [A-Za-z0-9._-]+, at most POLICY_MAX_NAME. @what: "VM". */
bool reader_name(struct policy_reader *r, size_t offset, const char *text, const char *what)
	__attribute__((warn_unused_result));
/* An absolute path of at most @max bytes, as a copy without "//" and "/./", or NULL. */
char *reader_path(struct policy_reader *r, const struct json *value, const char *text, size_t max)
	__attribute__((warn_unused_result));
/* Note that @path is used; an error when it already was. */
bool reader_use_path(struct policy_reader *r, const struct json *value, const char *path);

void *policy_alloc(size_t count, size_t size); /* zeroed; aborts when there is no memory */
char *policy_copy(struct span text);

#endif
