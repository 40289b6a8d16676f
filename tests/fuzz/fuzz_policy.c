/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A policy, and behind a line "%%" the recipe "r" that it may use: never a crash; a policy or at
 * least one error, never both; and what is accepted can be printed as JSON. */
#include "policy/policy_recipe.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void print(const struct policy *p)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(64 * 1024 * 1024);
	struct qmp_error e;
	struct json *root;
	size_t offset;

	policy_print(p, &out);
	if (out.full)
		return;
	require(json_parse(qmp_buffer_span(&out), 0, &root, &offset, &e));
	json_free(root);
}

/* The text before and behind the first line "%%". */
static void split(struct span in, struct span *policy, struct span *recipe)
{
	static const char line[] = "\n%%\n";

	*policy = in;
	*recipe = SPAN("");
	for (size_t i = 0; i + sizeof(line) - 1 <= in.len; i++) {
		if (memcmp(in.p + i, line, sizeof(line) - 1) != 0)
			continue;
		*policy = span_cut(in, 0, i);
		*recipe = span_cut(in, i + sizeof(line) - 1, in.len);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const dirs[] = { NULL };
	AUTO_BUF struct qmp_buffer errors = QMP_BUFFER_INIT(1 << 20);
	struct policy_reader r = { .recipe_dirs = dirs, .errors = &errors };
	struct span policy, recipe;
	struct policy *p;

	if (size == 0)
		return 0;
	split((struct span){ (const char *)data, size }, &policy, &recipe);
	if (recipe.len != 0)
		policy_recipe_add(&r, "r", "r.json", recipe);
	if (policy_parse(&r, "p.json", policy, &p)) {
		require(p != NULL && errors.len == 0);
		print(p);
	} else {
		require(p == NULL && errors.len != 0 && errors.data[errors.len - 1] == '\n');
	}
	policy_free(p);
	return 0;
}
