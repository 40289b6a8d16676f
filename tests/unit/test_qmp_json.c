/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict JSON decoded: trees, positions, what is refused and where. */
#include "qmp/json.h"

#include <stdlib.h>

#include "qmp/buffer.h"
#include "unit/qmp_fixture.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* A tree in one line: each value with its offset, each member with its key's. */
static void describe(struct qmp_buffer *out, const struct json *j)
{
	if (j->key != NULL)
		qmp_buffer_printf(out, "%s@%zu=", j->key, j->key_offset);
	qmp_buffer_printf(out, "%s@%zu", json_type_name(j->type), j->offset);
	if (j->type == JSON_STRING || j->type == JSON_NUMBER) {
		ck_assert_uint_eq(strlen(j->text), j->len);
		qmp_buffer_printf(out, "'%s'", j->text);
	}
	if (j->type == JSON_BOOL)
		qmp_buffer_printf(out, "'%d'", j->boolean);
	if (j->type != JSON_ARRAY && j->type != JSON_OBJECT)
		return;
	qmp_buffer_printf(out, "(");
	for (const struct json *c = j->first; c != NULL; c = c->next) {
		describe(out, c);
		qmp_buffer_printf(out, c->next == NULL ? "" : " ");
	}
	qmp_buffer_printf(out, ")");
}

static const struct {
	const char *text;
	unsigned flags;
	const char *tree;
} good[] = {
	{ "{}", 0, "object@0()" },
	{ " [ ] ", 0, "array@1()" },
	{ "5", 0, "number@0'5'" },
	{ " null\n", 0, "null@1" },
	{ "\"\"", 0, "string@0''" },
	{ "[-1.5e3,18446744073709551616]", 0,
	  "array@0(number@1'-1.5e3' number@8'18446744073709551616')" },
	{ "[true, false ,null]", 0, "array@0(boolean@1'1' boolean@7'0' null@14)" },
	{ "{\"a\" : [\"\\n\\u00e9\\\"\", {\"b\":{}}] , \"\\u0063\":1}", 0,
	  "object@0(a@1=array@7(string@8'\n\xc3\xa9\"' object@22(b@23=object@27())) "
	  "c@34=number@43'1')" },
	{ "/* a, b: */ { // \"x\"\n \"a\" /**/ : // ,\n 1 /*:*/ } // end", JSON_COMMENTS,
	  "object@12(a@22=number@39'1')" },
	{ "{\"a\":{\"x\":1},\"b\":{\"x\":1}}", 0,
	  "object@0(a@1=object@5(x@6=number@10'1') b@13=object@17(x@18=number@22'1'))" },
};

START_TEST(trees)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(10000);
	struct span text = guard_copy(span_of(good[_i].text));
	struct qmp_error e;
	struct json *root;
	size_t offset;

	ck_assert(json_parse(text, good[_i].flags, &root, &offset, &e));
	guard_free(text); /* nothing borrows from it */
	describe(&out, root);
	assert_text(&out, good[_i].tree);
	json_free(root);
}
END_TEST

static const struct {
	const char *text;
	unsigned flags;
	unsigned line, column;
	const char *error;
} bad[] = {
	{ "", 0, 1, 1, "the text ends too early" },
	{ " \n ", 0, 2, 2, "the text ends too early" },
	{ "{\"a\":1", 0, 1, 7, "the text ends too early" },
	{ "[\"a", 0, 1, 4, "the text ends too early" },
	{ "nul", 0, 1, 4, "the text ends too early" },
	{ "[/* x ", JSON_COMMENTS, 1, 7, "the text ends too early" },
	{ "[1, /", JSON_COMMENTS, 1, 6, "the text ends too early" },
	{ "{\"a\":1,}", 0, 1, 8, "invalid object key (must be a string)" },
	{ "{\n\"a\":1,\n\"b\":[1,,2]}", 0, 3, 8, "unallowed token at this point in JSON text" },
	{ "{1:2}", 0, 1, 2, "invalid object key (must be a string)" },
	{ "[1 2]", 0, 1, 4, "after array element, I expect ',' or ']'" },
	{ "[1,@]", 0, 1, 4, "invalid char in json text." },
	{ "[1:2]", 0, 1, 3, "after array element, I expect ',' or ']'" },
	{ "{\"a\",1}", 0, 1, 5, "object key and value must be separated by a colon (':')" },
	{ "[1}", 0, 1, 3, "after array element, I expect ',' or ']'" },
	{ "[1] 2", 0, 1, 5, "trailing garbage" },
	{ "{} {}", 0, 1, 4, "trailing garbage" },
	{ "1 // x", 0, 1, 3, "trailing garbage" },
	{ "[//x\n1]", 0, 1, 2, "probable comment found in input text, comments are not enabled." },
	{ "{\"a\":1,\"b\":2,\n \"a\":3,\"b\":4}", 0, 2, 2, "duplicate key 'a'" },
	{ "{\"x\":{\"a\":1,\"\\u0061\":2},\"x\":1}", 0, 1, 13, "duplicate key 'a'" },
	{ "[\"a\\u0000\"]", 0, 1, 2, "NUL in a string" },
	{ "{\"a\\u0000\":1}", 0, 1, 2, "NUL in a key" },
	{ "['a']", 0, 1, 2, "invalid char in json text." },
	{ "[\"\xff\"]", 0, 1, 2, "invalid bytes in UTF8 string." },
};

START_TEST(errors)
{
	struct span text = guard_copy(span_of(bad[_i].text));
	struct json *root = NULL;
	unsigned line, column;
	struct qmp_error e;
	size_t offset = 1000;

	ck_assert(!json_parse(text, bad[_i].flags, &root, &offset, &e));
	ck_assert_ptr_null(root);
	json_position(text, offset, &line, &column);
	ck_assert_str_eq(e.text, bad[_i].error);
	ck_assert_uint_eq(line, bad[_i].line);
	ck_assert_uint_eq(column, bad[_i].column);
	guard_free(text);
}
END_TEST

static bool nested(int depth)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1000);
	struct json *root = NULL;
	struct qmp_error e;
	size_t offset;
	bool ok;

	for (int i = 0; i < depth; i++)
		qmp_buffer_add(&text, SPAN("["));
	for (int i = 0; i < depth; i++)
		qmp_buffer_add(&text, SPAN("]"));
	ok = json_parse(qmp_buffer_span(&text), 0, &root, &offset, &e);
	if (!ok) {
		ck_assert_str_eq(e.text, "nesting too deep");
		ck_assert_uint_eq(offset, 128);
	}
	json_free(root);
	return ok;
}

START_TEST(nesting)
{
	ck_assert(nested(128));
	ck_assert(!nested(129));
}
END_TEST

START_TEST(long_keys)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 22);
	struct qmp_error e;
	struct json *root;
	size_t offset;
	char *room;

	qmp_buffer_add(&text, SPAN("{\""));
	room = qmp_buffer_reserve(&text, (1 << 20) + 1);
	memset(room, 'k', (1 << 20) + 1);
	text.len += (1 << 20) + 1;
	qmp_buffer_add(&text, SPAN("\":1}"));
	ck_assert(!json_parse(qmp_buffer_span(&text), 0, &root, &offset, &e));
	ck_assert_str_eq(e.text, "key too long");
	ck_assert(!json_parse((struct span){ NULL, 0 }, 0, &root, &offset, &e));
}
END_TEST

START_TEST(questions)
{
	struct qmp_error e;
	struct json *root;
	size_t offset;
	int64_t number = 5;

	ck_assert(json_parse(SPAN("{\"i\":-9223372036854775808,\"big\":9223372036854775808,"
				  "\"f\":1.0,\"e\":1e3,\"s\":\"1\"}"),
			     0, &root, &offset, &e));
	ck_assert(json_int(json_get(root, "i"), &number));
	ck_assert_int_eq(number, INT64_MIN);
	ck_assert(!json_int(json_get(root, "big"), &number));
	ck_assert(!json_int(json_get(root, "f"), &number));
	ck_assert(!json_int(json_get(root, "e"), &number));
	ck_assert(!json_int(json_get(root, "s"), &number));
	ck_assert(!json_int(NULL, &number));
	ck_assert_int_eq(number, INT64_MIN);
	ck_assert_ptr_null(json_get(root, "nope"));
	ck_assert_ptr_null(json_get(json_get(root, "s"), "x"));
	ck_assert_ptr_null(json_get(NULL, "x"));
	ck_assert_str_eq(json_type_name((enum json_type)99), "?");
	json_free(root);
	json_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *c = tcase_create("json");

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, trees, 0, COUNT(good));
	tcase_add_loop_test(c, errors, 0, COUNT(bad));
	tcase_add_test(c, nesting);
	tcase_add_test(c, long_keys);
	tcase_add_test(c, questions);
	return run_tap(s);
}
