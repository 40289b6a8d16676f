/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ids wrapped and unwrapped, values printed as QEMU prints them, messages put together. */
#include "qmp/build.h"

#include <stdio.h>
#include <stdlib.h>

#include "qmp/id.h"
#include "unit/qmp_fixture.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

static void join(struct qmp_buffer *out, const struct qmp_splice *s)
{
	qmp_buffer_clear(out);
	for (unsigned i = 0; i < s->count; i++)
		ck_assert(qmp_buffer_add(out, s->piece[i]));
	ck_assert_uint_eq(out->len, qmp_splice_size(s));
}

static const struct {
	const char *id;
	bool ours;
	uint64_t number;
	const char *client_id;
} ids[] = {
	{ "[0]", true, 0, NULL },
	{ "[ 18446744073709551615 ]", true, UINT64_MAX, NULL },
	{ "[7, \"x\"]", true, 7, "\"x\"" },
	{ "[7,[1, [2]]]", true, 7, "[1, [2]]" },
	{ "[7, {\"a\": \"]\"}]", true, 7, "{\"a\": \"]\"}" },
	{ "[7, null]", true, 7, "null" },
	{ "[\r\n        7,\r\n        -1.5\r\n    ]", true, 7, "-1.5" },
	{ "7", false, 0, NULL },
	{ "\"7\"", false, 0, NULL },
	{ "[]", false, 0, NULL },
	{ "[-1]", false, 0, NULL },
	{ "[1.0]", false, 0, NULL },
	{ "[1e3]", false, 0, NULL },
	{ "[\"1\"]", false, 0, NULL },
	{ "[18446744073709551616]", false, 0, NULL },
	{ "[99999999999999999999]", false, 0, NULL },
	{ "[1, 2, 3]", false, 0, NULL },
	{ "[1, 2", false, 0, NULL },
	{ "[1", false, 0, NULL },
	{ "[1] ", false, 0, NULL },
	{ "{\"a\": 1}", false, 0, NULL },
	{ "", false, 0, NULL },
};

START_TEST(splitting_ids)
{
	struct span id = guard_copy(span_of(ids[_i].id)), client_id;
	uint64_t number = 0;

	ck_assert_int_eq(qmp_id_split(id, &number, &client_id), ids[_i].ours);
	if (ids[_i].ours) {
		ck_assert_uint_eq(number, ids[_i].number);
		assert_span(client_id, ids[_i].client_id);
	}
	guard_free(id);
	ck_assert(!qmp_id_split((struct span){ NULL, 0 }, &number, &client_id));
}
END_TEST

static const struct {
	const char *value, *printed; /* NULL: as it is */
} values[] = {
	{ "null", NULL },
	{ "true", NULL },
	{ "false", NULL },
	{ "0", NULL },
	{ "-0", "0" },
	{ "-0.0", "-0" },
	{ "1e3", "1000" },
	{ "0.1", "0.10000000000000001" },
	{ "1.5e+300", "1.5000000000000001e+300" },
	{ "9223372036854775807", NULL },
	{ "9223372036854775808", NULL },
	{ "18446744073709551615", NULL },
	{ "18446744073709551616", "1.8446744073709552e+19" },
	{ "-9223372036854775808", NULL },
	{ "-9223372036854775809", "-9.2233720368547758e+18" },
	{ "1e999", "inf" },
	{ "\"a\"", NULL },
	{ "'x'", "\"x\"" },
	{ "'\"'", "\"\\\"\"" },
	{ "\"a\\/b\\u0041\"", "\"a/bA\"" },
	{ "\"\\b\\f\\n\\r\\t\\\\\\'\"", "\"\\b\\f\\n\\r\\t\\\\'\"" },
	{ "\"\\u0000\\u001f\x7f\"", "\"\\u0000\\u001F\\u007F\"" },
	{ "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\"\\u00E9\\u20AC\\uD83D\\uDE00\"" },
	{ "[]", NULL },
	{ "{}", NULL },
	{ " [1,2 ,[ ] , {}]", "[1, 2, [], {}]" },
	{ "{\"a\":1,\"d\":{\"x\":[null]},\"c\":'e'}",
	  "{\"d\": {\"x\": [null]}, \"a\": 1, \"c\": \"e\"}" },
	{ "{\"minor\":1,\"micro\":2,\"major\":3}", "{\"micro\": 2, \"minor\": 1, \"major\": 3}" },
	{ "{\"micro\":2,\"minor\":1,\"major\":3}", "{\"minor\": 1, \"micro\": 2, \"major\": 3}" },
};

START_TEST(printing)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	const char *printed = values[_i].printed;
	struct span value = guard_copy(span_of(values[_i].value));

	ck_assert(qmp_print_value(&out, value));
	assert_text(&out, printed == NULL ? values[_i].value : printed);
	guard_free(value);
	/* All or nothing. */
	for (size_t cap = 0; cap < out.len; cap++) {
		AUTO_BUF struct qmp_buffer small = QMP_BUFFER_INIT(cap);

		ck_assert(!qmp_print_value(&small, span_of(values[_i].value)));
		ck_assert_uint_eq(small.len, 0);
	}
}
END_TEST

START_TEST(printing_nonsense)
{
	static const char *const bad[] = { "",	    "]",      "}",	  ":",	      "[", "[1,",
					   "{1:2}", "{\"a\"", "{\"a\":}", "{\"a\":]", "@", "\"a" };
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	AUTO_BUF struct qmp_buffer deep = QMP_BUFFER_INIT(2000);

	for (int i = 0; i < COUNT(bad); i++) {
		struct span value = guard_copy(span_of(bad[i]));

		ck_assert_msg(!qmp_print_value(&out, value), "%s", bad[i]);
		ck_assert_uint_eq(out.len, 0);
		guard_free(value);
	}
	for (int i = 0; i < QMP_MAX_DEPTH + 1; i++)
		qmp_buffer_add(&deep, SPAN("["));
	ck_assert(!qmp_print_value(&out, qmp_buffer_span(&deep)));
}
END_TEST

START_TEST(printing_texts)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);

	ck_assert(qmp_print_string(&out, SPAN("stray '\xff\xe2\x82' \"\xc0\x80\x01")));
	assert_text(&out, "\"stray '\\uFFFD\\uFFFD' \\\"\\u0000\\u0001\"");
	qmp_buffer_clear(&out);
	ck_assert(qmp_print_string(&out, SPAN("\xed\xa0\x80\xef\xbf\xbf\xc0\xaf\x80")));
	assert_text(&out, "\"\\uFFFD\\uFFFD\\uFFFD\\uFFFD\"");
}
END_TEST

static const struct {
	const char *command, *sent;
} commands[] = {
	{ "{\"execute\":\"a\"}", "{\"id\":[42],\"execute\":\"a\"}" },
	{ "{ 'execute' : 'a' }", "{\"id\":[42], 'execute' : 'a' }" },
	{ "{\"execute\":\"a\",\"id\":1}", "{\"execute\":\"a\",\"id\":[42,1]}" },
	{ "{\"id\" : 'x' , \"execute\":\"a\"}", "{\"id\" : [42,'x'] , \"execute\":\"a\"}" },
	{ "{\"execute\":\"a\",\"id\":{\"id\":[]},\"arguments\":{\"id\":2}}",
	  "{\"execute\":\"a\",\"id\":[42,{\"id\":[]}],\"arguments\":{\"id\":2}}" },
};

START_TEST(commands_to_qemu)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	const struct qmp_framer f = { 0 };
	struct span client_id;
	struct qmp_message m, sent;
	struct qmp_splice s;
	struct qmp_error e;
	uint64_t number;

	ck_assert_int_eq(qmp_command_parse(span_of(commands[_i].command), &f, false, &m, &e),
			 QMP_COMMAND_OK);
	qmp_splice_command(&s, &m, 42);
	join(&out, &s);
	assert_text(&out, commands[_i].sent);
	/* And back: the largest number, and QEMU's own reading of it. */
	qmp_splice_command(&s, &m, UINT64_MAX);
	join(&out, &s);
	ck_assert_int_eq(qmp_command_parse(qmp_buffer_span(&out), &f, false, &sent, &e),
			 QMP_COMMAND_OK);
	ck_assert(qmp_id_split(sent.id, &number, &client_id));
	ck_assert_uint_eq(number, UINT64_MAX);
	ck_assert(span_equal(client_id, m.id));
}
END_TEST

static const struct {
	const char *reply, *delivered;
} replies[] = {
	{ "{\"return\": {}, \"id\": [42]}", "{\"return\": {}}\r\n" },
	{ "{\"return\": {}, \"id\": [42]}\r\n", "{\"return\": {}}\r\n" },
	{ "{\"return\": {}, \"id\": [42, \"x\"]}", "{\"return\": {}, \"id\": \"x\"}\r\n" },
	{ "{\"return\": [1, {\"id\": 2}], \"id\": [42, {\"a\": [1, 2]}]}",
	  "{\"return\": [1, {\"id\": 2}], \"id\": {\"a\": [1, 2]}}\r\n" },
	{ "{\"id\": [42], \"error\": {\"class\": \"C\", \"desc\": \"d\"}}",
	  "{\"error\": {\"class\": \"C\", \"desc\": \"d\"}}\r\n" },
	{ "{\"id\": [42, null], \"error\": {\"class\": \"C\", \"desc\": \"d\"}}",
	  "{\"id\": null, \"error\": {\"class\": \"C\", \"desc\": \"d\"}}\r\n" },
	/* A monitor with pretty=on. */
	{ "{\r\n    \"return\": {\r\n    },\r\n    \"id\": [\r\n        42\r\n    ]\r\n}\r\n",
	  "{\r\n    \"return\": {\r\n    }\r\n}\r\n" },
	{ "{\r\n    \"return\": {\r\n    },\r\n    \"id\": [\r\n        42,\r\n        \"x\"\r\n   "
	  " ]"
	  "\r\n}\r\n",
	  "{\r\n    \"return\": {\r\n    },\r\n    \"id\": \"x\"\r\n}\r\n" },
	{ "{\r\n    \"id\": [\r\n        42\r\n    ],\r\n    \"error\": {\r\n        \"desc\": "
	  "\"d\"\r\n"
	  "    }\r\n}",
	  "{\r\n    \"error\": {\r\n        \"desc\": \"d\"\r\n    }\r\n}\r\n" },
};

START_TEST(replies_to_clients)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	struct span client_id;
	struct qmp_message m;
	struct qmp_splice s;
	struct qmp_error e;
	uint64_t number;

	ck_assert(qmp_reply_parse(guard_copy(span_of(replies[_i].reply)), &m, &e));
	ck_assert(qmp_id_split(m.id, &number, &client_id));
	ck_assert_uint_eq(number, 42);
	qmp_splice_reply(&s, &m, client_id);
	join(&out, &s);
	assert_text(&out, replies[_i].delivered);
	guard_free(m.text);
}
END_TEST

START_TEST(replies_without_id_stay_as_they_are)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	struct qmp_message m;
	struct qmp_splice s;
	struct qmp_error e;

	ck_assert(qmp_reply_parse(SPAN("{\"return\": {}}"), &m, &e));
	qmp_splice_reply(&s, &m, SPAN("1"));
	join(&out, &s);
	assert_text(&out, "{\"return\": {}}\r\n");
}
END_TEST

START_TEST(own_answers)
{
	AUTO_BUF struct qmp_buffer out = QMP_BUFFER_INIT(1000);
	const struct span none = { NULL, 0 };
	struct qmp_error e;

	qmp_error_class(&e, QMP_ERROR_COMMAND_NOT_FOUND, "no '%s'\n", "\xc3\xa9");
	ck_assert(qmp_build_return(&out, SPAN("{}"), none));
	ck_assert(qmp_build_return(&out, SPAN("[1]"), SPAN("{'b':1e1,'a':0}")));
	ck_assert(qmp_build_error(&out, &e, none));
	ck_assert(qmp_build_error(&out, &e, SPAN("'x'")));
	assert_text(&out,
		    "{\"return\": {}}\r\n"
		    "{\"return\": [1], \"id\": {\"a\": 0, \"b\": 10}}\r\n"
		    "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no '\\u00E9'\\n\"}}"
		    "\r\n"
		    "{\"id\": \"x\", \"error\": {\"class\": \"CommandNotFound\", \"desc\": "
		    "\"no '\\u00E9'\\n\"}}\r\n");
}
END_TEST

START_TEST(own_answers_whole_or_not_at_all)
{
	struct qmp_error e;

	qmp_error_set(&e, "no");
	for (size_t cap = 0; cap < 60; cap++) {
		AUTO_BUF struct qmp_buffer one = QMP_BUFFER_INIT(cap);
		AUTO_BUF struct qmp_buffer two = QMP_BUFFER_INIT(cap);

		ck_assert_int_eq(qmp_build_return(&one, SPAN("{}"), SPAN("[1, 2]")), cap >= 30);
		ck_assert_uint_eq(one.len, cap >= 30 ? 30 : 0);
		ck_assert(!qmp_build_error(&two, &e, SPAN("[1]")) && two.len == 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("build");
	TCase *c = tcase_create("build");

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, splitting_ids, 0, COUNT(ids));
	tcase_add_loop_test(c, printing, 0, COUNT(values));
	tcase_add_test(c, printing_nonsense);
	tcase_add_test(c, printing_texts);
	tcase_add_loop_test(c, commands_to_qemu, 0, COUNT(commands));
	tcase_add_loop_test(c, replies_to_clients, 0, COUNT(replies));
	tcase_add_test(c, replies_without_id_stay_as_they_are);
	tcase_add_test(c, own_answers);
	tcase_add_test(c, own_answers_whole_or_not_at_all);
	return run_tap(s);
}
