/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_RECIPE_H
#define POLICY_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy_keys.h"
#include "policy/policy_reader.h"

/* Recipes and what stands for ${...} in them. Only the files that read policies include it. */

/* What one ${name} stands for. */
struct policy_value {
	const char *name;    /* lives as long as the recipe */
	char *text;	     /* owned; NULL: not to be had here */
	const char *why_not; /* ... and why */
	bool used;
};

enum { POLICY_MAX_VALUES = POLICY_MAX_PARAMETERS + 8 };

struct policy_scope {
	struct policy_reader *reader;
	struct policy_value values[POLICY_MAX_VALUES];
	size_t count;
	bool lenient; /* the recipe could not be read: unknown names are no news */
};

/* policy_expand.c */

/* ${backend}, ${vm}, ${socket}, ${pidfile}, ${ready-deadline}, ${fd}, ${command}: there or not. */
void scope_init(struct policy_scope *s, struct policy_reader *r);
void scope_release(struct policy_scope *s);
/* Add or replace. @text is copied; NULL: not to be had, and @why_not says why. */
void scope_set(struct policy_scope *s, const char *name, const char *text, const char *why_not);
/* Was ${name} put in since it was set? */
bool scope_used(const struct policy_scope *s, const char *name);
/* The string @value with ${...} and $$ replaced, as a copy; NULL after an error. */
char *scope_expand(struct policy_scope *s, const struct json *value)
	__attribute__((warn_unused_result));

/* policy_recipe.c */

/* The recipe that the string @value of a policy names, read now or before. NULL: it cannot be used;
 * why was reported, here or when it was read first. */
const struct policy_recipe *policy_recipe_find(struct policy_reader *r, const struct json *value);
/* Add a recipe whose text is at hand. */
const struct policy_recipe *policy_recipe_add(struct policy_reader *r, const char *name,
					      const char *path, struct span text);
void policy_recipes_release(struct policy_reader *r);
/* The parameters it declares: an object, or NULL. */
const struct json *policy_recipe_declared(const struct policy_recipe *recipe);
/* Put the parameters that the backend @node gives, or their defaults, into the scope. */
void policy_recipe_parameters(struct policy_scope *s, const struct policy_recipe *recipe,
			      const struct json *node);

/* policy_pattern.c */

enum policy_pattern { PATTERN_EVENT, PATTERN_COMMAND };

size_t policy_count_of(const struct json *list); /* NULL: 0 */
/* Has @list from @min to @max entries? */
bool policy_length_check(struct policy_reader *r, const struct json *list, size_t min, size_t max);
/* The values of an event's "data" or a command's "arguments": can they be compared? */
bool policy_pattern_check(struct policy_reader *r, const struct json *node,
			  enum policy_pattern pattern);
/* The event or command @node with ${...} put in. */
bool policy_pattern_expand(struct policy_scope *s, const struct json *node,
			   enum policy_pattern pattern, struct policy_event *e)
	__attribute__((warn_unused_result));
/* A recipe's "ends" or "begins": their form; and both as those of @b. */
bool policy_commands_check(struct policy_reader *r, const struct json *list);
void policy_commands_expand(struct policy_scope *s, const struct policy_recipe *recipe,
			    struct policy_backend *b);

/* policy_rules.c */

/* The form of the rules: keys, types, numbers of things. What ${...} hides is seen later. */
bool policy_rules_check(struct policy_reader *r, const struct json *rules);
/* The rules of @recipe as those of @b, which is complete but for them. */
void policy_rules_expand(struct policy_scope *s, const struct policy_recipe *recipe,
			 struct policy_backend *b);

#endif
