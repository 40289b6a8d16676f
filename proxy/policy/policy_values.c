/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a policy: values that are more than JSON knows. Times and sizes carry their unit, because
 * a plain number has been read as seconds by one and as milliseconds by the next; names and paths
 * are checked here, before anything is started with them.
 */
#include "policy/policy_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit time_units[] = {
	{ "ms", UINT64_C(1000000) },
	{ "s", UINT64_C(1000000000) },
	{ "m", UINT64_C(60000000000) },
	{ "h", UINT64_C(3600000000000) },
};

static const struct unit size_units[] = {
	{ "KiB", UINT64_C(1) << 10 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "GiB", UINT64_C(1) << 30 },
};

static const uint64_t time_max = 24 * UINT64_C(3600000000000);
static const uint64_t size_max = UINT64_C(1) << 40;

/* "12unit": one to nine digits that do not begin with 0, and one of the units. */
static bool read_unit(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	if (digits == 0 || digits > 9 || text[0] == '0')
		return false;
	number = strtoull(text, NULL, 10);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text + digits, units[i].name) == 0) {
			*out = number * units[i].factor;
			return true;
		}
	}
	return false;
}

bool reader_duration(struct policy_reader *r, const struct json *value, const char *text,
		     uint64_t *ns)
{
	uint64_t found;

	if (!read_unit(text, time_units, sizeof(time_units) / sizeof(*time_units), &found) ||
	    found > time_max)
		return reader_error(r, value->offset,
				    "%s is no time: expected a whole number from 1 and one of ms, "
				    "s, m, h, at most 24h: for example \"250ms\" or \"10s\"",
				    reader_quote(text).text);
	*ns = found;
	return true;
}

bool reader_size(struct policy_reader *r, const struct json *value, uint64_t *bytes)
{
	uint64_t found;

	if (!read_unit(value->text, size_units, sizeof(size_units) / sizeof(*size_units), &found) ||
	    found > size_max)
		return reader_error(r, value->offset,
				    "%s is no size: expected a whole number from 1 and one of "
				    "KiB, MiB, GiB, at most 1024GiB: for example \"32MiB\"",
				    reader_quote(value->text).text);
	*bytes = found;
	return true;
}

bool reader_count(struct policy_reader *r, const struct json *value, uint32_t max, uint32_t *out)
{
	int64_t number;

	if (!json_int(value, &number) || number < 1 || number > max)
		return reader_error(r, value->offset,
				    "'%s' is %s: expected a whole number from 1 to %" PRIu32,
				    value->key, reader_quote(value->text).text, max);
	*out = (uint32_t)number;
	return true;
}

bool reader_name(struct policy_reader *r, size_t offset, const char *text, const char *what)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789._-";
	size_t len = strlen(text);

	if (len == 0 || len > POLICY_MAX_NAME || strspn(text, good) != len)
		return reader_error(r, offset,
				    "%s is no name of a %s: expected 1 to %d of A-Z, a-z, 0-9, "
				    "'.', '_' and '-'",
				    reader_quote(text).text, what, (int)POLICY_MAX_NAME);
	return true;
}

/* "/a//b/./c" is "/a/b/c": so that paths can be compared as text. */
static char *plain_path(const char *path)
{
	char *copy = policy_copy(span_of(path)), *to = copy;

	while (*path != '\0') {
		if (path[0] == '/' && path[1] == '/')
			path++;
		else if (path[0] == '/' && path[1] == '.' && path[2] == '/')
			path += 2;
		else
			*to++ = *path++;
	}
	*to = '\0';
	return copy;
}

char *reader_path(struct policy_reader *r, const struct json *value, const char *text, size_t max)
{
	struct reader_quote q = reader_quote(text);
	size_t len = strlen(text);

	if (text[0] != '/') {
		reader_error(r, value->offset,
			     "%s is no absolute path: write it from the root, as in "
			     "\"/run/...\"",
			     q.text);
		return NULL;
	}
	if (len > max) {
		reader_error(r, value->offset,
			     "%s has %zu bytes: expected at most %zu%s: choose a shorter path",
			     q.text, len, max,
			     max == POLICY_MAX_SUN_PATH ? ", the limit of Unix sockets" : "");
		return NULL;
	}
	if (text[len - 1] == '/') {
		reader_error(r, value->offset, "%s is a folder: expected the path of a file in it",
			     q.text);
		return NULL;
	}
	if (strstr(text, "${") != NULL) {
		reader_error(r, value->offset,
			     "%s: nothing is put in for ${...} here: write the path out", q.text);
		return NULL;
	}
	return plain_path(text);
}

bool reader_use_path(struct policy_reader *r, const struct json *value, const char *path)
{
	struct span text = qmp_buffer_span(&r->source->text);
	unsigned row, column;

	for (size_t i = 0; i < r->use_count; i++) {
		if (strcmp(r->uses[i].path, path) != 0)
			continue;
		json_position(text, r->uses[i].offset, &row, &column);
		return reader_error(r, value->offset,
				    "%s is already used at %u:%u: each socket and file of a policy "
				    "needs a path of its own",
				    reader_quote(path).text, row, column);
	}
	if (r->use_count < POLICY_MAX_USES)
		r->uses[r->use_count++] = (struct policy_use){ path, value->offset };
	return true;
}
