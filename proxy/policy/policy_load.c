/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy file: from text to struct policy.
 *
 * Theory of operation. One pass over the tree reads everything and goes on after an error, so that
 * a user sees all of them at once; nobody gets a policy that had one. policy_keys.c checks that
 * members are known and of the right type; the readers below then take what has the right type and
 * leave the rest. A backend is read in the order in which ${...} needs it: its name and socket, the
 * parameters of its recipe, its pid file, its command, and last the rules of the recipe.
 */
#include "policy/policy_recipe.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t ms = 1000000;

static bool read_mode(struct policy_reader *r, const struct json *value, mode_t *mode)
{
	const char *text = value->text;
	size_t len = strlen(text);
	unsigned long bits;

	if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && text[0] != '0'))
		return reader_error(r, value->offset,
				    "%s are no permissions: expected an octal number as a string, "
				    "such as \"0660\"",
				    reader_quote(text).text);
	bits = strtoul(text, NULL, 8);
	if ((bits & 0222) == 0)
		return reader_error(r, value->offset,
				    "with the permissions \"%s\" nobody can connect: expected the "
				    "write bit for somebody, as in \"0660\"",
				    text);
	*mode = (mode_t)bits;
	return true;
}

static void read_user(struct policy_reader *r, const struct json *value, uid_t *uid)
{
	const struct passwd *found = getpwnam(value->text);

	if (found != NULL)
		*uid = found->pw_uid;
	else
		reader_error(r, value->offset,
			     "unknown user %s: expected the name of a user of this machine",
			     reader_quote(value->text).text);
}

static void read_group(struct policy_reader *r, const struct json *value, gid_t *gid)
{
	const struct group *found = getgrnam(value->text);

	if (found != NULL)
		*gid = found->gr_gid;
	else
		reader_error(r, value->offset,
			     "unknown group %s: expected the name of a group of this machine",
			     reader_quote(value->text).text);
}

/* A socket's path, which nothing else in the policy uses. */
static char *read_socket(struct policy_reader *r, const struct json *value)
{
	char *path = reader_path(r, value, value->text, POLICY_MAX_SUN_PATH);

	if (path != NULL)
		reader_use_path(r, value, path);
	return path;
}

static void read_listen(struct policy_reader *r, const struct json *node, struct policy_listen *l)
{
	const struct json *path = node, *value;
	unsigned access = POLICY_FULL;

	*l = (struct policy_listen){ .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (node->type != JSON_STRING) {
		reader_keys(r, node, TABLE_LISTEN, NULL);
		path = reader_get(node, "path", JSON_STRING);
	}
	if (path != NULL)
		l->path = read_socket(r, path);
	if ((value = reader_get(node, "mode", JSON_STRING)) != NULL)
		read_mode(r, value, &l->mode);
	if ((value = reader_get(node, "user", JSON_STRING)) != NULL)
		read_user(r, value, &l->uid);
	if ((value = reader_get(node, "group", JSON_STRING)) != NULL)
		read_group(r, value, &l->gid);
	value = reader_get(node, "access", JSON_STRING);
	if (value != NULL && reader_word(r, value, value->text, WORDS_ACCESS, &access))
		l->access = (enum policy_access)access;
}

/* The members of a list or object, none when there are more than @max. */
static size_t count_members(struct policy_reader *r, const struct json *list, size_t max)
{
	size_t count = 0;

	for (const struct json *v = list->first; v != NULL; v = v->next)
		count++;
	if (count <= max)
		return count;
	reader_error(r, list->offset, "'%s' has %zu entries: expected at most %zu", list->key,
		     count, max);
	return 0;
}

static void read_listens(struct policy_reader *r, const struct json *list, struct policy *p)
{
	size_t count = count_members(r, list, POLICY_MAX_LISTEN);
	const struct json *node = list->first;

	if (list->first == NULL)
		reader_error(r, list->offset,
			     "'listen' is empty: expected at least one socket for the clients");
	p->listen = policy_alloc(count, sizeof(*p->listen));
	for (; p->listen_count < count; node = node->next)
		read_listen(r, node, &p->listen[p->listen_count++]);
}

static void read_limits(struct policy_reader *r, const struct json *node,
			struct policy_limits *limits)
{
	const struct json *clients = reader_get(node, "clients", JSON_NUMBER);
	const struct json *queue = reader_get(node, "queue", JSON_STRING);
	const struct json *memory = reader_get(node, "memory", JSON_STRING);
	bool ok = reader_keys(r, node, TABLE_LIMITS, NULL);

	if (clients != NULL)
		ok = reader_count(r, clients, 65535, &limits->clients) && ok;
	if (queue != NULL)
		ok = reader_size(r, queue, &limits->queue) && ok;
	if (memory != NULL)
		ok = reader_size(r, memory, &limits->memory) && ok;
	if (ok && limits->memory < limits->queue)
		reader_error(r, node->offset,
			     "'memory' (%s) is less than 'queue' (%s): expected room for at least "
			     "one full queue",
			     memory == NULL ? "256MiB, the default" : memory->text,
			     queue == NULL ? "32MiB, the default" : queue->text);
}

static void read_time(struct policy_reader *r, const struct json *node, const char *key,
		      uint64_t *ns)
{
	const struct json *value = reader_get(node, key, JSON_STRING);

	if (value != NULL)
		(void)!reader_duration(r, value, value->text, ns);
}

static void read_budget(struct policy_reader *r, const struct json *node, struct policy_backend *b)
{
	const struct json *backoff = reader_get(node, "backoff", JSON_OBJECT);
	const struct json *budget = reader_get(node, "budget", JSON_OBJECT);
	const struct json *faults = reader_get(budget, "faults", JSON_NUMBER);

	b->ready_deadline = 10000 * ms;
	b->backoff_first = 100 * ms;
	b->backoff_max = 10000 * ms;
	b->budget_faults = 10;
	b->budget_period = 60000 * ms;
	read_time(r, node, "ready-deadline", &b->ready_deadline);
	read_time(r, backoff, "first", &b->backoff_first);
	read_time(r, backoff, "max", &b->backoff_max);
	read_time(r, budget, "period", &b->budget_period);
	if (backoff != NULL && reader_keys(r, backoff, TABLE_BACKOFF, NULL) &&
	    b->backoff_first > b->backoff_max)
		reader_error(r, backoff->offset,
			     "'first' is longer than 'max' (10s when it is not given): expected "
			     "waits that grow");
	if (budget != NULL)
		reader_keys(r, budget, TABLE_BUDGET, NULL);
	if (faults != NULL)
		(void)!reader_count(r, faults, POLICY_MAX_FAULTS, &b->budget_faults);
}

/* The program: a name that PATH finds, or an absolute path. */
static bool check_program(struct policy_reader *r, const struct json *value, const char *program)
{
	if (program[0] == '\0')
		return reader_error(r, value->offset,
				    "the program is an empty string: expected its name or path");
	if (program[0] != '/' && strchr(program, '/') != NULL)
		return reader_error(r, value->offset,
				    "%s is a relative path: expected an absolute one, or a name "
				    "that PATH finds",
				    reader_quote(program).text);
	return true;
}

static void read_command(struct policy_scope *s, const struct json *list, struct policy_backend *b)
{
	struct policy_reader *r = s->reader;
	size_t count = count_members(r, list, POLICY_MAX_ARGUMENTS), n = 0;
	const struct json *node = list->first;

	if (list->first == NULL)
		reader_error(r, list->offset,
			     "'command' is empty: expected [ \"program\", \"argument\" ], or no "
			     "'command' when something else starts the backend");
	b->command = policy_alloc(count + 1, sizeof(*b->command));
	scope_set(s, "fd", "3", NULL);
	for (; n < count; node = node->next) {
		char *text = NULL;

		if (node->type == JSON_STRING)
			text = scope_expand(s, node);
		else
			reader_error(r, node->offset,
				     "an argument is no string (%s): expected each in quotes",
				     json_type_name(node->type));
		if (text != NULL && n == 0)
			check_program(r, node, text);
		b->command[n++] = text == NULL ? policy_copy(SPAN("")) : text;
	}
	b->handover = scope_used(s, "fd");
	scope_set(s, "fd", NULL, "only the backend's \"command\" can take the connection");
}

static void read_pidfile(struct policy_scope *s, const struct json *value, struct policy_backend *b)
{
	char *text;

	scope_set(s, "pidfile", NULL, "it is not known before this");
	text = scope_expand(s, value);
	if (text != NULL)
		b->pidfile = reader_path(s->reader, value, text, POLICY_MAX_PATH);
	if (b->pidfile != NULL)
		reader_use_path(s->reader, value, b->pidfile);
	scope_set(s, "pidfile", b->pidfile == NULL ? "" : b->pidfile, NULL);
	free(text);
}

/* What the user says of readiness, or the best that there is. */
static void read_ready(struct policy_scope *s, const struct json *node, struct policy_backend *b)
{
	const struct json *value = reader_get(node, "ready", JSON_STRING);
	unsigned ready = POLICY_READY_STARTED;

	if (value != NULL) {
		if (reader_word(s->reader, value, value->text, WORDS_READY, &ready))
			b->ready = (enum policy_ready)ready;
		return;
	}
	if (b->pidfile != NULL && (scope_used(s, "pidfile") || b->command == NULL))
		b->ready = POLICY_READY_PIDFILE;
	else if (b->socket != NULL && !b->handover)
		b->ready = POLICY_READY_LISTENS;
	else
		b->ready = POLICY_READY_STARTED;
}

/* Do the keys of the backend go together? */
static void check_backend(struct policy_reader *r, const struct json *node,
			  const struct policy_backend *b)
{
	const struct json *ready = reader_get(node, "ready", JSON_STRING);
	bool socket = json_get(node, "socket") != NULL, pidfile = json_get(node, "pidfile") != NULL;

	if (b->handover && !socket)
		reader_error(r, json_get(node, "command")->offset,
			     "${fd} hands a connection over, but the backend has no 'socket': add "
			     "the path on which QEMU's netdev listens");
	if (ready != NULL && b->ready == POLICY_READY_PIDFILE && !pidfile)
		reader_error(r, ready->offset,
			     "ready is \"pidfile\", but there is none: add 'pidfile'");
	if (ready != NULL && b->ready == POLICY_READY_LISTENS && !socket)
		reader_error(r, ready->offset,
			     "ready is \"listens\", but there is no 'socket': add it");
	if (ready != NULL && b->ready == POLICY_READY_LISTENS && b->handover)
		reader_error(r, ready->offset,
			     "ready is \"listens\", but with ${fd} it is QEMU that listens on the "
			     "socket: expected \"pidfile\" or \"started\"");
	if (json_get(node, "command") == NULL && !socket && !pidfile)
		reader_error(r, node->key_offset,
			     "nothing to find the backend by: add 'command', 'socket' or "
			     "'pidfile'");
}

static void read_backend_with(struct policy_scope *s, const struct policy_recipe *recipe,
			      const struct json *node, struct policy_backend *b)
{
	const struct json *command = reader_get(node, "command", JSON_ARRAY);
	const struct json *socket = reader_get(node, "socket", JSON_STRING);
	const struct json *pidfile = reader_get(node, "pidfile", JSON_STRING);
	const struct json *deadline = reader_get(node, "ready-deadline", JSON_STRING);

	s->lenient = recipe == NULL;
	scope_set(s, "backend", b->name, NULL);
	scope_set(s, "vm", s->reader->policy->vm == NULL ? "" : s->reader->policy->vm, NULL);
	scope_set(s, "ready-deadline", deadline == NULL ? "10s" : deadline->text, NULL);
	if (socket != NULL) {
		b->socket = read_socket(s->reader, socket);
		scope_set(s, "socket", b->socket == NULL ? "" : b->socket, NULL);
	}
	if (pidfile != NULL)
		scope_set(s, "pidfile", NULL, "it is not known before the parameters");
	if (recipe != NULL)
		policy_recipe_parameters(s, recipe, node);
	if (pidfile != NULL)
		read_pidfile(s, pidfile, b);
	if (command != NULL)
		read_command(s, command, b);
	read_ready(s, node, b);
	check_backend(s->reader, node, b);
	if (recipe != NULL) {
		policy_rules_expand(s, recipe, b);
		policy_commands_expand(s, recipe, b);
	}
}

static void read_backend(struct policy_reader *r, const struct json *node, struct policy_backend *b)
{
	const struct json *name = reader_get(node, "recipe", JSON_STRING);
	const struct policy_recipe *recipe = NULL;
	struct policy_scope scope;

	b->name = policy_copy(span_of(node->key));
	(void)!reader_name(r, node->key_offset, node->key, "backend");
	if (name != NULL) {
		b->recipe = policy_copy(span_of(name->text));
		recipe = policy_recipe_find(r, name);
	}
	/* Without its recipe nobody knows which keys the backend may have. */
	reader_keys(r, node, TABLE_BACKEND, recipe == NULL ? node : policy_recipe_declared(recipe));
	if (node->type != JSON_OBJECT)
		return;
	read_budget(r, node, b);
	r->backend = node;
	scope_init(&scope, r);
	read_backend_with(&scope, recipe, node, b);
	scope_release(&scope);
	r->backend = NULL;
}

static void read_backends(struct policy_reader *r, const struct json *list, struct policy *p)
{
	size_t count = count_members(r, list, POLICY_MAX_BACKENDS);
	const struct json *node = list->first;

	p->backends = policy_alloc(count, sizeof(*p->backends));
	for (; p->backend_count < count; node = node->next)
		read_backend(r, node, &p->backends[p->backend_count++]);
}

static void read_policy(struct policy_reader *r, const struct json *root, struct policy *p)
{
	const struct json *value;

	if (reader_get(root, "recipe", JSON_STRING) != NULL && json_get(root, "rules") != NULL) {
		reader_error(r, root->offset,
			     "this is a recipe: expected a policy; a recipe is checked through a "
			     "policy that uses it");
		return;
	}
	reader_keys(r, root, TABLE_POLICY, NULL);
	if ((value = reader_get(root, "vm", JSON_STRING)) != NULL &&
	    reader_name(r, value->offset, value->text, "VM"))
		p->vm = policy_copy(span_of(value->text));
	if ((value = reader_get(root, "qemu", JSON_STRING)) != NULL)
		p->qemu = read_socket(r, value);
	if ((value = reader_get(root, "listen", JSON_ARRAY)) != NULL)
		read_listens(r, value, p);
	if ((value = reader_get(root, "limits", JSON_OBJECT)) != NULL)
		read_limits(r, value, &p->limits);
	if ((value = reader_get(root, "keep-fd-names", JSON_BOOL)) != NULL)
		p->keep_fd_names = value->boolean;
	if ((value = reader_get(root, "coalesce", JSON_BOOL)) != NULL)
		p->coalesce = value->boolean;
	if ((value = reader_get(root, "backends", JSON_OBJECT)) != NULL)
		read_backends(r, value, p);
}

bool policy_parse(struct policy_reader *r, const char *path, struct span text, struct policy **out)
{
	struct policy *p = policy_alloc(1, sizeof(*p));
	struct policy_source source;

	*out = NULL;
	r->policy = p;
	r->policy_source = &source;
	p->path = policy_copy(span_of(path));
	p->limits = (struct policy_limits){ 64, UINT64_C(32) << 20, UINT64_C(256) << 20 };
	if (policy_source_open(r, &source, path, text))
		read_policy(r, source.root, p);
	policy_source_close(&source);
	policy_recipes_release(r);
	r->policy = NULL;
	if (r->error_count != 0) {
		policy_free(p);
		return false;
	}
	*out = p;
	return true;
}

bool policy_load(const char *path, const char *const *recipe_dirs, struct policy **out,
		 struct qmp_buffer *errors)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(0);
	struct policy_reader r = { .recipe_dirs = recipe_dirs, .errors = errors };

	*out = NULL;
	if (!policy_read_file(path, &text))
		return reader_note(&r, "%s: the policy cannot be read: %s", path, strerror(errno));
	return policy_parse(&r, path, qmp_buffer_span(&text), out);
}
