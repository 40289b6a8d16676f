/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What messages of QEMU's monitor look like in a recipe: events with members of their data, and
 * commands with arguments. Both become struct policy_event, whose values are printed as QEMU prints
 * them, so that match.c can compare text. Here too: the commands of clients that end and begin the
 * time in which a backend is wanted.
 */
#include "policy/policy_recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/id.h"
#include "qmp/message.h"

static const struct {
	const char *name, *members, *example;
} forms[] = {
	[PATTERN_EVENT] = { "event", "data", "NETDEV_STREAM_CONNECTED" },
	[PATTERN_COMMAND] = { "execute", "arguments", "netdev_del" },
};

size_t policy_count_of(const struct json *list)
{
	size_t count = 0;

	for (const struct json *v = list == NULL ? NULL : list->first; v != NULL; v = v->next)
		count++;
	return count;
}

bool policy_length_check(struct policy_reader *r, const struct json *list, size_t min, size_t max)
{
	size_t count = policy_count_of(list);

	if (count >= min && count <= max)
		return true;
	return reader_error(r, list->offset, "'%s' has %zu entries: expected %zu to %zu", list->key,
			    count, min, max);
}

/* Can this value be compared with one of a message? */
static bool check_scalar(struct policy_reader *r, const struct json *value)
{
	struct reader_quote q = reader_quote(value->key);

	if (value->type == JSON_OBJECT || value->type == JSON_ARRAY)
		return reader_error(r, value->offset,
				    "%s is an %s: expected a string, number, true, false or null "
				    "to compare with",
				    q.text, json_type_name(value->type));
	if (value->type == JSON_NUMBER && !isfinite(strtod(value->text, NULL)))
		return reader_error(r, value->offset,
				    "%s is no number that QEMU can print: "
				    "expected a smaller one",
				    q.text);
	return true;
}

bool policy_pattern_check(struct policy_reader *r, const struct json *node,
			  enum policy_pattern pattern)
{
	const struct json *members = reader_get(node, forms[pattern].members, JSON_OBJECT);
	bool ok = members == NULL || policy_length_check(r, members, 1, POLICY_MAX_MATCHES);

	for (const struct json *m = members == NULL ? NULL : members->first; m != NULL; m = m->next)
		ok = check_scalar(r, m) && ok;
	return ok;
}

static char *print_value(struct policy_scope *s, const struct json *value)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(8 * POLICY_MAX_STRING);
	char *text;

	switch (value->type) {
	case JSON_STRING:
		text = scope_expand(s, value);
		if (text == NULL)
			return NULL;
		qmp_print_string(&out, span_of(text));
		free(text);
		break;
	case JSON_NUMBER:
		qmp_print_value(&out, (struct span){ value->text, value->len });
		break;
	case JSON_BOOL:
		qmp_buffer_add(&out, value->boolean ? SPAN("true") : SPAN("false"));
		break;
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		qmp_buffer_add(&out, SPAN("null"));
		break;
	}
	return policy_copy(qmp_buffer_span(&out));
}

static bool check_name(struct policy_reader *r, const struct json *value, const char *name,
		       enum policy_pattern pattern)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789_.-";
	size_t len = strlen(name);

	if (len != 0 && len < QMP_NAME_MAX && strspn(name, good) == len)
		return true;
	return reader_error(r, value->offset, "%s is no name of %s: expected one such as \"%s\"",
			    reader_quote(name).text,
			    pattern == PATTERN_EVENT ? "an event" : "a command",
			    forms[pattern].example);
}

bool policy_pattern_expand(struct policy_scope *s, const struct json *node,
			   enum policy_pattern pattern, struct policy_event *e)
{
	const struct json *name = reader_get(node, forms[pattern].name, JSON_STRING);
	const struct json *members = reader_get(node, forms[pattern].members, JSON_OBJECT);
	bool ok;

	e->name = scope_expand(s, name);
	ok = e->name != NULL && check_name(s->reader, name, e->name, pattern);
	e->match = policy_alloc(policy_count_of(members), sizeof(*e->match));
	for (const struct json *m = members == NULL ? NULL : members->first; m != NULL;
	     m = m->next) {
		struct policy_match *match = &e->match[e->match_count++];

		match->key = policy_copy(span_of(m->key));
		match->value = print_value(s, m);
		ok = ok && match->value != NULL;
	}
	return ok;
}

bool policy_commands_check(struct policy_reader *r, const struct json *list)
{
	bool ok = policy_length_check(r, list, 1, POLICY_MAX_COMMANDS);

	for (const struct json *node = list->first; node != NULL; node = node->next)
		ok = reader_keys(r, node, TABLE_COMMAND, NULL) &&
		     policy_pattern_check(r, node, PATTERN_COMMAND) && ok;
	return ok;
}

static void expand_list(struct policy_scope *s, const struct json *list, struct policy_event **out,
			size_t *count)
{
	*out = policy_alloc(policy_count_of(list), sizeof(**out));
	for (const struct json *n = list == NULL ? NULL : list->first; n != NULL; n = n->next)
		(void)!policy_pattern_expand(s, n, PATTERN_COMMAND, &(*out)[(*count)++]);
}

void policy_commands_expand(struct policy_scope *s, const struct policy_recipe *recipe,
			    struct policy_backend *b)
{
	const struct policy_source *before = s->reader->source;
	const struct json *root = recipe->source.root;

	s->reader->source = &recipe->source;
	expand_list(s, reader_get(root, "ends", JSON_ARRAY), &b->ends, &b->end_count);
	expand_list(s, reader_get(root, "begins", JSON_ARRAY), &b->begins, &b->begin_count);
	s->reader->source = before;
}
