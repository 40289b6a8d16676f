/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of a recipe: their form (once per recipe), and their copy for one backend with its
 * parameters put in. A rule that could never run, or would do nothing, is an error: who wrote it
 * meant something else.
 */
#include "policy/policy_recipe.h"

#include <stdlib.h>
#include <string.h>

static bool check_trigger(struct policy_reader *r, const struct json *node)
{
	if (json_get(node, "event") != NULL)
		return reader_keys(r, node, TABLE_TRIGGER_EVENT, NULL) &&
		       policy_pattern_check(r, node, PATTERN_EVENT);
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
					       policy_pattern_check(r, await, PATTERN_EVENT) && ok;
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
		ok = policy_length_check(r, on, 1, POLICY_MAX_TRIGGERS) && ok;
	for (const struct json *t = on == NULL ? NULL : on->first; t != NULL; t = t->next)
		ok = check_trigger(r, t) && ok;
	if (steps != NULL)
		ok = policy_length_check(r, steps, 1, POLICY_MAX_STEPS) && ok;
	for (const struct json *s = steps == NULL ? NULL : steps->first; s != NULL; s = s->next)
		ok = check_step(r, s) && ok;
	return ok;
}

bool policy_rules_check(struct policy_reader *r, const struct json *rules)
{
	bool ok = policy_length_check(r, rules, 1, POLICY_MAX_RULES);

	for (const struct json *rule = rules->first; rule != NULL; rule = rule->next)
		ok = check_rule(r, rule) && ok;
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
		return policy_pattern_expand(s, node, PATTERN_EVENT, &t->event);
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
		(void)!policy_pattern_expand(s, reader_get(node, "await", JSON_OBJECT),
					     PATTERN_EVENT, &step->event);
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
	rule->triggers = policy_alloc(policy_count_of(on), sizeof(*rule->triggers));
	for (const struct json *t = on->first; t != NULL; t = t->next) {
		struct policy_trigger *trigger = &rule->triggers[rule->trigger_count++];

		if (expand_trigger(s, t, b->name, trigger))
			check_reached(s, t, b, trigger);
	}
	rule->steps = policy_alloc(policy_count_of(steps), sizeof(*rule->steps));
	for (const struct json *n = steps == NULL ? NULL : steps->first; n != NULL; n = n->next)
		expand_step(s, n, b, &rule->steps[rule->step_count++]);
}

void policy_rules_expand(struct policy_scope *s, const struct policy_recipe *recipe,
			 struct policy_backend *b)
{
	const struct json *rules = reader_get(recipe->source.root, "rules", JSON_ARRAY);
	const struct policy_source *before = s->reader->source;

	s->reader->source = &recipe->source;
	b->rules = policy_alloc(policy_count_of(rules), sizeof(*b->rules));
	for (const struct json *node = rules->first; node != NULL; node = node->next)
		expand_rule(s, node, b, &b->rules[b->rule_count++]);
	s->reader->source = before;
}
