/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of a recipe: their form (once per recipe), and their copy for one backend with its
 * parameters put in. A rule that could never run, or would do nothing, is an error: who wrote it
 * meant something else.
 */
#include "mend/policy_recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/id.h"
#include "qmp/message.h"

static size_t count_of(const struct json *list)
{
	size_t count = 0;

	for (const struct json *v = list == NULL ? NULL : list->first; v != NULL; v = v->next)
		count++;
	return count;
}

static bool check_length(struct policy_reader *r, const struct json *list, size_t min, size_t max)
{
	size_t count = count_of(list);

	if (count >= min && count <= max)
		return true;
	return reader_error(r, list->offset, "'%s' has %zu entries: expected %zu to %zu", list->key,
			    count, min, max);
}

/* Can this value be compared with one of an event? */
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

static bool check_data(struct policy_reader *r, const struct json *node)
{
	const struct json *data = reader_get(node, "data", JSON_OBJECT);
	bool ok = data == NULL || check_length(r, data, 1, POLICY_MAX_MATCHES);

	for (const struct json *m = data == NULL ? NULL : data->first; m != NULL; m = m->next)
		ok = check_scalar(r, m) && ok;
	return ok;
}

static bool check_trigger(struct policy_reader *r, const struct json *node)
{
	if (json_get(node, "event") != NULL)
		return reader_keys(r, node, TABLE_TRIGGER_EVENT, NULL) && check_data(r, node);
	if (json_get(node, "backend") != NULL)
		return reader_keys(r, node, TABLE_TRIGGER_BACKEND, NULL);
	return reader_error(r, node->offset,
			    "no known trigger: expected { \"backend\": \"${backend}\", \"is\": "
			    "\"exited\" } or { \"event\": ..., \"data\": ... }");
}

static bool check_step(struct policy_reader *r, const struct json *node)
{
	static const char *const words[] = { "start", "await", NULL };
	const struct json *await = reader_get(node, "await", JSON_OBJECT);
	const struct json *first = node->type == JSON_OBJECT ? node->first : NULL;
	const char *near;
	bool ok;

	if (json_get(node, "start") != NULL)
		return reader_keys(r, node, TABLE_STEP_START, NULL);
	if (json_get(node, "await") != NULL) {
		ok = reader_keys(r, node, TABLE_STEP_AWAIT, NULL);
		return await == NULL ? ok
				     : reader_keys(r, await, TABLE_AWAIT, NULL) &&
					       check_data(r, await) && ok;
	}
	if (first == NULL)
		return reader_error(r, node->offset,
				    "no step: expected { \"start\": \"${backend}\" } or "
				    "{ \"await\": { ... }, \"for\": \"10s\" }");
	near = policy_nearest(first->key, words);
	return reader_error(r, first->key_offset, "unknown step %s: %s%s",
			    reader_quote(first->key).text,
			    near == NULL ? "expected start or await" : "did you mean ",
			    near == NULL ? "" : near);
}

static bool check_rule(struct policy_reader *r, const struct json *rule)
{
	const struct json *on = reader_get(rule, "on", JSON_ARRAY);
	const struct json *steps = reader_get(rule, "do", JSON_ARRAY);
	bool ok = reader_keys(r, rule, TABLE_RULE, NULL);

	if (on != NULL)
		ok = check_length(r, on, 1, POLICY_MAX_TRIGGERS) && ok;
	for (const struct json *t = on == NULL ? NULL : on->first; t != NULL; t = t->next)
		ok = check_trigger(r, t) && ok;
	if (steps != NULL)
		ok = check_length(r, steps, 0, POLICY_MAX_STEPS) && ok;
	for (const struct json *s = steps == NULL ? NULL : steps->first; s != NULL; s = s->next)
		ok = check_step(r, s) && ok;
	return ok;
}

bool policy_rules_check(struct policy_reader *r, const struct json *rules)
{
	bool ok = check_length(r, rules, 1, POLICY_MAX_RULES);

	for (const struct json *rule = rules->first; rule != NULL; rule = rule->next)
		ok = check_rule(r, rule) && ok;
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

static bool check_event_name(struct policy_reader *r, const struct json *value, const char *name)
{
	static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789_.-";
	size_t len = strlen(name);

	if (len != 0 && len < QMP_NAME_MAX && strspn(name, good) == len)
		return true;
	return reader_error(r, value->offset,
			    "%s is no name of an event: expected one such as "
			    "\"NETDEV_STREAM_CONNECTED\"",
			    reader_quote(name).text);
}

static bool expand_event(struct policy_scope *s, const struct json *node, struct policy_event *e)
{
	const struct json *name = reader_get(node, "event", JSON_STRING);
	const struct json *data = reader_get(node, "data", JSON_OBJECT);
	bool ok;

	e->name = scope_expand(s, name);
	ok = e->name != NULL && check_event_name(s->reader, name, e->name);
	e->match = policy_alloc(count_of(data), sizeof(*e->match));
	for (const struct json *m = data == NULL ? NULL : data->first; m != NULL; m = m->next) {
		struct policy_match *match = &e->match[e->match_count++];

		match->key = policy_copy(span_of(m->key));
		match->value = print_value(s, m);
		ok = ok && match->value != NULL;
	}
	return ok;
}

/* The one backend that a rule may name is its own. */
static bool expand_backend(struct policy_scope *s, const struct json *value, const char *own)
{
	char *name = scope_expand(s, value);
	bool ok = name != NULL;

	if (ok && strcmp(name, own) != 0)
		ok = reader_error(s->reader, value->offset,
				  "%s is not the backend of this rule: write \"${backend}\"",
				  reader_quote(name).text);
	free(name);
	return ok;
}

static bool expand_word(struct policy_scope *s, const struct json *value, enum policy_words words,
			unsigned *out)
{
	char *text = scope_expand(s, value);
	bool ok = text != NULL && reader_word(s->reader, value, text, words, out);

	free(text);
	return ok;
}

static bool expand_duration(struct policy_scope *s, const struct json *value, uint64_t *ns)
{
	char *text = scope_expand(s, value);
	bool ok = text != NULL && reader_duration(s->reader, value, text, ns);

	free(text);
	return ok;
}

static bool expand_trigger(struct policy_scope *s, const struct json *node, const char *own,
			   struct policy_trigger *t)
{
	const struct json *backend = reader_get(node, "backend", JSON_STRING);
	unsigned exited;
	bool ok;

	if (backend == NULL) {
		t->kind = POLICY_ON_EVENT;
		return expand_event(s, node, &t->event);
	}
	t->kind = POLICY_ON_BACKEND_EXITED;
	ok = expand_backend(s, backend, own);
	return expand_word(s, reader_get(node, "is", JSON_STRING), WORDS_IS, &exited) && ok;
}

static void expand_step(struct policy_scope *s, const struct json *node,
			const struct policy_backend *b, struct policy_step *step)
{
	const struct json *start = reader_get(node, "start", JSON_STRING);
	const struct json *deadline = reader_get(node, "for", JSON_STRING);

	if (start != NULL) {
		step->kind = POLICY_STEP_START;
		step->deadline = b->ready_deadline;
		if (expand_backend(s, start, b->name) && b->command == NULL)
			reader_error(s->reader, start->offset,
				     "the rule starts the backend, which has no \"command\": give "
				     "it one, or take a recipe that only waits");
	} else {
		step->kind = POLICY_STEP_AWAIT;
		(void)!expand_event(s, reader_get(node, "await", JSON_OBJECT), &step->event);
	}
	if (deadline != NULL)
		(void)!expand_duration(s, deadline, &step->deadline);
}

/* Is each event that fits @b also one that fits @a? */
static bool covers(const struct policy_trigger *a, const struct policy_trigger *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == POLICY_ON_BACKEND_EXITED)
		return true;
	if (a->event.name == NULL || b->event.name == NULL ||
	    strcmp(a->event.name, b->event.name) != 0)
		return false;
	for (size_t i = 0; i < a->event.match_count; i++) {
		const struct policy_match *x = &a->event.match[i];
		bool same = false;

		for (size_t j = 0; j < b->event.match_count && !same; j++) {
			const struct policy_match *y = &b->event.match[j];

			same = x->value != NULL && y->value != NULL &&
			       strcmp(x->key, y->key) == 0 && strcmp(x->value, y->value) == 0;
		}
		if (!same)
			return false;
	}
	return true;
}

/* The rule of @b that takes what @t would trigger, because it comes before @t; NULL: none. */
static const struct policy_rule *taken_by(const struct policy_backend *b,
					  const struct policy_trigger *t)
{
	for (size_t i = 0; i < b->rule_count; i++)
		for (size_t j = 0; j < b->rules[i].trigger_count; j++) {
			if (&b->rules[i].triggers[j] == t)
				return NULL; /* what comes behind it takes nothing from it */
			if (covers(&b->rules[i].triggers[j], t))
				return &b->rules[i];
		}
	return NULL;
}

/* Within a backend the first rule that fits runs; a later one for the same is never reached. */
static void check_reached(struct policy_scope *s, const struct json *node,
			  const struct policy_backend *b, const struct policy_trigger *t)
{
	const struct policy_rule *rule = taken_by(b, t);
	const struct policy *p = s->reader->policy;

	if (rule != NULL) {
		reader_error(s->reader, node->offset,
			     "this trigger is never reached: rule %s has it before: remove one",
			     reader_quote(rule->name == NULL ? "?" : rule->name).text);
		return;
	}
	if (t->kind == POLICY_ON_BACKEND_EXITED)
		return;
	for (const struct policy_backend *other = p->backends; other != b; other++)
		if (taken_by(other, t) != NULL) {
			reader_error(s->reader, node->offset,
				     "this trigger is never reached: the backend '%s' has it "
				     "before: give each backend its own parameters",
				     other->name);
			return;
		}
}

/* An empty "do" makes sense for "drop" alone. */
static void check_acts(struct policy_reader *r, const struct json *node,
		       const struct policy_rule *rule)
{
	if (rule->step_count != 0 || rule->verdict == POLICY_DROP)
		return;
	reader_error(r, node->offset,
		     rule->verdict == POLICY_HOLD
			     ? "the rule holds its event and has no step that could mend: expected "
			       "steps in \"do\""
			     : "the rule does nothing: expected steps in \"do\" or the verdict "
			       "\"drop\"");
}

static void expand_rule(struct policy_scope *s, const struct json *node, struct policy_backend *b,
			struct policy_rule *rule)
{
	const struct json *on = reader_get(node, "on", JSON_ARRAY);
	const struct json *verdict = reader_get(node, "verdict", JSON_STRING);
	const struct json *steps = reader_get(node, "do", JSON_ARRAY);
	unsigned word = POLICY_PASS;

	rule->name = scope_expand(s, reader_get(node, "name", JSON_STRING));
	for (size_t i = 0; &b->rules[i] != rule; i++)
		if (rule->name != NULL && b->rules[i].name != NULL &&
		    strcmp(b->rules[i].name, rule->name) == 0)
			reader_error(s->reader, node->offset, "a second rule %s: rename one",
				     reader_quote(rule->name).text);
	if (verdict != NULL && expand_word(s, verdict, WORDS_VERDICT, &word))
		rule->verdict = (enum policy_verdict)word;
	rule->triggers = policy_alloc(count_of(on), sizeof(*rule->triggers));
	for (const struct json *t = on->first; t != NULL; t = t->next) {
		struct policy_trigger *trigger = &rule->triggers[rule->trigger_count++];

		if (expand_trigger(s, t, b->name, trigger))
			check_reached(s, t, b, trigger);
	}
	rule->steps = policy_alloc(count_of(steps), sizeof(*rule->steps));
	for (const struct json *n = steps == NULL ? NULL : steps->first; n != NULL; n = n->next)
		expand_step(s, n, b, &rule->steps[rule->step_count++]);
	check_acts(s->reader, node, rule);
}

void policy_rules_expand(struct policy_scope *s, const struct policy_recipe *recipe,
			 struct policy_backend *b)
{
	const struct json *rules = reader_get(recipe->source.root, "rules", JSON_ARRAY);
	const struct policy_source *before = s->reader->source;

	s->reader->source = &recipe->source;
	b->rules = policy_alloc(count_of(rules), sizeof(*b->rules));
	for (const struct json *node = rules->first; node != NULL; node = node->next)
		expand_rule(s, node, b, &b->rules[b->rule_count++]);
	s->reader->source = before;
}
