/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the arguments of a command line to loaded policies: folders become files, each file is
 * loaded with the folders in which its recipes are searched, and what only shows when several
 * policies are looked at together is checked: two VMs with one name or one socket. Nothing is
 * started here. For qmend run and qmend check.
 */
#define _POSIX_C_SOURCE 200809L
#include "cli/policies.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy/policy_reader.h"
#include "qmp/json.h"

#ifndef QMEND_POLICY_DIR
#define QMEND_POLICY_DIR QMEND_DATADIR "/policies"
#endif

enum { MAX_PATH = 4096 };

struct loading {
	const char *const *recipe_dirs;
	struct cli_policies *out;
	struct qmp_buffer *errors;
	bool failed;
};

static void fail(struct loading *l, const char *path, const char *why)
{
	qmp_buffer_printf(l->errors, "%s: %s\n", path, why);
	l->failed = true;
}

static void add(struct loading *l, struct policy *p)
{
	struct cli_policies *out = l->out;
	struct policy **items = realloc(out->items, (out->count + 1) * sizeof(*items));

	if (items == NULL)
		abort();
	items[out->count++] = p;
	out->items = items;
}

/* The folder of @path, as dirname(1) says it. */
static void folder_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(out, size, ".");
	else if (slash == path)
		snprintf(out, size, "/");
	else
		snprintf(out, size, "%.*s", (int)(slash - path), path);
}

static void load_file(struct loading *l, const char *path)
{
	const char *dirs[CLI_RECIPE_DIRS + 3] = { NULL };
	const char *installed = getenv("QMEND_POLICIES");
	char folder[MAX_PATH];
	struct policy *p;
	size_t n = 0;

	while (n < CLI_RECIPE_DIRS && l->recipe_dirs[n] != NULL) {
		dirs[n] = l->recipe_dirs[n];
		n++;
	}
	folder_of(path, folder, sizeof(folder));
	dirs[n++] = folder;
	dirs[n++] = installed != NULL && installed[0] != '\0' ? installed : QMEND_POLICY_DIR;
	if (policy_load(path, dirs, &p, l->errors))
		add(l, p);
	else
		l->failed = true;
}

/* A file that cannot be read or parsed is no recipe: loading it will say what is wrong. */
static bool is_recipe(const char *path)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(0);
	struct json *root;
	struct qmp_error e;
	size_t offset;
	bool found;

	if (!policy_read_file(path, &text) ||
	    !json_parse(qmp_buffer_span(&text), JSON_COMMENTS, &root, &offset, &e))
		return false;
	found = json_get(root, "recipe") != NULL;
	json_free(root);
	return found;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n > m && strcmp(text + n - m, end) == 0;
}

static int is_candidate(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && ends_with(entry->d_name, ".json") &&
	       !ends_with(entry->d_name, ".schema.json");
}

static void load_folder(struct loading *l, const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_candidate, alphasort);
	char path[MAX_PATH];
	bool any = false;

	if (count < 0) {
		fail(l, folder, strerror(errno));
		return;
	}
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%s%s", folder, ends_with(folder, "/") ? "" : "/",
			 entries[i]->d_name);
		free(entries[i]);
		if (is_recipe(path))
			continue;
		any = true;
		load_file(l, path);
	}
	free(entries);
	if (!any)
		fail(l, folder, "no policy in this folder: expected files *.json with a \"vm\"");
}

static void load_argument(struct loading *l, const char *path)
{
	struct stat st;

	if (path[0] == '\0')
		fail(l, "\"\"", "an empty argument: expected the path of a policy");
	else if (strlen(path) + 256 >= MAX_PATH)
		fail(l, path, "the path is too long");
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		load_folder(l, path);
	else
		load_file(l, path);
}

/* One path or name of a policy, to be compared with those of the others. */
struct use {
	const char *what;
	const char *path;
	const struct policy *policy;
	size_t order; /* of the arguments */
};

static int compare_uses(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	int order = strcmp(x->path, y->path);

	if (order != 0)
		return order;
	return x->order < y->order ? -1 : 1;
}

static size_t add_use(struct use *uses, size_t n, const char *what, const char *path,
		      const struct policy *p)
{
	if (path == NULL)
		return n;
	uses[n] = (struct use){ what, path, p, n };
	return n + 1;
}

static size_t add_uses(struct use *uses, size_t n, const struct policy *p)
{
	n = add_use(uses, n, "the VM's name", p->vm, p);
	n = add_use(uses, n, "the path of QEMU's socket", p->qemu, p);
	for (size_t i = 0; i < p->listen_count; i++)
		n = add_use(uses, n, "the listen path", p->listen[i].path, p);
	for (size_t i = 0; i < p->backend_count; i++) {
		n = add_use(uses, n, "the socket", p->backends[i].socket, p);
		n = add_use(uses, n, "the pid file", p->backends[i].pidfile, p);
	}
	return n;
}

static void check_use(struct loading *l, const struct use *first, const struct use *second)
{
	char why[512];

	if (first->policy == second->policy)
		return; /* checked when it was loaded */
	snprintf(why, sizeof(why), "%s '%s' is also %s of %s: each VM needs its own", second->what,
		 second->path, first->what, first->policy->path);
	fail(l, second->policy->path, why);
}

/* Names and paths are told apart by the slash that a name cannot have. */
static void check_together(struct loading *l)
{
	size_t count = 0, n = 0;
	struct use *uses;

	for (size_t i = 0; i < l->out->count; i++)
		count += 2 + l->out->items[i]->listen_count + 2 * l->out->items[i]->backend_count;
	uses = policy_alloc(count, sizeof(*uses));
	for (size_t i = 0; i < l->out->count; i++)
		n = add_uses(uses, n, l->out->items[i]);
	qsort(uses, n, sizeof(*uses), compare_uses);
	for (size_t i = 1; i < n; i++)
		if (strcmp(uses[i - 1].path, uses[i].path) == 0)
			check_use(l, &uses[i - 1], &uses[i]);
	free(uses);
}

bool cli_load_policies(int argc, char **argv, const char *const *recipe_dirs,
		       struct cli_policies *out, struct qmp_buffer *errors)
{
	struct loading l = { recipe_dirs, out, errors, false };

	*out = (struct cli_policies){ NULL, 0 };
	for (int i = 0; i < argc; i++)
		load_argument(&l, argv[i]);
	if (!l.failed)
		check_together(&l);
	if (l.failed)
		cli_policies_release(out);
	return !l.failed;
}

void cli_policies_release(struct cli_policies *p)
{
	for (size_t i = 0; i < p->count; i++)
		policy_free(p->items[i]);
	free(p->items);
	*p = (struct cli_policies){ NULL, 0 };
}
