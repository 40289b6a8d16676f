/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a policy, the small parts: files, errors with line and column, and values that are more
 * than JSON knows (times, sizes, names, paths). Every error says what was found, what was expected
 * and what to write instead. What the keys mean is in policy_load.c and policy_rules.c.
 */
#define _POSIX_C_SOURCE 200809L
#include "policy/policy_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void *policy_alloc(size_t count, size_t size)
{
	void *p = calloc(count == 0 ? 1 : count, size);

	if (p == NULL)
		abort();
	return p;
}

char *policy_copy(struct span text)
{
	char *copy = policy_alloc(text.len + 1, 1);

	if (text.len != 0)
		memcpy(copy, text.p, text.len);
	return copy;
}

struct reader_quote reader_quote(const char *text)
{
	struct reader_quote q;
	size_t len = strlen(text), room = sizeof(q.text) - 3;

	if (len <= room) {
		snprintf(q.text, sizeof(q.text), "'%s'", text);
		return q;
	}
	len = room - 3;
	while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
		len--; /* never half a character */
	snprintf(q.text, sizeof(q.text), "'%.*s...'", (int)len, text);
	return q;
}

/* One line, whatever bytes came with the names in it. */
static void add_line(struct policy_reader *r, char *line)
{
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = '?';
	qmp_buffer_printf(r->errors, "%s\n", line);
}

/* False when this error is one too many to be told. */
static bool count_error(struct policy_reader *r)
{
	char text[] = "too many errors: the rest is not shown";

	if (++r->error_count == POLICY_MAX_ERRORS)
		add_line(r, text);
	return r->error_count < POLICY_MAX_ERRORS && !r->errors->full;
}

/* Behind an error in a recipe: for which backend of the policy it was read. */
static void add_backend(const struct policy_reader *r, struct qmp_buffer *line)
{
	const struct policy_source *s = r->policy_source;
	unsigned row, column;

	if (r->backend == NULL || r->source == s)
		return;
	json_position(qmp_buffer_span(&s->text), r->backend->key_offset, &row, &column);
	qmp_buffer_printf(line, " (for the backend %s at %s:%u:%u)",
			  reader_quote(r->backend->key).text, s->path, row, column);
}

bool reader_error(struct policy_reader *r, size_t offset, const char *format, ...)
{
	AUTO_BUF struct qmp_buffer line = QMP_BUFFER_INIT(4 * POLICY_MAX_PATH);
	char text[1024];
	unsigned row, column;
	va_list ap;

	if (!count_error(r))
		return false;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_position(qmp_buffer_span(&r->source->text), offset, &row, &column);
	qmp_buffer_printf(&line, "%s:%u:%u: %s", r->source->path, row, column, text);
	add_backend(r, &line);
	if (qmp_buffer_add(&line, (struct span){ "", 1 }))
		add_line(r, line.data);
	return false;
}

bool reader_note(struct policy_reader *r, const char *format, ...)
{
	char text[POLICY_MAX_PATH + 512];
	va_list ap;

	if (!count_error(r))
		return false;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	add_line(r, text);
	return false;
}

/* How many bytes of decoded text the escape at @p stands for; *@raw: its own length. */
static size_t escape_width(const char *p, size_t left, size_t *raw)
{
	unsigned code;

	*raw = left < 2 ? left : 2;
	if (left < 6 || p[1] != 'u' || sscanf(p + 2, "%4x", &code) != 1)
		return 1;
	*raw = 6;
	if (code >= 0xD800 && code < 0xDC00 && left >= 12) {
		*raw = 12;
		return 4;
	}
	if (code < 0x80)
		return 1;
	return code < 0x800 ? 2 : 3;
}

size_t reader_offset_in(const struct policy_reader *r, const struct json *value, size_t index)
{
	struct span text = qmp_buffer_span(&r->source->text);
	size_t at = value->offset + 1, decoded = 0;

	while (at < text.len && decoded < index) {
		size_t raw = 1, width = 1;

		if (text.p[at] == '\\')
			width = escape_width(text.p + at, text.len - at, &raw);
		at += raw;
		decoded += width;
	}
	return at < text.len ? at : value->offset;
}

static bool read_all(int fd, struct qmp_buffer *text)
{
	enum { CHUNK = 16 * 1024 };

	for (;;) {
		size_t room = text->cap - text->len < CHUNK ? text->cap - text->len : CHUNK;
		char *to = room == 0 ? NULL : qmp_buffer_reserve(text, room);
		ssize_t n;

		if (to == NULL) {
			errno = EFBIG;
			return false;
		}
		n = read(fd, to, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		text->len += (size_t)n;
	}
}

bool policy_read_file(const char *path, struct qmp_buffer *text)
{
	/* O_NONBLOCK: a FIFO in the place of a policy must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int error;
	bool ok;

	*text = (struct qmp_buffer)QMP_BUFFER_INIT(POLICY_MAX_BYTES + 1);
	if (fd < 0)
		return false;
	ok = read_all(fd, text);
	error = errno;
	close(fd);
	errno = error;
	return ok;
}

bool policy_source_open(struct policy_reader *r, struct policy_source *source, const char *path,
			struct span text)
{
	struct qmp_error e;
	size_t offset = 0, len;

	*source = (struct policy_source){ .path = policy_copy(span_of(path)),
					  .text = QMP_BUFFER_INIT(POLICY_MAX_BYTES) };
	r->source = source;
	if (!qmp_buffer_add(&source->text, text))
		return reader_note(r, "%s: the file is longer than %d bytes", path,
				   (int)POLICY_MAX_BYTES);
	if (json_parse(qmp_buffer_span(&source->text), JSON_COMMENTS, &source->root, &offset, &e))
		return true;
	source->root = NULL;
	len = strlen(e.text);
	if (len > 0 && e.text[len - 1] == '.')
		e.text[len - 1] = '\0';
	return reader_error(r, offset, "%s: expected one JSON object (comments are allowed)",
			    e.text);
}

void policy_source_close(struct policy_source *source)
{
	json_free(source->root);
	qmp_buffer_release(&source->text);
	free(source->path);
	*source = (struct policy_source){ .root = NULL };
}
