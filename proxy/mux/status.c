/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The answer of x-qmend-status: the state of this VM's multiplexer, and what the layer above adds.
 * It only looks. The names of its members are documented in qmend(1).
 */
#include <inttypes.h>

#include "mux/parts.h"

static const char *state_name(enum qemu_state state)
{
	switch (state) {
	case QEMU_ABSENT:
		return "absent";
	case QEMU_CONNECTED:
		return "no-greeting";
	case QEMU_NEGOTIATING:
		return "negotiating";
	case QEMU_READY:
		return "ready";
	}
	return "unknown";
}

static const char *boolean(bool value)
{
	return value ? "true" : "false";
}

static void print_client(struct router *rt, uint32_t slot, struct qmp_buffer *out)
{
	const struct client *c = router_client(rt, slot);
	const struct conn *conn = router_conn(rt, slot);

	qmp_buffer_printf(out,
			  "{\"client\": %" PRIu32 ", \"pid\": %" PRIu32 ", \"uid\": %" PRIu32
			  ", \"listener\": %" PRIu32 ", \"negotiated\": %s, \"oob\": %s"
			  ", \"read-only\": %s, \"commands\": %" PRIu64 ", \"pending\": %" PRIu32
			  ", \"outstanding\": %" PRIu32 ", \"queued-in\": %" PRIu64
			  ", \"queued-out\": %" PRIu64 ", \"seconds\": %" PRIu64 "}",
			  slot, c->pid, c->uid, c->listener, boolean(c->negotiated),
			  boolean(c->oob), boolean(c->read_only), c->commands, c->pending_count,
			  c->outstanding + c->outstanding_oob, queue_length(&conn->in),
			  queue_length(&conn->out), (rt->now - c->since) / 1000000000);
}

void status_print(struct router *rt, struct qmp_buffer *out)
{
	const struct qemu *qemu = router_qemu(rt);
	uint32_t used = region_chunks_used(rt->region);
	const char *separator = "";

	qmp_buffer_printf(out,
			  "{\"vm\": \"%s\", \"qemu\": {\"state\": \"%s\", \"pid\": %" PRIu32
			  ", \"outstanding\": %" PRIu32 ", \"connections\": %" PRIu32
			  ", \"seconds\": %" PRIu64 "}",
			  rt->vm, state_name((enum qemu_state)qemu->state), qemu->pid,
			  qemu->in_band + qemu->oob, qemu->session,
			  (rt->now - qemu->since) / 1000000000);
	qmp_buffer_printf(out, ", \"queues\": {\"bytes\": %" PRIu64 ", \"limit\": %" PRIu64 "}",
			  (uint64_t)used * REGION_CHUNK,
			  (uint64_t)(used + region_chunks_free(rt->region)) * REGION_CHUNK);
	qmp_buffer_printf(out, ", \"clients\": [");
	slots_each(&rt->present, i) {
		if (router_conn(rt, i)->state != CONN_OPEN)
			continue;
		qmp_buffer_printf(out, "%s", separator);
		print_client(rt, i, out);
		separator = ", ";
	}
	qmp_buffer_printf(out, "]");
	if (rt->sink.status != NULL)
		rt->sink.status(rt->sink.owner, out);
	qmp_buffer_printf(out, "}");
}
