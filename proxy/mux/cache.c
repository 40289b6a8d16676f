/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers that cannot change while a QEMU process lives: kept after the first time, as QEMU printed
 * them, forgotten when the connection ends. Used by client.c (serving) and qemu.c (storing).
 */
#include <string.h>

#include "mux/parts.h"

/* Facts of the binary and of the command line. query-machines and query-cpu-definitions are not
 * here: the first names the default that -machine may set, the second depends on the accelerator
 * and may come before it is there. */
static const char *const names[] = {
	"query-version", "query-qmp-schema", "query-commands", "query-command-line-options",
	"query-name",	 "query-target",     "query-uuid",     "query-kvm",
};

#define NAMES (sizeof(names) / sizeof(names[0]))
_Static_assert(NAMES <= (size_t)ROUTER_CACHED, "the section is too small");

static struct queue *body(const struct router *rt, uint32_t i)
{
	return region_at(rt->region, SECTION_CACHE, i);
}

static bool has_arguments(const struct qmp_message *m)
{
	for (size_t i = 1; m->body.p != NULL && i + 1 < m->body.len; i++)
		if (strchr(" \t\r\n", m->body.p[i]) == NULL)
			return true;
	return false;
}

uint8_t cache_number(const struct qmp_message *m)
{
	if (m->kind != QMP_MESSAGE_COMMAND || has_arguments(m))
		return 0;
	for (uint8_t i = 0; i < NAMES; i++)
		if (strcmp(names[i], m->name) == 0)
			return (uint8_t)(i + 1);
	return 0;
}

bool cache_has(const struct router *rt, uint8_t number)
{
	return queue_length(body(rt, number - 1u)) > 0;
}

void cache_store(struct router *rt, uint8_t number, struct span value)
{
	if (!cache_has(rt, number) && !queue_append(rt->region, body(rt, number - 1u), value))
		queue_clear(rt->region, body(rt, number - 1u));
}

const struct queue *cache_body(const struct router *rt, uint8_t number)
{
	return body(rt, number - 1u);
}

void cache_clear(struct router *rt)
{
	for (uint32_t i = 0; i < ROUTER_CACHED; i++)
		queue_clear(rt->region, body(rt, i));
}
