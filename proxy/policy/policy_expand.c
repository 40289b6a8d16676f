/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ${name} in the strings of a recipe and in a backend's command and pid file: which names there
 * are for one backend, and putting their values in. Values are put in as they are, not looked
 * through again, so that no chain of them can grow or go round.
 */
#include "policy/policy_recipe.h"

#include <stdlib.h>
#include <string.h>

static struct policy_value *find(struct policy_scope *s, struct span name)
{
	for (size_t i = 0; i < s->count; i++)
		if (span_is(name, s->values[i].name))
			return &s->values[i];
	return NULL;
}

void scope_set(struct policy_scope *s, const char *name, const char *text, const char *why_not)
{
	struct policy_value *v = find(s, span_of(name));

	if (v == NULL) {
		if (s->count == POLICY_MAX_VALUES)
			return;
		v = &s->values[s->count++];
		*v = (struct policy_value){ .name = name };
	}
	free(v->text);
	v->text = text == NULL ? NULL : policy_copy(span_of(text));
	v->why_not = why_not;
	v->used = false;
}

void scope_init(struct policy_scope *s, struct policy_reader *r)
{
	*s = (struct policy_scope){ .reader = r };
	scope_set(s, "backend", NULL, "it is not known yet");
	scope_set(s, "vm", NULL, "it is not known yet");
	scope_set(s, "socket", NULL, "the backend has no \"socket\"");
	scope_set(s, "pidfile", NULL, "the backend has no \"pidfile\"");
	scope_set(s, "ready-deadline", NULL, "it is not known yet");
	scope_set(s, "fd", NULL, "only the backend's \"command\" can take the connection");
	scope_set(s, "command", NULL, "it is a list");
}

void scope_release(struct policy_scope *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->values[i].text);
	s->count = 0;
}

bool scope_used(const struct policy_scope *s, const char *name)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->values[i].name, name) == 0)
			return s->values[i].used;
	return false;
}

static bool unknown_name(struct policy_scope *s, const char *name, size_t offset)
{
	const char *words[POLICY_MAX_VALUES + 1] = { NULL };
	const char *near;

	if (s->lenient)
		return true;
	for (size_t i = 0; i < s->count; i++)
		words[i] = s->values[i].name;
	near = policy_nearest(name, words);
	if (near != NULL)
		return reader_error(s->reader, offset,
				    "unknown name %s in ${...}: did you mean '%s'?",
				    reader_quote(name).text, near);
	return reader_error(s->reader, offset,
			    "unknown name %s in ${...}: expected backend, vm, socket, pidfile, "
			    "ready-deadline or a parameter of the recipe; $$ is a dollar",
			    reader_quote(name).text);
}

/* Append what ${name} stands for. */
static bool add_value(struct policy_scope *s, struct qmp_buffer *out, struct span name,
		      size_t offset)
{
	struct policy_value *v = find(s, name);
	char *copy;
	bool ok;

	if (v != NULL && v->text != NULL) {
		v->used = true;
		qmp_buffer_add(out, span_of(v->text));
		return true;
	}
	if (v != NULL)
		return reader_error(s->reader, offset, "${%s} cannot be used here: %s", v->name,
				    v->why_not);
	copy = policy_copy(name);
	ok = unknown_name(s, copy, offset);
	free(copy);
	return ok;
}

/* What begins with the dollar at @text[@at]; *@next: behind it. */
static bool add_dollar(struct policy_scope *s, struct qmp_buffer *out, const struct json *value,
		       size_t at, size_t *next)
{
	size_t offset = reader_offset_in(s->reader, value, at);
	const char *text = value->text + at, *end;

	*next = at + 2;
	if (text[1] == '$') {
		qmp_buffer_add(out, SPAN("$"));
		return true;
	}
	if (text[1] != '{') {
		*next = at + 1;
		return reader_error(s->reader, offset,
				    "a '$' alone: write \"$$\" for a dollar, \"${name}\" for a "
				    "parameter");
	}
	end = strchr(text, '}');
	if (end == NULL) {
		*next = value->len;
		return reader_error(s->reader, offset, "'${' without its '}'");
	}
	*next = at + (size_t)(end - text) + 1;
	return add_value(s, out, (struct span){ text + 2, (size_t)(end - text) - 2 }, offset);
}

char *scope_expand(struct policy_scope *s, const struct json *value)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(POLICY_MAX_STRING);
	bool ok = true;

	for (size_t at = 0, next; at < value->len; at = next) {
		size_t plain = strcspn(value->text + at, "$");

		next = at + plain;
		qmp_buffer_add(&out, (struct span){ value->text + at, plain });
		if (value->text[next] == '$')
			ok = add_dollar(s, &out, value, next, &next) && ok;
	}
	if (out.full)
		ok = reader_error(s->reader, value->offset,
				  "the string is longer than %d bytes: expected a shorter one",
				  (int)POLICY_MAX_STRING);
	return ok ? policy_copy(qmp_buffer_span(&out)) : NULL;
}
