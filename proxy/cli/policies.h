/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_POLICIES_H
#define CLI_POLICIES_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"
#include "qmp/buffer.h"

/* The policies that a command line names: what run and check share. */

struct cli_policies {
	struct policy **items; /* owned, in the order of the arguments */
	size_t count;
};

enum { CLI_RECIPE_DIRS = 64 };		   /* folders that may be named, and the NULL behind them */
enum { CLI_ERRORS_MAX = 4 * 1024 * 1024 }; /* bytes, a good cap for @errors */

/*
 * Load the policy files @argv[0 .. argc - 1]. A folder stands for its *.json files, in the order of
 * their names, but for recipes (a "recipe" key at the top), *.schema.json and hidden files. Recipes
 * are searched in @recipe_dirs (NULL-terminated, may be empty), then beside the policy, then in
 * $QMEND_POLICIES or, when that is not set, the installed folder. Two of the policies may not share
 * a VM's name or a path. All or nothing: on failure @out is empty and @errors holds one line for
 * each error.
 */
bool cli_load_policies(int argc, char **argv, const char *const *recipe_dirs,
		       struct cli_policies *out, struct qmp_buffer *errors)
	__attribute__((warn_unused_result));
void cli_policies_release(struct cli_policies *p);

#endif
