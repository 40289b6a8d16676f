/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recipes: finding NAME.json in the folders, checking its form once, and the values of its
 * parameters for one backend. A recipe that two backends use is read once; what is wrong with it
 * is told once, what is wrong with its use for each backend.
 */
#include "policy/policy_recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool check_parameter_name(struct policy_reader *r, const struct json *p)
{
	static const char *const taken[] = { "backend", "vm", "fd" };
	struct reader_quote q = reader_quote(p->key);
	bool required_key = strcmp(p->key, "socket") == 0 || strcmp(p->key, "pidfile") == 0 ||
			    strcmp(p->key, "command") == 0;

	if (required_key && json_get(p, "default") != NULL)
		return reader_error(r, p->key_offset,
				    "parameter %s has a default: a recipe can only ask for this "
				    "key of every backend: remove the default",
				    q.text);
	if (required_key)
		return true;
	for (size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++)
		if (strcmp(p->key, taken[i]) == 0)
			return reader_error(r, p->key_offset,
					    "parameter %s: the name means something else already: "
					    "choose another",
					    q.text);
	if (policy_is_backend_key(p->key))
		return reader_error(r, p->key_offset,
				    "parameter %s: every backend has a key of this name: choose "
				    "another",
				    q.text);
	return reader_name(r, p->key_offset, p->key, "parameter");
}

static bool check_parameters(struct policy_reader *r, const struct json *parameters)
{
	size_t count = 0;
	bool ok = true;

	for (const struct json *p = parameters->first; p != NULL; p = p->next) {
		if (++count > POLICY_MAX_PARAMETERS)
			return reader_error(r, p->key_offset,
					    "too many parameters: expected at most %d",
					    (int)POLICY_MAX_PARAMETERS);
		ok = reader_keys(r, p, TABLE_PARAMETER, NULL) && ok;
		ok = check_parameter_name(r, p) && ok;
	}
	return ok;
}

/* The form of a recipe, apart from any backend. */
static bool check_recipe(struct policy_reader *r, const struct policy_recipe *recipe)
{
	const struct json *root = recipe->source.root, *name, *parameters, *rules, *ends, *begins;
	bool ok = reader_keys(r, root, TABLE_RECIPE, NULL);

	name = reader_get(root, "recipe", JSON_STRING);
	parameters = reader_get(root, "parameters", JSON_OBJECT);
	rules = reader_get(root, "rules", JSON_ARRAY);
	ends = reader_get(root, "ends", JSON_ARRAY);
	begins = reader_get(root, "begins", JSON_ARRAY);
	if (name != NULL && strcmp(name->text, recipe->name) != 0)
		ok = reader_error(r, name->offset,
				  "the recipe is called %s, its file %s.json: expected one name",
				  reader_quote(name->text).text, recipe->name);
	if (parameters != NULL)
		ok = check_parameters(r, parameters) && ok;
	if (rules != NULL)
		ok = policy_rules_check(r, rules) && ok;
	if (ends != NULL)
		ok = policy_commands_check(r, ends) && ok;
	if (begins != NULL)
		ok = policy_commands_check(r, begins) && ok;
	return ok;
}

const struct policy_recipe *policy_recipe_add(struct policy_reader *r, const char *name,
					      const char *path, struct span text)
{
	const struct policy_source *before = r->source;
	const struct json *backend = r->backend;
	struct policy_recipe *recipe = policy_alloc(1, sizeof(*recipe));

	recipe->name = policy_copy(span_of(name));
	recipe->next = r->recipes;
	r->recipes = recipe;
	r->backend = NULL;
	recipe->good =
		policy_source_open(r, &recipe->source, path, text) && check_recipe(r, recipe);
	r->source = before;
	r->backend = backend;
	return recipe;
}

/* Remember that there is nothing, so that it is told once. */
static void add_missing(struct policy_reader *r, const char *name)
{
	struct policy_recipe *recipe = policy_alloc(1, sizeof(*recipe));

	recipe->name = policy_copy(span_of(name));
	recipe->next = r->recipes;
	r->recipes = recipe;
}

static void not_found(struct policy_reader *r, const struct json *value)
{
	char folders[512] = "";

	for (size_t i = 0; r->recipe_dirs[i] != NULL; i++) {
		size_t used = strlen(folders);

		snprintf(folders + used, sizeof(folders) - used, "%s%s", i == 0 ? "" : ", ",
			 r->recipe_dirs[i]);
	}
	reader_error(r, value->offset, "recipe %s not found: expected %s.json in one of: %s",
		     reader_quote(value->text).text, value->text,
		     folders[0] == '\0' ? "(no folder given)" : folders);
}

/* Read NAME.json from the first folder that has it. */
static void load(struct policy_reader *r, const struct json *value)
{
	char path[POLICY_MAX_PATH + 1];

	for (size_t i = 0; r->recipe_dirs[i] != NULL; i++) {
		AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(0);

		snprintf(path, sizeof(path), "%s/%s.json", r->recipe_dirs[i], value->text);
		if (policy_read_file(path, &text)) {
			policy_recipe_add(r, value->text, path, qmp_buffer_span(&text));
			return;
		}
		if (errno == ENOENT || errno == ENOTDIR)
			continue;
		reader_error(r, value->offset, "recipe %s cannot be read: %s: %s",
			     reader_quote(value->text).text, path, strerror(errno));
		add_missing(r, value->text);
		return;
	}
	not_found(r, value);
	add_missing(r, value->text);
}

static const struct policy_recipe *known(const struct policy_reader *r, const char *name)
{
	for (const struct policy_recipe *p = r->recipes; p != NULL; p = p->next)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

const struct policy_recipe *policy_recipe_find(struct policy_reader *r, const struct json *value)
{
	const struct policy_recipe *recipe;

	if (!reader_name(r, value->offset, value->text, "recipe"))
		return NULL;
	recipe = known(r, value->text);
	if (recipe == NULL) {
		load(r, value);
		recipe = known(r, value->text);
	}
	return recipe != NULL && recipe->good ? recipe : NULL;
}

void policy_recipes_release(struct policy_reader *r)
{
	while (r->recipes != NULL) {
		struct policy_recipe *recipe = r->recipes;

		r->recipes = recipe->next;
		policy_source_close(&recipe->source);
		free(recipe->name);
		free(recipe);
	}
}

const struct json *policy_recipe_declared(const struct policy_recipe *recipe)
{
	return reader_get(recipe->source.root, "parameters", JSON_OBJECT);
}

/* A default may use ${...} too: of what is known before the parameters. */
static void set_default(struct policy_scope *s, const struct policy_recipe *recipe,
			const struct json *parameter, const struct json *text)
{
	const struct policy_source *before = s->reader->source;
	char *value;

	s->reader->source = &recipe->source;
	value = scope_expand(s, text);
	s->reader->source = before;
	scope_set(s, parameter->key, value == NULL ? "" : value, NULL);
	free(value);
}

static void set_given(struct policy_scope *s, const struct json *given, const char *name)
{
	if (strstr(given->text, "${") != NULL)
		reader_error(s->reader, given->offset,
			     "parameter '%s': nothing is put in for ${...} here: write the value "
			     "out",
			     name);
	scope_set(s, name, given->text, NULL);
}

void policy_recipe_parameters(struct policy_scope *s, const struct policy_recipe *recipe,
			      const struct json *node)
{
	const struct json *declared = policy_recipe_declared(recipe), *given, *text;

	for (const struct json *p = declared == NULL ? NULL : declared->first; p != NULL;
	     p = p->next) {
		given = json_get(node, p->key);
		text = reader_get(p, "default", JSON_STRING);
		if (given == NULL && text == NULL)
			reader_error(s->reader, node->key_offset,
				     "'%s' is missing: the recipe '%s' needs it", p->key,
				     recipe->name);
		if (policy_is_backend_key(p->key))
			continue; /* asked for, and read as the backend's own */
		if (given != NULL && given->type == JSON_STRING)
			set_given(s, given, p->key);
		else if (text != NULL)
			set_default(s, recipe, p, text);
		else
			scope_set(s, p->key, "", NULL); /* reported above, or of the wrong type */
	}
}
