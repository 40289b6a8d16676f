/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one JSON text is: a command, a return, an error, an event or a greeting, and where its
 * top-level members lie. No tree is built and nothing is copied but the name of a command or event.
 *
 * Texts from clients are judged first as QEMU's parser would (grammar.c), then as
 * qmp_dispatch_check_obj() does, member by member in the order of QEMU's hash table, so that of two
 * faults the same one is named. Texts from QEMU are trusted to be JSON and crossed in one quick
 * pass; whatever they are, nothing outside them is read.
 */
#include "qmp/message.h"

#include "qmp/chars.h"
#include "qmp/dict.h"
#include "qmp/grammar.h"
#include "qmp/token.h"

/* One top-level member while the text is crossed. */
struct member {
	struct span key;   /* string token */
	struct span value; /* as written */
	enum qmp_token_type type;
};

/* Goes over the members of an object or the elements of an array. */
struct walk {
	struct span text;
	size_t at;
	bool bad; /* not well-formed at this level */
	uint32_t depth;
};

/* Step into the container @text; false when it is none of this kind. */
static bool walk_start(struct walk *w, struct span text, enum qmp_token_type open)
{
	struct qmp_token t = qmp_token_next(text, 0);

	*w = (struct walk){ .text = text, .at = t.end, .depth = 1 };
	return t.type == open;
}

/* The value at @w->at. */
static bool walk_value(struct walk *w, struct member *m)
{
	struct qmp_token t = qmp_token_next(w->text, w->at);
	uint32_t depth = 1;

	switch (t.type) {
	case QMP_TOKEN_END:
	case QMP_TOKEN_CLOSE_BRACE:
	case QMP_TOKEN_CLOSE_BRACKET:
	case QMP_TOKEN_COLON:
	case QMP_TOKEN_COMMA:
		w->bad = true;
		return false;
	case QMP_TOKEN_OPEN_BRACE:
	case QMP_TOKEN_OPEN_BRACKET:
	case QMP_TOKEN_STRING:
	case QMP_TOKEN_NUMBER:
	case QMP_TOKEN_KEYWORD:
		break;
	}
	m->type = t.type;
	w->at = qmp_token_skip(w->text, t, &depth);
	if (depth > w->depth)
		w->depth = depth;
	m->value = span_cut(w->text, t.begin, w->at);
	return true;
}

/* Over the comma or the end; true when another value must follow. */
static bool walk_separator(struct walk *w, enum qmp_token_type close, bool first)
{
	struct qmp_token t = qmp_token_next(w->text, w->at);

	if (t.type == close) {
		w->at = t.end;
		return false;
	}
	if (first)
		return true;
	w->at = t.end;
	if (t.type == QMP_TOKEN_COMMA)
		return true;
	w->bad = true;
	return false;
}

/* The next member; false at the end of the object, or when it is bad. */
static bool walk_member(struct walk *w, bool first, struct member *m)
{
	struct qmp_token key, colon;

	if (!walk_separator(w, QMP_TOKEN_CLOSE_BRACE, first))
		return false;
	key = qmp_token_next(w->text, w->at);
	colon = qmp_token_next(w->text, key.end);
	w->bad = key.type != QMP_TOKEN_STRING || colon.type != QMP_TOKEN_COLON;
	if (w->bad)
		return false;
	m->key = span_cut(w->text, key.begin, key.end);
	w->at = colon.end;
	return walk_value(w, m);
}

/* Whether the string token @key decodes to @name, ASCII. */
static bool key_is(struct span key, const char *name)
{
	struct qmp_chars chars = { .token = key, .at = 1 };

	if (memchr(key.p, '\\', key.len) == NULL)
		return key.len == strlen(name) + 2 && memcmp(key.p + 1, name, key.len - 2) == 0;
	for (; *name != '\0'; name++)
		if (qmp_chars_next(&chars) != *name)
			return false;
	return qmp_chars_next(&chars) == QMP_CHARS_END;
}

/* The member "id" with one comma: the one before it, or the one behind when it is the first. */
static struct span member_with_comma(struct span text, struct span key, struct span value)
{
	size_t begin = (size_t)(key.p - text.p), end = (size_t)(value.p - text.p) + value.len;
	size_t before = begin;
	struct qmp_token t;

	while (before > 0 && text.p[before - 1] != ',' && text.p[before - 1] != '{')
		before--;
	if (before > 0 && text.p[before - 1] == ',')
		return span_cut(text, before - 1, end);
	t = qmp_token_next(text, end);
	if (t.type == QMP_TOKEN_COMMA)
		end = qmp_token_next(text, t.end).begin;
	return span_cut(text, begin, end);
}

static void take_id(struct qmp_message *m, const struct member *member)
{
	m->id = member->value;
	m->id_member = member_with_comma(m->text, member->key, member->value);
}

/* A member that qmp_dispatch_check_obj() looks at. */
struct checked {
	struct member member;
	enum { EXECUTE, EXEC_OOB, ARGUMENTS, UNEXPECTED } what;
	uint32_t bucket;
	uint32_t number; /* in the order of the text */
};

enum { KNOWN_MEMBERS = 3 };

/* What of a command matters: the known members, and of the others the one QEMU meets first. */
struct command {
	struct checked known[KNOWN_MEMBERS + 1];
	unsigned count;
	struct checked unexpected;
	bool has_unexpected;
	bool oob;
};

static bool comes_before(const struct checked *a, const struct checked *b)
{
	return a->bucket != b->bucket ? a->bucket < b->bucket : a->number > b->number;
}

static void insert_known(struct command *c, struct checked new)
{
	unsigned i = c->count++;

	while (i > 0 && comes_before(&new, &c->known[i - 1])) {
		c->known[i] = c->known[i - 1];
		i--;
	}
	c->known[i] = new;
}

static void sort_in(struct command *c, struct qmp_message *m, const struct member *member,
		    uint32_t number)
{
	struct checked new = { .member = *member, .number = number };

	if (key_is(member->key, "id")) {
		take_id(m, member);
		return;
	}
	new.bucket = qmp_dict_bucket(member->key);
	if (key_is(member->key, "execute"))
		new.what = EXECUTE;
	else if (key_is(member->key, "exec-oob") && c->oob)
		new.what = EXEC_OOB;
	else if (key_is(member->key, "arguments"))
		new.what = ARGUMENTS;
	else
		new.what = UNEXPECTED;
	if (new.what != UNEXPECTED) {
		insert_known(c, new);
	} else if (!c->has_unexpected || comes_before(&new, &c->unexpected)) {
		c->unexpected = new;
		c->has_unexpected = true;
	}
}

static bool name_command(struct qmp_message *m, const struct checked *now,
			 const struct checked *earlier, struct qmp_error *e)
{
	static const char *const keys[] = { "execute", "exec-oob" };

	if (now->member.type != QMP_TOKEN_STRING)
		return qmp_error_set(e, "QMP input member '%s' must be a string", keys[now->what]);
	if (earlier != NULL)
		return qmp_error_set(e, "QMP input member '%s' clashes with '%s'", keys[now->what],
				     keys[earlier->what]);
	m->kind = now->what == EXECUTE ? QMP_MESSAGE_COMMAND : QMP_MESSAGE_OOB;
	/* A name that is cut is none that QEMU knows. */
	(void)!qmp_chars_decode(now->member.value, m->name, sizeof(m->name));
	return true;
}

static bool refuse_unexpected(const struct checked *c, struct qmp_error *e)
{
	char name[QMP_ERROR_TEXT_MAX];

	(void)!qmp_chars_decode(c->member.key, name, sizeof(name));
	return qmp_error_set(e, "QMP input member '%s' is unexpected", name);
}

static bool check_members(struct command *c, struct qmp_message *m, struct qmp_error *e)
{
	const struct checked *named = NULL;

	if (c->has_unexpected)
		insert_known(c, c->unexpected);
	for (unsigned i = 0; i < c->count; i++) {
		const struct checked *now = &c->known[i];

		switch (now->what) {
		case EXECUTE:
		case EXEC_OOB:
			if (!name_command(m, now, named, e))
				return false;
			named = now;
			break;
		case ARGUMENTS:
			if (now->member.type != QMP_TOKEN_OPEN_BRACE)
				return qmp_error_set(
					e, "QMP input member 'arguments' must be an object");
			m->body = now->member.value;
			break;
		case UNEXPECTED:
			return refuse_unexpected(now, e);
		}
	}
	return named != NULL || qmp_error_set(e, "QMP input lacks member 'execute'");
}

enum qmp_command_check qmp_command_parse(struct span text, const struct qmp_framer *f, bool oob,
					 struct qmp_message *m, struct qmp_error *e)
{
	struct qmp_grammar g = { .dialect = (enum qmp_dialect)f->dialect };
	struct command c = { .oob = oob };
	struct member member;
	struct walk w;

	*m = (struct qmp_message){ .text = text };
	g.line = f->begin_line;
	g.column = f->begin_column;
	g.began_again = (f->flags & QMP_FRAMER_BEGAN_AGAIN) != 0;
	if (!qmp_grammar_check(text, &g, e))
		return QMP_COMMAND_UNPARSABLE;
	m->depth = g.depth;
	if (!walk_start(&w, text, QMP_TOKEN_OPEN_BRACE)) {
		qmp_error_set(e, "QMP input must be a JSON object");
		return QMP_COMMAND_REJECTED;
	}
	for (uint32_t n = 0; walk_member(&w, n == 0, &member); n++)
		sort_in(&c, m, &member, n);
	return check_members(&c, m, e) ? QMP_COMMAND_OK : QMP_COMMAND_REJECTED;
}

/* The members of what QEMU sends, as bits. */
enum reply_member {
	RETURN = 1 << QMP_MESSAGE_RETURN,
	ERROR = 1 << QMP_MESSAGE_ERROR,
	EVENT = 1 << QMP_MESSAGE_EVENT,
	GREETING = 1 << QMP_MESSAGE_GREETING,
	KINDS = RETURN | ERROR | EVENT | GREETING,
	ID = 1 << 8,
	DATA = 1 << 9,
	TIMESTAMP = 1 << 10,
};

/* Note one member; 0 when it does not belong here. */
static unsigned sort_reply_member(struct qmp_message *m, const struct member *member)
{
	static const struct {
		const char *key;
		enum reply_member bit;
		enum qmp_token_type type; /* END: any */
	} known[] = {
		{ "return", RETURN, QMP_TOKEN_END },
		{ "error", ERROR, QMP_TOKEN_OPEN_BRACE },
		{ "event", EVENT, QMP_TOKEN_STRING },
		{ "QMP", GREETING, QMP_TOKEN_OPEN_BRACE },
		{ "id", ID, QMP_TOKEN_END },
		{ "data", DATA, QMP_TOKEN_OPEN_BRACE },
		{ "timestamp", TIMESTAMP, QMP_TOKEN_OPEN_BRACE },
	};
	unsigned i = 0, count = sizeof(known) / sizeof(known[0]);

	while (i < count && !key_is(member->key, known[i].key))
		i++;
	if (i == count || (known[i].type != QMP_TOKEN_END && known[i].type != member->type))
		return 0;
	if (known[i].bit == ID)
		take_id(m, member);
	else if (known[i].bit == EVENT)
		(void)!qmp_chars_decode(member->value, m->name, sizeof(m->name));
	else if (known[i].bit != TIMESTAMP)
		m->body = member->value;
	return known[i].bit;
}

static bool kind_of_reply(struct qmp_message *m, unsigned seen)
{
	switch (seen & KINDS) {
	case RETURN:
		m->kind = QMP_MESSAGE_RETURN;
		return (seen & ~(unsigned)ID) == RETURN;
	case ERROR:
		m->kind = QMP_MESSAGE_ERROR;
		return (seen & ~(unsigned)ID) == ERROR;
	case EVENT:
		m->kind = QMP_MESSAGE_EVENT;
		return (seen & ~(unsigned)(DATA | TIMESTAMP)) == EVENT;
	case GREETING:
		m->kind = QMP_MESSAGE_GREETING;
		return seen == GREETING;
	default:
		return false;
	}
}

bool qmp_reply_parse(struct span text, struct qmp_message *m, struct qmp_error *e)
{
	struct member member;
	unsigned seen = 0;
	bool ok = true;
	struct walk w;

	*m = (struct qmp_message){ .text = text };
	if (!walk_start(&w, text, QMP_TOKEN_OPEN_BRACE))
		return qmp_error_set(e, "no JSON object came from QEMU");
	for (bool first = true; ok && walk_member(&w, first, &member); first = false) {
		unsigned bit = sort_reply_member(m, &member);

		ok = bit != 0 && (seen & bit) == 0;
		seen |= bit;
	}
	m->depth = w.depth;
	if (!ok || w.bad || !kind_of_reply(m, seen) || qmp_token_next(text, w.at).begin != text.len)
		return qmp_error_set(e, "what came from QEMU is no QMP message");
	return true;
}

struct span qmp_member(struct span object, const char *key)
{
	struct member member;
	struct walk w;

	if (!walk_start(&w, object, QMP_TOKEN_OPEN_BRACE))
		return (struct span){ NULL, 0 };
	for (bool first = true; walk_member(&w, first, &member); first = false)
		if (key_is(member.key, key))
			return member.value;
	return (struct span){ NULL, 0 };
}

bool qmp_first_key(struct span object, char *out, size_t size)
{
	struct member member;
	struct walk w;

	return walk_start(&w, object, QMP_TOKEN_OPEN_BRACE) && walk_member(&w, true, &member) &&
	       qmp_string(member.key, out, size);
}

struct span qmp_element(struct span array, unsigned index)
{
	struct member member;
	struct walk w;

	if (!walk_start(&w, array, QMP_TOKEN_OPEN_BRACKET))
		return (struct span){ NULL, 0 };
	for (unsigned i = 0; walk_separator(&w, QMP_TOKEN_CLOSE_BRACKET, i == 0); i++) {
		if (!walk_value(&w, &member))
			break;
		if (i == index)
			return member.value;
	}
	return (struct span){ NULL, 0 };
}

bool qmp_string(struct span value, char *out, size_t size)
{
	struct qmp_token t = qmp_token_next(value, 0);
	struct qmp_chars chars = { .at = 1 };
	bool nul = false;
	int32_t cp;

	out[0] = '\0';
	if (t.type != QMP_TOKEN_STRING)
		return false;
	chars.token = span_cut(value, t.begin, t.end);
	while ((cp = qmp_chars_next(&chars)) >= 0)
		nul = nul || cp == 0;
	return qmp_chars_decode(chars.token, out, size) && !nul;
}
