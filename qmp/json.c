/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict JSON into a tree, with the position of every value. yajl does the lexing and the grammar;
 * this file, the only one that includes it, builds the tree and refuses what yajl lets through:
 * duplicate keys, NUL in strings, deep nesting. Each node is one allocation, its key and its text
 * behind it. Not for the traffic between clients and QEMU: see message.c for that.
 */
#include "qmp/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "qmp/buffer.h"

enum { MAX_DEPTH = 128, KEY_MAX = 1 << 20 };

struct node {
	struct json json; /* first: a struct json * is a struct node * */
	struct node *parent;
	struct json **tail; /* where the next child goes */
	char storage[];
};

struct decoder {
	struct span text;
	yajl_handle yajl;
	bool comments;
	struct node *root, *open;
	unsigned depth;
	struct qmp_buffer key;
	size_t key_offset;
	size_t done; /* behind the last token seen */
	size_t bad;  /* where our own complaint points */
	struct qmp_error *e;
};

static size_t skip_comment(struct span text, size_t at)
{
	bool line = at + 1 < text.len && text.p[at + 1] == '/';

	for (at += 2; at < text.len; at++) {
		if (line && text.p[at] == '\n')
			return at;
		if (!line && text.p[at] == '*' && at + 1 < text.len && text.p[at + 1] == '/')
			return at + 2;
	}
	return text.len;
}

/* The first byte of the next token that yajl reports, from @at on. */
static size_t next_token(const struct decoder *d, size_t at)
{
	struct span text = d->text;

	while (at < text.len) {
		if (strchr(" \t\r\n,:", text.p[at]) != NULL && text.p[at] != '\0')
			at++;
		else if (text.p[at] == '/' && d->comments)
			at = skip_comment(text, at);
		else
			break;
	}
	return at;
}

/* Called by each callback: where its token begins; the next one begins behind it. */
static size_t token_offset(struct decoder *d)
{
	size_t offset = next_token(d, d->done);

	d->done = yajl_get_bytes_consumed(d->yajl);
	return offset;
}

static int refuse(struct decoder *d, size_t offset, const char *why)
{
	d->bad = offset;
	qmp_error_set(d->e, "%s", why);
	return 0;
}

static struct node *new_node(enum json_type type, size_t text_len, size_t key_len)
{
	struct node *n = calloc(1, sizeof(*n) + text_len + 1 + key_len + 1);

	if (n == NULL)
		abort();
	n->json.type = type;
	n->tail = &n->json.first;
	return n;
}

/* Make a node of the value just seen and hang it where it belongs. */
static struct node *add(struct decoder *d, enum json_type type, struct span text)
{
	bool member = d->open != NULL && d->open->json.type == JSON_OBJECT;
	struct node *n = new_node(type, text.len, member ? d->key.len : 0);

	n->json.offset = token_offset(d);
	if (text.len != 0)
		memcpy(n->storage, text.p, text.len);
	if (type == JSON_STRING || type == JSON_NUMBER) {
		n->json.text = n->storage;
		n->json.len = text.len;
	}
	if (member) {
		char *key = n->storage + text.len + 1;

		if (d->key.len != 0)
			memcpy(key, d->key.data, d->key.len);
		n->json.key = key;
		n->json.key_offset = d->key_offset;
	}
	n->parent = d->open;
	if (d->open == NULL) {
		d->root = n;
	} else {
		*d->open->tail = &n->json;
		d->open->tail = &n->json.next;
	}
	return n;
}

static int on_null(void *ctx)
{
	add(ctx, JSON_NULL, SPAN(""));
	return 1;
}

static int on_boolean(void *ctx, int value)
{
	add(ctx, JSON_BOOL, SPAN(""))->json.boolean = value != 0;
	return 1;
}

static int on_number(void *ctx, const char *text, size_t len)
{
	add(ctx, JSON_NUMBER, (struct span){ text, len });
	return 1;
}

static int on_string(void *ctx, const unsigned char *text, size_t len)
{
	struct decoder *d = ctx;

	if (len != 0 && memchr(text, 0, len) != NULL)
		return refuse(d, next_token(d, d->done), "NUL in a string");
	add(d, JSON_STRING, (struct span){ (const char *)text, len });
	return 1;
}

static int on_key(void *ctx, const unsigned char *text, size_t len)
{
	struct decoder *d = ctx;
	size_t offset = token_offset(d);

	if (len != 0 && memchr(text, 0, len) != NULL)
		return refuse(d, offset, "NUL in a key");
	qmp_buffer_clear(&d->key);
	if (!qmp_buffer_add(&d->key, (struct span){ (const char *)text, len }))
		return refuse(d, offset, "key too long");
	d->key_offset = offset;
	return 1;
}

static int open_container(struct decoder *d, enum json_type type)
{
	if (++d->depth > MAX_DEPTH)
		return refuse(d, next_token(d, d->done), "nesting too deep");
	d->open = add(d, type, SPAN(""));
	return 1;
}

static int on_start_map(void *ctx)
{
	return open_container(ctx, JSON_OBJECT);
}

static int on_start_array(void *ctx)
{
	return open_container(ctx, JSON_ARRAY);
}

static int on_end_array(void *ctx)
{
	struct decoder *d = ctx;

	token_offset(d);
	d->open = d->open->parent;
	d->depth--;
	return 1;
}

static int compare_keys(const void *a, const void *b)
{
	const struct json *x = *(const struct json *const *)a;
	const struct json *y = *(const struct json *const *)b;
	int order = strcmp(x->key, y->key);

	if (order != 0)
		return order;
	return x->offset < y->offset ? -1 : 1;
}

/* The first member of @object whose key came before, or NULL. */
static const struct json *find_duplicate(const struct json *object)
{
	const struct json **sorted, *found = NULL;
	size_t count = 0, i = 0;

	for (const struct json *m = object->first; m != NULL; m = m->next)
		count++;
	if (count < 2)
		return NULL;
	sorted = calloc(count, sizeof(*sorted));
	if (sorted == NULL)
		abort();
	for (const struct json *m = object->first; m != NULL; m = m->next)
		sorted[i++] = m;
	qsort(sorted, count, sizeof(*sorted), compare_keys);
	for (i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0 &&
		    (found == NULL || sorted[i]->offset < found->offset))
			found = sorted[i];
	free(sorted);
	return found;
}

static int on_end_map(void *ctx)
{
	struct decoder *d = ctx;
	const struct json *twice = find_duplicate(&d->open->json);

	if (twice != NULL) {
		d->bad = twice->key_offset;
		qmp_error_set(d->e, "duplicate key '%s'", twice->key);
		return 0;
	}
	return on_end_array(d);
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end_map,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end_array,
};

/* Where yajl stopped: at a token that it could not read, or at one that must not stand there, which
 * may be a comma or colon that next_token() passes over. */
static size_t error_offset(const struct decoder *d, bool lexical)
{
	size_t taken = yajl_get_bytes_consumed(d->yajl);

	if (!lexical && taken > d->done && taken <= d->text.len &&
	    (d->text.p[taken - 1] == ',' || d->text.p[taken - 1] == ':'))
		return taken - 1;
	return next_token(d, d->done);
}

/* yajl's words without its "parse error: " and line end, and where they point. */
static void take_error(struct decoder *d, size_t *offset)
{
	const unsigned char *in = (const unsigned char *)d->text.p;
	unsigned char *words = yajl_get_error(d->yajl, 0, in, d->text.len);
	const char *text = (const char *)words, *colon = strstr(text, ": ");

	*offset = error_offset(d, strncmp(text, "lexical", 7) == 0);
	if (colon != NULL)
		text = colon + 2;
	qmp_error_set(d->e, "%.*s", (int)strcspn(text, "\n"), text);
	yajl_free_error(d->yajl, words);
}

static bool finish(struct decoder *d, size_t *offset)
{
	if (yajl_complete_parse(d->yajl) == yajl_status_ok && d->root != NULL)
		return true;
	if (d->root != NULL && d->depth == 0) {
		*offset = next_token(d, d->done);
		return qmp_error_set(d->e, "trailing garbage");
	}
	*offset = d->text.len;
	return qmp_error_set(d->e, "the text ends too early");
}

static bool run(struct decoder *d, size_t *offset)
{
	const unsigned char *in = (const unsigned char *)d->text.p;
	yajl_status status = yajl_parse(d->yajl, in, d->text.len);

	if (status == yajl_status_ok)
		return finish(d, offset);
	if (status == yajl_status_client_canceled) {
		*offset = d->bad;
		return false;
	}
	take_error(d, offset);
	return false;
}

bool json_parse(struct span text, unsigned flags, struct json **out, size_t *offset,
		struct qmp_error *e)
{
	struct decoder d = { .text = text, .e = e, .key = QMP_BUFFER_INIT(KEY_MAX) };
	bool ok;

	if (text.p == NULL)
		d.text = SPAN("");
	d.comments = (flags & JSON_COMMENTS) != 0;
	d.yajl = yajl_alloc(&callbacks, NULL, &d);
	if (d.yajl == NULL)
		abort();
	yajl_config(d.yajl, yajl_allow_comments, d.comments ? 1 : 0);
	ok = run(&d, offset);
	yajl_free(d.yajl);
	qmp_buffer_release(&d.key);
	if (!ok) {
		json_free(d.root == NULL ? NULL : &d.root->json);
		return false;
	}
	*out = &d.root->json;
	return true;
}

/* As deep as the nesting, which json_parse() limits. */
void json_free(struct json *root)
{
	while (root != NULL) {
		struct json *next = root->next;

		json_free(root->first);
		free(root);
		root = next;
	}
}

const struct json *json_get(const struct json *object, const char *key)
{
	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	for (const struct json *m = object->first; m != NULL; m = m->next)
		if (strcmp(m->key, key) == 0)
			return m;
	return NULL;
}

bool json_int(const struct json *value, int64_t *out)
{
	char *end;
	long long number;

	if (value == NULL || value->type != JSON_NUMBER)
		return false;
	errno = 0;
	number = strtoll(value->text, &end, 10);
	if (errno != 0 || *end != '\0')
		return false;
	*out = number;
	return true;
}

const char *json_type_name(enum json_type type)
{
	switch (type) {
	case JSON_NULL:
		return "null";
	case JSON_BOOL:
		return "boolean";
	case JSON_NUMBER:
		return "number";
	case JSON_STRING:
		return "string";
	case JSON_ARRAY:
		return "array";
	case JSON_OBJECT:
		return "object";
	}
	return "?";
}

void json_position(struct span text, size_t offset, unsigned *line, unsigned *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < offset && i < text.len; i++) {
		(*column)++;
		if (text.p[i] == '\n') {
			(*line)++;
			*column = 1;
		}
	}
}
