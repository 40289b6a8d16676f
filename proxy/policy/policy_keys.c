/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys and words of policies and recipes, as tables: the one place in the code that knows them.
 * A lint test holds these tables, the JSON Schema and the manual page against each other, so each
 * entry stays on a line that begins with { "key".
 */
#include "policy/policy_keys.h"

#include <stdio.h>
#include <string.h>

enum {
	A_STRING = 1 << JSON_STRING,
	A_NUMBER = 1 << JSON_NUMBER,
	A_BOOL = 1 << JSON_BOOL,
	AN_ARRAY = 1 << JSON_ARRAY,
	AN_OBJECT = 1 << JSON_OBJECT,
};

struct policy_key {
	const char *name;
	unsigned types;
	bool required;
	const char *expected; /* behind "expected " */
};

#define A_TIME "a time with its unit, such as \"10s\", \"250ms\" or \"2m\""
#define A_SIZE "a size with its unit, such as \"64KiB\", \"32MiB\" or \"1GiB\""
#define A_PATH "an absolute path"
#define A_SWITCH "true or false"

static const struct policy_key policy_keys[] = {
	{ "vm", A_STRING, true, "the name of the VM" },
	{ "qemu", A_STRING, true, "the path of QEMU's monitor socket" },
	{ "listen", AN_ARRAY, true, "a list of sockets: [ \"/run/...\" ]" },
	{ "backends", AN_OBJECT, false, "an object, each key the name of a backend" },
	{ "limits", AN_OBJECT, false, "an object with limits" },
	{ "keep-fd-names", A_BOOL, false, A_SWITCH },
	{ "coalesce", A_BOOL, false, A_SWITCH },
};

static const struct policy_key listen_keys[] = {
	{ "path", A_STRING, true, A_PATH },
	{ "mode", A_STRING, false, "the permissions as a string, such as \"0660\"" },
	{ "user", A_STRING, false, "the name of a user" },
	{ "group", A_STRING, false, "the name of a group" },
	{ "access", A_STRING, false, "\"full\" or \"read-only\"" },
};

static const struct policy_key limits_keys[] = {
	{ "clients", A_NUMBER, false, "a whole number" },
	{ "queue", A_STRING, false, A_SIZE },
	{ "memory", A_STRING, false, A_SIZE },
};

static const struct policy_key backend_keys[] = {
	{ "recipe", A_STRING, true, "the name of a recipe" },
	{ "command", AN_ARRAY, false, "a list of strings: [ \"program\", \"argument\" ]" },
	{ "socket", A_STRING, false, A_PATH },
	{ "pidfile", A_STRING, false, A_PATH },
	{ "ready", A_STRING, false, "\"started\", \"listens\" or \"pidfile\"" },
	{ "ready-deadline", A_STRING, false, A_TIME },
	{ "backoff", AN_OBJECT, false, "an object with first and max" },
	{ "budget", AN_OBJECT, false, "an object with faults and period" },
};

static const struct policy_key backoff_keys[] = {
	{ "first", A_STRING, false, A_TIME },
	{ "max", A_STRING, false, A_TIME },
};

static const struct policy_key budget_keys[] = {
	{ "faults", A_NUMBER, false, "a whole number" },
	{ "period", A_STRING, false, A_TIME },
};

static const struct policy_key recipe_keys[] = {
	{ "recipe", A_STRING, true, "the name of the recipe, which is that of its file" },
	{ "description", A_STRING, false, "a text" },
	{ "parameters", AN_OBJECT, false, "an object, each key the name of a parameter" },
	{ "rules", AN_ARRAY, true, "a list of rules" },
	{ "ends", AN_ARRAY, false, "a list of commands: [ { \"execute\": ... } ]" },
	{ "begins", AN_ARRAY, false, "a list of commands: [ { \"execute\": ... } ]" },
};

static const struct policy_key parameter_keys[] = {
	{ "default", A_STRING, false, "a string" },
	{ "description", A_STRING, false, "a text" },
};

static const struct policy_key command_keys[] = {
	{ "execute", A_STRING, true, "the name of a command" },
	{ "arguments", AN_OBJECT, false, "an object with arguments of the command" },
};

static const struct policy_key rule_keys[] = {
	{ "name", A_STRING, true, "what happened, in words" },
	{ "on", AN_ARRAY, true, "a list of triggers" },
	{ "verdict", A_STRING, false, "\"pass\", \"hold\" or \"drop\"" },
	{ "do", AN_ARRAY, true, "a list of steps" },
};

static const struct policy_key trigger_backend_keys[] = {
	{ "backend", A_STRING, true, "\"${backend}\"" },
	{ "is", A_STRING, true, "\"exited\"" },
};

static const struct policy_key trigger_event_keys[] = {
	{ "event", A_STRING, true, "the name of an event of QEMU's" },
	{ "data", AN_OBJECT, false, "an object with members of the event's data" },
};

static const struct policy_key step_start_keys[] = {
	{ "start", A_STRING, true, "\"${backend}\"" },
	{ "for", A_STRING, false, A_TIME },
};

static const struct policy_key step_await_keys[] = {
	{ "await", AN_OBJECT, true, "an object with event and data" },
	{ "for", A_STRING, true, A_TIME },
};

static const struct policy_key await_keys[] = {
	{ "event", A_STRING, true, "the name of an event of QEMU's" },
	{ "data", AN_OBJECT, false, "an object with members of the event's data" },
};

struct table {
	const char *what;
	const struct policy_key *keys;
	size_t count;
};

#define TABLE(what, keys)                                  \
	{                                                  \
		what, keys, sizeof(keys) / sizeof(*(keys)) \
	}

static const struct table tables[TABLE_COUNT] = {
	[TABLE_POLICY] = TABLE("a policy", policy_keys),
	[TABLE_LISTEN] = TABLE("an entry of 'listen'", listen_keys),
	[TABLE_LIMITS] = TABLE("'limits'", limits_keys),
	[TABLE_BACKEND] = TABLE("a backend", backend_keys),
	[TABLE_BACKOFF] = TABLE("'backoff'", backoff_keys),
	[TABLE_BUDGET] = TABLE("'budget'", budget_keys),
	[TABLE_RECIPE] = TABLE("a recipe", recipe_keys),
	[TABLE_PARAMETER] = TABLE("a parameter", parameter_keys),
	[TABLE_COMMAND] = TABLE("a command", command_keys),
	[TABLE_RULE] = TABLE("a rule", rule_keys),
	[TABLE_TRIGGER_BACKEND] = TABLE("a trigger", trigger_backend_keys),
	[TABLE_TRIGGER_EVENT] = TABLE("a trigger", trigger_event_keys),
	[TABLE_STEP_START] = TABLE("a step 'start'", step_start_keys),
	[TABLE_STEP_AWAIT] = TABLE("a step 'await'", step_await_keys),
	[TABLE_AWAIT] = TABLE("'await'", await_keys),
};

static const char *const access_words[] = {
	[POLICY_FULL] = "full", [POLICY_READ_ONLY] = "read-only", NULL
};
static const char *const ready_words[] = { [POLICY_READY_STARTED] = "started",
					   [POLICY_READY_LISTENS] = "listens",
					   [POLICY_READY_PIDFILE] = "pidfile",
					   NULL };
static const char *const verdict_words[] = {
	[POLICY_PASS] = "pass", [POLICY_HOLD] = "hold", [POLICY_DROP] = "drop", NULL
};
static const char *const is_words[] = { "exited", NULL };

static const char *const *const word_lists[WORDS_COUNT] = {
	[WORDS_ACCESS] = access_words,
	[WORDS_READY] = ready_words,
	[WORDS_VERDICT] = verdict_words,
	[WORDS_IS] = is_words,
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance; both at most POLICY_MAX_NAME long. */
static size_t distance(const char *a, const char *b)
{
	size_t row[POLICY_MAX_NAME + 1], n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 0; a[i] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < n; j++) {
			size_t best = diagonal + (a[i] == b[j] ? 0 : 1);

			best = smaller(best, smaller(row[j], row[j + 1]) + 1);
			diagonal = row[j + 1];
			row[j + 1] = best;
		}
	}
	return row[n];
}

const char *policy_nearest(const char *text, const char *const *words)
{
	size_t limit = strlen(text) > 5 ? 2 : 1, best = limit + 1;
	const char *found = NULL;

	if (strlen(text) > POLICY_MAX_NAME)
		return NULL;
	for (; *words != NULL; words++) {
		size_t d = strlen(*words) > POLICY_MAX_NAME ? best : distance(text, *words);

		if (d < best) {
			best = d;
			found = *words;
		}
	}
	return found;
}

static const struct policy_key *find_key(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->keys[i].name, name) == 0)
			return &t->keys[i];
	return NULL;
}

static bool unknown_key(struct policy_reader *r, const struct json *member, const struct table *t,
			const struct json *extra)
{
	const char *words[16 + POLICY_MAX_PARAMETERS] = { NULL };
	char list[512] = "";
	size_t n = 0;
	const char *near;

	for (size_t i = 0; i < t->count; i++)
		words[n++] = t->keys[i].name;
	for (const struct json *m = extra == NULL ? NULL : extra->first; m != NULL; m = m->next)
		if (n + 1 < sizeof(words) / sizeof(*words) && find_key(t, m->key) == NULL)
			words[n++] = m->key;
	near = policy_nearest(member->key, words);
	if (near != NULL)
		return reader_error(r, member->key_offset,
				    "unknown key %s in %s: did you mean '%s'?",
				    reader_quote(member->key).text, t->what, near);
	for (size_t i = 0; i < n; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ", words[i]);
	}
	return reader_error(r, member->key_offset, "unknown key %s in %s: expected one of %s",
			    reader_quote(member->key).text, t->what, list);
}

static const char *article(enum json_type type)
{
	switch (type) {
	case JSON_NULL:
		return "";
	case JSON_ARRAY:
	case JSON_OBJECT:
		return "an ";
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_STRING:
		return "a ";
	}
	return "";
}

static bool wrong_type(struct policy_reader *r, const struct json *value, const char *what,
		       const char *expected)
{
	const char *a = article(value->type), *type = json_type_name(value->type);

	if (value->type == JSON_NUMBER)
		return reader_error(r, value->offset, "%s is the number %s: expected %s", what,
				    reader_quote(value->text).text, expected);
	return reader_error(r, value->offset, "%s is %s%s: expected %s", what, a, type, expected);
}

/* Is this member known, and of the right type? @extra as in reader_keys(). */
static bool check_member(struct policy_reader *r, const struct json *m, const struct table *t,
			 const struct json *extra)
{
	const struct policy_key *key = find_key(t, m->key);
	struct reader_quote q = reader_quote(m->key);

	if (key != NULL && (key->types & (1u << m->type)) == 0)
		return wrong_type(r, m, q.text, key->expected);
	if (key != NULL)
		return true;
	if (json_get(extra, m->key) == NULL)
		return unknown_key(r, m, t, extra);
	return m->type == JSON_STRING || wrong_type(r, m, q.text, "a string");
}

bool reader_keys(struct policy_reader *r, const struct json *object, enum policy_table table,
		 const struct json *extra)
{
	const struct table *t = &tables[table];
	bool ok = true;

	if (object->type != JSON_OBJECT)
		return wrong_type(r, object, t->what, "an object: { ... }");
	for (const struct json *m = object->first; m != NULL; m = m->next)
		if (extra != object || find_key(t, m->key) != NULL)
			ok = check_member(r, m, t, extra) && ok;
	for (size_t i = 0; i < t->count; i++) {
		if (!t->keys[i].required || json_get(object, t->keys[i].name) != NULL)
			continue;
		ok = reader_error(r, object->offset, "'%s' is missing in %s: expected %s",
				  t->keys[i].name, t->what, t->keys[i].expected);
	}
	return ok;
}

const struct json *reader_get(const struct json *object, const char *key, enum json_type type)
{
	const struct json *value = json_get(object, key);

	return value == NULL || value->type != type ? NULL : value;
}

bool reader_word(struct policy_reader *r, const struct json *value, const char *text,
		 enum policy_words words, unsigned *out)
{
	const char *const *list = word_lists[words];
	const char *near = policy_nearest(text, list);
	char known[128] = "";

	for (unsigned i = 0; list[i] != NULL; i++) {
		size_t used = strlen(known);

		if (strcmp(text, list[i]) == 0) {
			*out = i;
			return true;
		}
		snprintf(known + used, sizeof(known) - used, "%s\"%s\"", i == 0 ? "" : " or ",
			 list[i]);
	}
	if (near != NULL)
		return reader_error(r, value->offset, "unknown word %s: did you mean \"%s\"?",
				    reader_quote(text).text, near);
	return reader_error(r, value->offset, "unknown word %s: expected %s",
			    reader_quote(text).text, known);
}

const char *policy_word(enum policy_words words, unsigned value)
{
	return word_lists[words][value];
}

bool policy_is_backend_key(const char *key)
{
	return find_key(&tables[TABLE_BACKEND], key) != NULL;
}
