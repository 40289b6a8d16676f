/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handshake, both roles: what a client may ask before it has negotiated, with QEMU's errors for
 * everything else, and what qmend learns of the QEMU in front of it. Decides only; who calls
 * (client and qemu) sends and keeps the state.
 */
#include "qmp/session.h"

#include "qmp/chars.h"
#include "qmp/dict.h"
#include "qmp/token.h"

/* glib's smallest hash table: eight slots, searched from a number modulo seven on. */
enum { SLOTS = 8, MODULUS = 7, NAMES = 7 };

/* A member of the arguments: its name as a string token. */
struct name {
	struct span key;
	uint32_t bucket;
};

/* g_str_hash() and the place that a table of eight slots gives it. */
static uint32_t glib_slot(struct span key)
{
	struct qmp_chars chars = { .token = key, .at = 1 };
	uint32_t hash = 5381;
	int32_t cp;

	while ((cp = qmp_chars_next(&chars)) >= 0) {
		char bytes[4];
		size_t n = qmp_utf8_encode(cp, bytes);

		for (size_t i = 0; i < n; i++) {
			int32_t byte = (signed char)bytes[i];

			hash = hash * 33 + (uint32_t)byte;
		}
	}
	return hash * 11 % MODULUS;
}

static bool is_enable(struct span key)
{
	char text[8];

	return qmp_string(key, text, sizeof(text)) && strcmp(text, "enable") == 0;
}

/* The members of @object, NAMES at most, in the order in which QEMU goes through them. */
static unsigned list_names(struct span object, struct name *names)
{
	struct qmp_token t = qmp_token_next(object, qmp_token_next(object, 0).end);
	unsigned count = 0;
	uint32_t depth = 0;

	while (t.type == QMP_TOKEN_STRING && count < NAMES) {
		struct name new = { .key = span_cut(object, t.begin, t.end) };
		unsigned i = count++;

		new.bucket = qmp_dict_bucket(new.key);
		for (; i > 0 && new.bucket <= names[i - 1].bucket; i--)
			names[i] = names[i - 1];
		names[i] = new;
		t = qmp_token_next(object, qmp_token_next(object, t.end).end); /* its value */
		t = qmp_token_next(object, qmp_token_skip(object, t, &depth));
		if (t.type == QMP_TOKEN_COMMA)
			t = qmp_token_next(object, t.end);
	}
	return count;
}

/*
 * The member other than "enable" that QEMU complains of. It looks into a glib hash table, filled in
 * the order of its own; exact up to seven members, with more the table would have grown.
 */
static struct span unexpected_member(struct span object)
{
	struct span slots[SLOTS] = { { NULL, 0 } };
	struct name names[NAMES];
	unsigned count = list_names(object, names);

	for (unsigned i = 0; i < count; i++) {
		uint32_t at = glib_slot(names[i].key);

		for (uint32_t step = 1; slots[at].p != NULL; step++)
			at = (at + step) % SLOTS;
		slots[at] = names[i].key;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].p != NULL && !is_enable(slots[i]))
			return slots[i];
	return (struct span){ NULL, 0 };
}

/* Element @index of "enable": the only capability there is. */
static bool check_capability(struct span value, unsigned index, struct qmp_error *e)
{
	char text[QMP_ERROR_TEXT_MAX];

	if (value.p[0] != '"' && value.p[0] != '\'')
		return qmp_error_set(e, "Invalid parameter type for 'enable[%u]', expected: string",
				     index);
	(void)!qmp_chars_decode(value, text, sizeof(text));
	if (strcmp(text, "oob") != 0)
		return qmp_error_set(e, "Parameter 'null' does not accept value '%s'", text);
	return true;
}

/* *@count: how many capabilities are asked for, all of them oob. */
static bool check_enable(struct span enable, unsigned *count, struct qmp_error *e)
{
	struct qmp_token t;
	uint32_t depth = 0;
	size_t end;

	*count = 0;
	if (enable.p == NULL)
		return true;
	if (enable.p[0] != '[')
		return qmp_error_set(e, "Invalid parameter type for 'enable', expected: array");
	t = qmp_token_next(enable, 1);
	while (t.type != QMP_TOKEN_CLOSE_BRACKET && t.type != QMP_TOKEN_END) {
		end = qmp_token_skip(enable, t, &depth);
		if (!check_capability(span_cut(enable, t.begin, end), (*count)++, e))
			return false;
		t = qmp_token_next(enable, end);
		if (t.type == QMP_TOKEN_COMMA)
			t = qmp_token_next(enable, t.end);
	}
	return true;
}

/* QEMU lists what it lacks, as often as it was asked for. */
static bool refuse_oob(unsigned count, struct qmp_error *e)
{
	qmp_error_set(e, " not available");
	for (unsigned i = 1; i < count && i < QMP_ERROR_TEXT_MAX / 5; i++)
		qmp_error_prefix(e, ", oob");
	return qmp_error_prefix(e, "Capability oob");
}

/* The arguments of qmp_capabilities. Source: qapi/control.json, qmp_caps_accept(). */
static bool check_arguments(struct span arguments, bool offers_oob, bool *oob, struct qmp_error *e)
{
	struct span unexpected;
	char name[QMP_ERROR_TEXT_MAX];
	unsigned count;

	if (!check_enable(qmp_member(arguments, "enable"), &count, e))
		return false;
	unexpected = unexpected_member(arguments);
	if (unexpected.p != NULL) {
		(void)!qmp_chars_decode(unexpected, name, sizeof(name));
		return qmp_error_set(e, "Parameter '%s' is unexpected", name);
	}
	if (count > 0 && !offers_oob)
		return refuse_oob(count, e);
	*oob = count > 0;
	return true;
}

enum qmp_session_answer qmp_session_negotiate(const struct qmp_message *m, bool offers_oob,
					      bool *oob, struct qmp_error *e)
{
	bool enabled = false;

	if (m->kind != QMP_MESSAGE_COMMAND || strcmp(m->name, "qmp_capabilities") != 0) {
		qmp_error_class(e, QMP_ERROR_COMMAND_NOT_FOUND,
				"Expecting capabilities negotiation with 'qmp_capabilities'");
		return QMP_SESSION_REFUSED;
	}
	if (m->body.p != NULL && !check_arguments(m->body, offers_oob, &enabled, e))
		return QMP_SESSION_REFUSED;
	*oob = enabled;
	return QMP_SESSION_NEGOTIATED;
}

bool qmp_session_offers_oob(const struct qmp_message *greeting)
{
	struct span list = qmp_member(greeting->body, "capabilities"), item;
	char name[8];

	for (unsigned i = 0; (item = qmp_element(list, i)).p != NULL; i++)
		if (qmp_string(item, name, sizeof(name)) && strcmp(name, "oob") == 0)
			return true;
	return false;
}

struct span qmp_session_dialect_probe(void)
{
	return SPAN("{1:1}");
}

enum qmp_dialect qmp_session_dialect(const struct qmp_message *error_reply)
{
	struct span desc = qmp_member(error_reply->body, "desc");

	/* "1:2: JSON parse error, ..." against "JSON parse error, ..." */
	if (desc.len > 1 && desc.p[1] >= '0' && desc.p[1] <= '9')
		return QMP_DIALECT_LOCATED;
	return QMP_DIALECT_PLAIN;
}
