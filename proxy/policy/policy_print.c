/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The policy as it will run, as JSON: defaults, recipes and parameters put in, times in ms. It has
 * the keys of a policy file, but the rules stand in their backend, so it is for reading, not for
 * loading. For qmend check.
 */
#include "policy/policy_keys.h"

#include <inttypes.h>

#include "qmp/id.h"

static void indent(struct qmp_buffer *out, unsigned depth)
{
	qmp_buffer_printf(out, "%*s", (int)(2 * depth), "");
}

static void add_string(struct qmp_buffer *out, const char *text)
{
	qmp_print_string(out, span_of(text));
}

/* A new member line: its comma behind the line before, its key. */
static void add_key(struct qmp_buffer *out, unsigned depth, bool first, const char *key)
{
	qmp_buffer_add(out, first ? SPAN("\n") : SPAN(",\n"));
	indent(out, depth);
	add_string(out, key);
	qmp_buffer_add(out, SPAN(": "));
}

static void add_member(struct qmp_buffer *out, unsigned depth, const char *key, const char *text)
{
	add_key(out, depth, false, key);
	add_string(out, text);
}

static void add_time(struct qmp_buffer *out, uint64_t ns)
{
	qmp_buffer_printf(out, "\"%" PRIu64 "ms\"", ns / 1000000);
}

static void add_size(struct qmp_buffer *out, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB" };
	unsigned unit = 0;

	for (bytes >>= 10; unit < 2 && bytes % 1024 == 0; unit++)
		bytes >>= 10;
	qmp_buffer_printf(out, "\"%" PRIu64 "%s\"", bytes, units[unit]);
}

static void add_bool(struct qmp_buffer *out, bool value)
{
	qmp_buffer_add(out, value ? SPAN("true") : SPAN("false"));
}

static void print_listen(struct qmp_buffer *out, const struct policy_listen *l)
{
	qmp_buffer_add(out, SPAN("{ \"path\": "));
	add_string(out, l->path);
	qmp_buffer_printf(out, ", \"mode\": \"%04o\"", (unsigned)l->mode);
	if (l->uid != (uid_t)-1)
		qmp_buffer_printf(out, ", \"uid\": %lu", (unsigned long)l->uid);
	if (l->gid != (gid_t)-1)
		qmp_buffer_printf(out, ", \"gid\": %lu", (unsigned long)l->gid);
	qmp_buffer_add(out, SPAN(", \"access\": "));
	add_string(out, policy_word(WORDS_ACCESS, l->access));
	qmp_buffer_add(out, SPAN(" }"));
}

/* NAME and its members, behind which stands @members, without the outer braces. */
static void print_pattern(struct qmp_buffer *out, const struct policy_event *e, const char *members)
{
	add_string(out, e->name);
	if (e->match_count == 0)
		return;
	qmp_buffer_printf(out, ", \"%s\": {", members);
	for (size_t i = 0; i < e->match_count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN(" ") : SPAN(", "));
		add_string(out, e->match[i].key);
		qmp_buffer_printf(out, ": %s", e->match[i].value);
	}
	qmp_buffer_add(out, SPAN(" }"));
}

static void print_event(struct qmp_buffer *out, const struct policy_event *e)
{
	qmp_buffer_add(out, SPAN("\"event\": "));
	print_pattern(out, e, "data");
}

static void print_trigger(struct qmp_buffer *out, const struct policy_trigger *t, const char *own)
{
	qmp_buffer_add(out, SPAN("{ "));
	switch (t->kind) {
	case POLICY_ON_BACKEND_EXITED:
		qmp_buffer_add(out, SPAN("\"backend\": "));
		add_string(out, own);
		qmp_buffer_add(out, SPAN(", \"is\": \"exited\""));
		break;
	case POLICY_ON_EVENT:
		print_event(out, &t->event);
		break;
	}
	qmp_buffer_add(out, SPAN(" }"));
}

static void print_step(struct qmp_buffer *out, const struct policy_step *s, const char *own)
{
	qmp_buffer_add(out, SPAN("{ "));
	switch (s->kind) {
	case POLICY_STEP_START:
		qmp_buffer_add(out, SPAN("\"start\": "));
		add_string(out, own);
		break;
	case POLICY_STEP_AWAIT:
		qmp_buffer_add(out, SPAN("\"await\": { "));
		print_event(out, &s->event);
		qmp_buffer_add(out, SPAN(" }"));
		break;
	}
	qmp_buffer_add(out, SPAN(", \"for\": "));
	add_time(out, s->deadline);
	qmp_buffer_add(out, SPAN(" }"));
}

static void print_rule(struct qmp_buffer *out, const struct policy_rule *rule, const char *own)
{
	unsigned depth = 5;

	qmp_buffer_add(out, SPAN("{"));
	add_key(out, depth, true, "name");
	add_string(out, rule->name);
	add_key(out, depth, false, "on");
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; i < rule->trigger_count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN("\n") : SPAN(",\n"));
		indent(out, depth + 1);
		print_trigger(out, &rule->triggers[i], own);
	}
	qmp_buffer_add(out, SPAN(" ]"));
	add_member(out, depth, "verdict", policy_word(WORDS_VERDICT, rule->verdict));
	add_key(out, depth, false, "do");
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; i < rule->step_count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN("\n") : SPAN(",\n"));
		indent(out, depth + 1);
		print_step(out, &rule->steps[i], own);
	}
	qmp_buffer_add(out, SPAN(" ]\n"));
	indent(out, depth - 1);
	qmp_buffer_add(out, SPAN("}"));
}

static void print_command(struct qmp_buffer *out, char *const *command)
{
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; command[i] != NULL; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN(" ") : SPAN(", "));
		add_string(out, command[i]);
	}
	qmp_buffer_add(out, SPAN(" ]"));
}

/* Commands of clients: "ends" and "begins". */
static void print_commands(struct qmp_buffer *out, const char *key, const struct policy_event *list,
			   size_t count)
{
	unsigned depth = 3;

	add_key(out, depth, false, key);
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; i < count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN("\n") : SPAN(",\n"));
		indent(out, depth + 1);
		qmp_buffer_add(out, SPAN("{ \"execute\": "));
		print_pattern(out, &list[i], "arguments");
		qmp_buffer_add(out, SPAN(" }"));
	}
	qmp_buffer_add(out, SPAN(" ]"));
}

/* When it is ready, how it is tried again. */
static void print_tries(struct qmp_buffer *out, const struct policy_backend *b)
{
	unsigned depth = 3;

	add_member(out, depth, "ready", policy_word(WORDS_READY, b->ready));
	add_key(out, depth, false, "ready-deadline");
	add_time(out, b->ready_deadline);
	add_key(out, depth, false, "backoff");
	qmp_buffer_add(out, SPAN("{ \"first\": "));
	add_time(out, b->backoff_first);
	qmp_buffer_add(out, SPAN(", \"max\": "));
	add_time(out, b->backoff_max);
	qmp_buffer_add(out, SPAN(" }"));
	add_key(out, depth, false, "budget");
	qmp_buffer_printf(out, "{ \"faults\": %" PRIu32 ", \"period\": ", b->budget_faults);
	add_time(out, b->budget_period);
	qmp_buffer_add(out, SPAN(" }"));
}

static void print_backend(struct qmp_buffer *out, const struct policy_backend *b)
{
	unsigned depth = 3;

	qmp_buffer_add(out, SPAN("{"));
	add_key(out, depth, true, "recipe");
	add_string(out, b->recipe);
	if (b->command != NULL) {
		add_key(out, depth, false, "command");
		print_command(out, b->command);
	}
	if (b->socket != NULL)
		add_member(out, depth, "socket", b->socket);
	if (b->pidfile != NULL)
		add_member(out, depth, "pidfile", b->pidfile);
	add_key(out, depth, false, "handover");
	add_bool(out, b->handover);
	print_tries(out, b);
	if (b->end_count != 0)
		print_commands(out, "ends", b->ends, b->end_count);
	if (b->begin_count != 0)
		print_commands(out, "begins", b->begins, b->begin_count);
	add_key(out, depth, false, "rules");
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; i < b->rule_count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN("\n") : SPAN(",\n"));
		indent(out, depth + 1);
		print_rule(out, &b->rules[i], b->name);
	}
	qmp_buffer_add(out, SPAN(" ]\n"));
	indent(out, depth - 1);
	qmp_buffer_add(out, SPAN("}"));
}

void policy_print(const struct policy *p, struct qmp_buffer *out)
{
	qmp_buffer_add(out, SPAN("{"));
	add_key(out, 1, true, "vm");
	add_string(out, p->vm);
	add_member(out, 1, "qemu", p->qemu);
	add_key(out, 1, false, "listen");
	qmp_buffer_add(out, SPAN("["));
	for (size_t i = 0; i < p->listen_count; i++) {
		qmp_buffer_add(out, i == 0 ? SPAN("\n    ") : SPAN(",\n    "));
		print_listen(out, &p->listen[i]);
	}
	qmp_buffer_add(out, SPAN(" ]"));
	add_key(out, 1, false, "limits");
	qmp_buffer_printf(out, "{ \"clients\": %" PRIu32 ", \"queue\": ", p->limits.clients);
	add_size(out, p->limits.queue);
	qmp_buffer_add(out, SPAN(", \"memory\": "));
	add_size(out, p->limits.memory);
	qmp_buffer_add(out, SPAN(" }"));
	add_key(out, 1, false, "keep-fd-names");
	add_bool(out, p->keep_fd_names);
	add_key(out, 1, false, "coalesce");
	add_bool(out, p->coalesce);
	add_key(out, 1, false, "backends");
	qmp_buffer_add(out, SPAN("{"));
	for (size_t i = 0; i < p->backend_count; i++) {
		add_key(out, 2, i == 0, p->backends[i].name);
		print_backend(out, &p->backends[i]);
	}
	qmp_buffer_add(out, p->backend_count == 0 ? SPAN("}\n}\n") : SPAN("\n  }\n}\n"));
}
