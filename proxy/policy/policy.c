/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy model: its end. It is made by policy_load.c and printed by policy_print.c; everything
 * else only reads it. policy_free() also takes half-made policies, which the loader leaves when it
 * finds errors.
 */
#include "policy/policy.h"

#include <stdlib.h>

static void release_event(struct policy_event *e)
{
	for (size_t i = 0; i < e->match_count; i++) {
		free(e->match[i].key);
		free(e->match[i].value);
	}
	free(e->match);
	free(e->name);
}

static void release_rule(struct policy_rule *rule)
{
	for (size_t i = 0; i < rule->trigger_count; i++)
		release_event(&rule->triggers[i].event);
	for (size_t i = 0; i < rule->step_count; i++)
		release_event(&rule->steps[i].event);
	free(rule->triggers);
	free(rule->steps);
	free(rule->name);
}

static void release_backend(struct policy_backend *b)
{
	for (size_t i = 0; i < b->rule_count; i++)
		release_rule(&b->rules[i]);
	for (size_t i = 0; i < b->end_count; i++)
		release_event(&b->ends[i]);
	for (size_t i = 0; i < b->begin_count; i++)
		release_event(&b->begins[i]);
	for (char **argument = b->command; argument != NULL && *argument != NULL; argument++)
		free(*argument);
	free(b->ends);
	free(b->begins);
	free(b->rules);
	free(b->command);
	free(b->name);
	free(b->recipe);
	free(b->socket);
	free(b->pidfile);
}

void policy_free(struct policy *p)
{
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->listen_count; i++)
		free(p->listen[i].path);
	for (size_t i = 0; i < p->backend_count; i++)
		release_backend(&p->backends[i]);
	free(p->listen);
	free(p->backends);
	free(p->path);
	free(p->vm);
	free(p->qemu);
	free(p);
}
