/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts from clients and from QEMU: what they are, where their members lie, what is wrong with
 * them. The errors are those that QEMU 7.2 (first column) and 11.1 (second) gave. */
#include "qmp/message.h"

#include <stdio.h>

#include "qmp/buffer.h"
#include "unit/qmp_fixture.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))

/* Parse behind a guard; the spans of @m are good until guard_free(m->text). */
static enum qmp_command_check parse(struct span text, uint16_t dialect, bool oob,
				    struct qmp_message *m, struct qmp_error *e)
{
	const struct qmp_framer f = { .dialect = dialect };

	return qmp_command_parse(guard_copy(text), &f, oob, m, e);
}

static const struct {
	struct span text;
	enum qmp_message_kind kind;
	const char *name, *id, *member, *body;
	uint32_t depth;
} good[] = {
	{ BYTES("{\"execute\":\"stop\"}"), QMP_MESSAGE_COMMAND, "stop", NULL, NULL, NULL, 1 },
	{ BYTES("{'execute':'a','id':1}"), QMP_MESSAGE_COMMAND, "a", "1", ",'id':1", NULL, 1 },
	{ BYTES("{ 'id' : [1, {}] , 'execute':'a'}"), QMP_MESSAGE_COMMAND, "a", "[1, {}]",
	  "'id' : [1, {}] , ", NULL, 3 },
	{ BYTES("{\"execute\":\"a\" ,\n \"id\" : \"x,{\" , \"arguments\" : {\"id\":[2]} }"),
	  QMP_MESSAGE_COMMAND, "a", "\"x,{\"", ",\n \"id\" : \"x,{\"", "{\"id\":[2]}", 3 },
	{ BYTES("{\"\\u0065xecute\":\"\\u0061\\u00e9\\u0000\",\"i\\u0064\":null}"),
	  QMP_MESSAGE_COMMAND, "a\xc3\xa9\xc0\x80", "null", ",\"i\\u0064\":null", NULL, 1 },
	{ BYTES("{\"exec-oob\":\"yank\",\"arguments\":{}}"), QMP_MESSAGE_OOB, "yank", NULL, NULL,
	  "{}", 2 },
	{ BYTES("{\"id\":'\\'\"\\/\xf0\x9f\x98\x80\xc0\x80',\"execute\":\"\"}"),
	  QMP_MESSAGE_COMMAND, "", "'\\'\"\\/\xf0\x9f\x98\x80\xc0\x80'",
	  "\"id\":'\\'\"\\/\xf0\x9f\x98\x80\xc0\x80',", NULL, 1 },
	{ BYTES("{\"execute\":\"a\",\"id\":[-0,1.5E-3,10,true,false,null,0.0]}"),
	  QMP_MESSAGE_COMMAND, "a", "[-0,1.5E-3,10,true,false,null,0.0]",
	  ",\"id\":[-0,1.5E-3,10,true,false,null,0.0]", NULL, 2 },
};

START_TEST(commands)
{
	struct qmp_message m;
	struct qmp_error e;

	for (uint16_t dialect = 0; dialect < 2; dialect++) {
		ck_assert_int_eq(parse(good[_i].text, dialect, true, &m, &e), QMP_COMMAND_OK);
		ck_assert_int_eq(m.kind, good[_i].kind);
		ck_assert_str_eq(m.name, good[_i].name);
		assert_span(m.id, good[_i].id);
		assert_span(m.id_member, good[_i].member);
		assert_span(m.body, good[_i].body);
		ck_assert_uint_eq(m.depth, good[_i].depth);
		guard_free(m.text);
	}
}
END_TEST

static const struct {
	struct span text;
	const char *plain, *located; /* behind "JSON parse error, " and its position */
} unparsable[] = {
	{ BYTES("[\"\\x41\"]"), "invalid escape sequence in string", "1:2" },
	{ BYTES("[\"\\\xe9\"]"), "invalid escape sequence in string", "1:2" },
	{ BYTES("[\"\\u12\"]"), "\\u12\" is not a valid Unicode character", "1:2" },
	{ BYTES("['\\u1']"), "\\u1' is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\u12G4\"]"), "\\u12G4 is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\ud800\"]"), "\\ud800 is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\ud800\\u0041\"]"), "\\ud800 is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\ud83d\\ude0\"]"), "\\ud83d is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\ude00\\ud83d\"]"), "\\ude00 is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\ufffe\"]"), "\\ufffe is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\\uFDD0\"]"), "\\uFDD0 is not a valid Unicode character", "1:2" },
	{ BYTES("[\"\xc0\xaf\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xed\xa0\x80\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xe9\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\x80\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xe2\x82\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xf4\x90\x80\x80\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xf8\x88\x80\x80\x80\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xfd\xbf\xbf\xbf\xbf\xbf\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("[\"\xef\xbf\xbe\"]"), "invalid UTF-8 sequence in string", "1:2" },
	{ BYTES("{\"\\z\":1}"), "invalid escape sequence in string", "1:2" },
	{ BYTES("{nul:1}"), "invalid keyword 'nul'", "1:2: expecting key" },
	{ BYTES("{1:1}"), "key is not a string in object", "1:2: expecting key" },
	{ BYTES("{[]:1}"), "key is not a string in object", "1:2: expecting key" },
	{ BYTES("{{}:1}"), "key is not a string in object", "1:2: expecting key" },
	{ BYTES("{[1 2]:1}"), "expected separator in list", "1:2: expecting key" },
	{ BYTES("{\"a\" 1}"), "missing : in object pair", "1:6: expecting ':'" },
	{ BYTES("{\"a\":}"), "expecting value", "1:6" },
	{ BYTES("{\"a\":1,\"a\":2}"), "duplicate key", "1:12" },
	{ BYTES("{\"a\":1,\"\\u0061\":{}}"), "duplicate key", "1:18" },
	{ BYTES("{\"\\u0000\":1,'\xc0\x80':12}"), "duplicate key", "1:18" },
	{ BYTES("{\"a\":1,\"a\":nul}"), "invalid keyword 'nul'", "1:12" },
	{ BYTES("{\"x\":{\"a\":1,\"a\":2},\"x\":2}"), "duplicate key", "1:17" },
	{ BYTES("{\"a\":1 2}"), "expected separator in dict", "1:8: expected ',' or '}'" },
	{ BYTES("{\"a\":1]"), "expected separator in dict", "1:8: expected ',' or '}'" },
	{ BYTES("[1 2]"), "expected separator in list", "1:4: expected ',' or ']'" },
	{ BYTES("[\"a\":1]"), "expected separator in list", "1:5: expected ',' or ']'" },
	{ BYTES("[1,]"), "expecting value", "1:4" },
	{ BYTES("[,]"), "expecting value", "1:2" },
	{ BYTES("{,}"), "expecting value", "1:2: expecting key" },
	{ BYTES("{\"a\":[\n],\n\n }"), "expecting value", "4:2: expecting key" },
	{ BYTES("}"), "expecting value", "1:1" },
	{ BYTES("nul"), "invalid keyword 'nul'", "1:1" },
	{ BYTES("[true,truer]"), "invalid keyword 'truer'", "1:7" },
	/* Never cut by the framer, but harmless. */
	{ BYTES(""), "premature EOI", "1:1" },
	{ BYTES("[1,\"x"), "premature EOI", "1:6" },
	{ BYTES("[@"), "expecting value", "1:2" },
	{ BYTES("[\"\\"), "premature EOI", "1:4" },
};

/* "1:2" stands for the words of the first column at that place. */
static void located_text(int i, char *out, size_t size)
{
	const char *text = unparsable[i].located, *words = strstr(text, ": ");

	snprintf(out, size, "%.*s: JSON parse error, %s",
		 words == NULL ? (int)strlen(text) : (int)(words - text), text,
		 words == NULL ? unparsable[i].plain : words + 2);
}

START_TEST(texts_that_do_not_parse)
{
	char expected[256];
	struct qmp_message m;
	struct qmp_error e;

	ck_assert_int_eq(parse(unparsable[_i].text, QMP_DIALECT_PLAIN, true, &m, &e),
			 QMP_COMMAND_UNPARSABLE);
	snprintf(expected, sizeof(expected), "JSON parse error, %s", unparsable[_i].plain);
	ck_assert_str_eq(e.text, expected);
	ck_assert_int_eq(e.code, QMP_ERROR_GENERIC);
	ck_assert_ptr_null(m.id.p);
	guard_free(m.text);
	ck_assert_int_eq(parse(unparsable[_i].text, QMP_DIALECT_LOCATED, true, &m, &e),
			 QMP_COMMAND_UNPARSABLE);
	located_text(_i, expected, sizeof(expected));
	ck_assert_str_eq(e.text, expected);
	guard_free(m.text);
}
END_TEST

static const struct {
	struct span text;
	const char *error, *id;
	const char *without_oob; /* NULL: the same */
} rejected[] = {
	{ BYTES("[]"), "QMP input must be a JSON object", NULL, NULL },
	{ BYTES("\"x\""), "QMP input must be a JSON object", NULL, NULL },
	{ BYTES("-1.5"), "QMP input must be a JSON object", NULL, NULL },
	{ BYTES("{}"), "QMP input lacks member 'execute'", NULL, NULL },
	{ BYTES("{\"id\":7}"), "QMP input lacks member 'execute'", "7", NULL },
	{ BYTES("{\"execute\":1,\"id\":'x'}"), "QMP input member 'execute' must be a string", "'x'",
	  NULL },
	{ BYTES("{\"exec-oob\":null}"), "QMP input member 'exec-oob' must be a string", NULL,
	  "QMP input member 'exec-oob' is unexpected" },
	{ BYTES("{\"execute\":\"a\",\"exec-oob\":\"b\"}"),
	  "QMP input member 'execute' clashes with 'exec-oob'", NULL,
	  "QMP input member 'exec-oob' is unexpected" },
	{ BYTES("{\"exec-oob\":\"b\",\"execute\":\"a\"}"),
	  "QMP input member 'execute' clashes with 'exec-oob'", NULL,
	  "QMP input member 'exec-oob' is unexpected" },
	{ BYTES("{\"execute\":\"a\",\"arguments\":[]}"),
	  "QMP input member 'arguments' must be an object", NULL, NULL },
	{ BYTES("{\"execute\":\"a\",\"arguments\":null,\"id\":null}"),
	  "QMP input member 'arguments' must be an object", "null", NULL },
	{ BYTES("{\"execute\":\"a\",\"control\":{},\"id\":0}"),
	  "QMP input member 'control' is unexpected", "0", NULL },
	{ BYTES("{\"execute\":\"a\",\"\\u00e9\\u0000\":0}"),
	  "QMP input member '\xc3\xa9\xc0\x80' is unexpected", NULL, NULL },
	{ BYTES("{\"execute\":\"a\",\"\":0}"), "QMP input member '' is unexpected", NULL, NULL },
	/* Of two faults the one that comes first in QEMU's hash table. */
	{ BYTES("{\"b\":1,\"execute\":2}"), "QMP input member 'execute' must be a string", NULL,
	  NULL },
	{ BYTES("{\"a\":1,\"b\":1,\"c\":1,\"d\":1}"), "QMP input member 'd' is unexpected", NULL,
	  NULL },
	{ BYTES("{\"d\":1,\"c\":1,\"b\":1,\"a\":1}"), "QMP input member 'd' is unexpected", NULL,
	  NULL },
	{ BYTES("{\"x\":1,\"execute\":2}"), "QMP input member 'x' is unexpected", NULL, NULL },
	{ BYTES("{\"minor\":1,\"micro\":1}"), "QMP input member 'micro' is unexpected", NULL,
	  NULL },
	{ BYTES("{\"micro\":1,\"minor\":1}"), "QMP input member 'minor' is unexpected", NULL,
	  NULL },
};

START_TEST(well_formed_but_no_command)
{
	for (int oob = 0; oob < 2; oob++) {
		const char *error = rejected[_i].error;
		struct qmp_message m;
		struct qmp_error e;

		if (oob == 0 && rejected[_i].without_oob != NULL)
			error = rejected[_i].without_oob;
		ck_assert_int_eq(parse(rejected[_i].text, oob == 0, oob != 0, &m, &e),
				 QMP_COMMAND_REJECTED);
		ck_assert_str_eq(e.text, error);
		assert_span(m.id, rejected[_i].id);
		guard_free(m.text);
	}
}
END_TEST

/* Ten thousand keys, and the first one once more; not in a square of the time. */
START_TEST(many_keys)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 20);
	struct qmp_message m;
	struct qmp_error e;

	qmp_buffer_add(&text, SPAN("{"));
	for (int i = 0; i < 10000; i++)
		qmp_buffer_printf(&text, "\"k%d\":{\"k%d\":1},", i, i);
	qmp_buffer_add(&text, SPAN("\"last\":1}"));
	ck_assert_int_eq(parse(qmp_buffer_span(&text), 0, false, &m, &e), QMP_COMMAND_REJECTED);
	guard_free(m.text);
	text.len -= strlen("\"last\":1}");
	qmp_buffer_add(&text, SPAN("\"k\\u0030\":1}"));
	ck_assert_int_eq(parse(qmp_buffer_span(&text), 0, false, &m, &e), QMP_COMMAND_UNPARSABLE);
	ck_assert_str_eq(e.text, "JSON parse error, duplicate key");
	guard_free(m.text);
}
END_TEST

START_TEST(too_deep_without_framer)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 20);
	struct qmp_message m;
	struct qmp_error e;

	for (int i = 0; i < 1025; i++)
		qmp_buffer_add(&text, SPAN("["));
	ck_assert_int_eq(parse(qmp_buffer_span(&text), 0, false, &m, &e), QMP_COMMAND_UNPARSABLE);
	ck_assert_str_eq(e.text, "JSON nesting depth limit exceeded");
	guard_free(m.text);
}
END_TEST

START_TEST(long_words_are_cut_as_qemu_cuts_them)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 20);
	struct qmp_message m;
	struct qmp_error e;

	for (int i = 0; i < 3000; i++)
		qmp_buffer_add(&text, SPAN("k"));
	ck_assert_int_eq(parse(qmp_buffer_span(&text), 0, false, &m, &e), QMP_COMMAND_UNPARSABLE);
	ck_assert_uint_eq(strlen(e.text), strlen("JSON parse error, ") + 1023);
	guard_free(m.text);
	qmp_buffer_clear(&text);
	qmp_buffer_printf(&text, "{\"execute\":\"%0300d\"}", 0);
	ck_assert_int_eq(parse(qmp_buffer_span(&text), 0, false, &m, &e), QMP_COMMAND_OK);
	ck_assert_uint_eq(strlen(m.name), QMP_NAME_MAX - 1);
	guard_free(m.text);
}
END_TEST

static const struct {
	const char *text;
	enum qmp_message_kind kind;
	const char *name, *id, *body;
	uint32_t depth;
} replies[] = {
	{ "{\"return\": {}}", QMP_MESSAGE_RETURN, "", NULL, "{}", 2 },
	{ "{\"return\": [{\"a\": \"]}\\\"\"}], \"id\": [3, \"x\"]}", QMP_MESSAGE_RETURN, "",
	  "[3, \"x\"]", "[{\"a\": \"]}\\\"\"}]", 3 },
	{ "{\"return\": 5}\r\n", QMP_MESSAGE_RETURN, "", NULL, "5", 1 },
	{ "{\"id\": [1], \"error\": {\"class\": \"GenericError\", \"desc\": \"x\"}}",
	  QMP_MESSAGE_ERROR, "", "[1]", "{\"class\": \"GenericError\", \"desc\": \"x\"}", 2 },
	{ "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"STOP\"}",
	  QMP_MESSAGE_EVENT, "STOP", NULL, NULL, 2 },
	{ "{\"timestamp\": {}, \"event\": \"X\", \"data\": {\"a\": [[1]]}}", QMP_MESSAGE_EVENT, "X",
	  NULL, "{\"a\": [[1]]}", 4 },
	{ "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}", QMP_MESSAGE_GREETING, "",
	  NULL, "{\"version\": {}, \"capabilities\": [\"oob\"]}", 3 },
	{ "{\r\n    \"return\": {\r\n    },\r\n    \"id\": [\r\n        5\r\n    ]\r\n}\r\n",
	  QMP_MESSAGE_RETURN, "", "[\r\n        5\r\n    ]", "{\r\n    }", 2 },
};

START_TEST(texts_from_qemu)
{
	struct qmp_message m;
	struct qmp_error e;

	ck_assert(qmp_reply_parse(guard_copy(span_of(replies[_i].text)), &m, &e));
	ck_assert_int_eq(m.kind, replies[_i].kind);
	ck_assert_str_eq(m.name, replies[_i].name);
	assert_span(m.id, replies[_i].id);
	assert_span(m.body, replies[_i].body);
	ck_assert_uint_eq(m.depth, replies[_i].depth);
	guard_free(m.text);
}
END_TEST

START_TEST(texts_that_qemu_does_not_send)
{
	static const char *const bad[] = {
		"",
		"[]",
		"5",
		"{",
		"{}",
		"{\"id\": 1}",
		"{\"return\": {}",
		"{\"return\"}",
		"{\"return\": }",
		"{\"return\": 1 \"id\": 2}",
		"{\"return\": 1, \"id\": 2,}",
		"{\"return\": 1, \"error\": {}}",
		"{\"return\": 1, \"return\": 2}",
		"{\"return\": 1, \"id\": 2, \"id\": 3}",
		"{\"return\": 1, \"data\": {}}",
		"{\"error\": \"x\"}",
		"{\"event\": 5}",
		"{\"event\": \"X\", \"data\": 1}",
		"{\"event\": \"X\", \"id\": 1}",
		"{\"QMP\": []}",
		"{\"QMP\": {}, \"id\": 1}",
		"{\"foo\": 1}",
		"{\"return\": 1} x",
		"{\"return\": [1, {\"a\": \"}",
		"{5: 1}",
		"{\"return\": @}",
		"{\"timestamp\": {}}",
	};

	for (int i = 0; i < COUNT(bad); i++) {
		struct qmp_error e = { .text = "" };
		struct qmp_message m;

		ck_assert_msg(!qmp_reply_parse(guard_copy(span_of(bad[i])), &m, &e), "%s", bad[i]);
		ck_assert_str_ne(e.text, "");
		guard_free(m.text);
	}
}
END_TEST

/* Every beginning of a text is read without looking behind it. */
START_TEST(texts_cut_anywhere)
{
	for (int i = 0; i < COUNT(replies); i++) {
		struct span whole = span_of(replies[i].text);

		for (size_t len = 0; len < whole.len; len++) {
			struct span cut = guard_copy(span_cut(whole, 0, len));
			char name[8];
			struct qmp_message m;
			struct qmp_error e;

			if (whole.p[whole.len - 1] != '\n' || len < whole.len - 2)
				ck_assert(!qmp_reply_parse(cut, &m, &e));
			qmp_member(cut, "id");
			qmp_element(cut, 1);
			qmp_string(cut, name, sizeof(name));
			guard_free(cut);
		}
	}
}
END_TEST

START_TEST(members_and_elements)
{
	const struct span object =
		SPAN(" {\"a\":1, 'b' : [1, {\"c\": 2}, 'x'], \"\\u0063\":null} ");
	const struct span array = qmp_member(object, "b");

	assert_span(qmp_member(object, "a"), "1");
	assert_span(array, "[1, {\"c\": 2}, 'x']");
	assert_span(qmp_member(object, "c"), "null");
	assert_span(qmp_member(object, "d"), NULL);
	assert_span(qmp_member(object, ""), NULL);
	assert_span(qmp_member(array, "a"), NULL);
	assert_span(qmp_member((struct span){ NULL, 0 }, "a"), NULL);
	assert_span(qmp_element(array, 0), "1");
	assert_span(qmp_element(array, 1), "{\"c\": 2}");
	assert_span(qmp_member(qmp_element(array, 1), "c"), "2");
	assert_span(qmp_element(array, 2), "'x'");
	assert_span(qmp_element(array, 3), NULL);
	assert_span(qmp_element(object, 0), NULL);
	assert_span(qmp_element(SPAN("[]"), 0), NULL);
	assert_span(qmp_element(SPAN("[1 2]"), 1), NULL);
	assert_span(qmp_element(SPAN("[1,]"), 1), NULL);
	assert_span(qmp_member(SPAN("{\"a\":\"\\\\\",\"b\":\"\\\"\"}"), "b"), "\"\\\"\"");
}
END_TEST

START_TEST(first_keys)
{
	char out[4];

	ck_assert(qmp_first_key(SPAN(" { 'a\\u0062' : [1], \"c\": 2}"), out, sizeof(out)));
	ck_assert_str_eq(out, "ab");
	ck_assert(!qmp_first_key(SPAN("{\"abcd\": 1}"), out, sizeof(out)));
	ck_assert(!qmp_first_key(SPAN("{}"), out, sizeof(out)));
	ck_assert(!qmp_first_key(SPAN("[1]"), out, sizeof(out)));
	ck_assert(!qmp_first_key((struct span){ NULL, 0 }, out, sizeof(out)));
}
END_TEST

START_TEST(strings)
{
	char out[8];

	ck_assert(qmp_string(SPAN("\"abc\""), out, sizeof(out)));
	ck_assert_str_eq(out, "abc");
	ck_assert(qmp_string(SPAN("'\\u00e9\\n\\\"'"), out, sizeof(out)));
	ck_assert_str_eq(out, "\xc3\xa9\n\"");
	ck_assert(qmp_string(SPAN("'\\b\\f\\r\\t\\\\'"), out, sizeof(out)));
	ck_assert_str_eq(out, "\b\f\r\t\\");
	ck_assert(qmp_string(SPAN("\"\\uD83D\\uDE00\\u20ac\""), out, sizeof(out)));
	ck_assert_str_eq(out, "\xf0\x9f\x98\x80\xe2\x82\xac");
	ck_assert(!qmp_string(SPAN("\"12345678\""), out, sizeof(out)));
	ck_assert_str_eq(out, "1234567");
	ck_assert(!qmp_string(SPAN("\"123456\xc3\xa9\""), out, sizeof(out)));
	ck_assert_str_eq(out, "123456");
	ck_assert(!qmp_string(SPAN("\"a\\u0000\""), out, sizeof(out)));
	ck_assert(!qmp_string(SPAN("\"a\\z\""), out, sizeof(out)));
	ck_assert(!qmp_string(SPAN("\"\xff\""), out, sizeof(out)));
	ck_assert(!qmp_string(SPAN("5"), out, sizeof(out)));
	ck_assert(!qmp_string(SPAN("\"a"), out, sizeof(out)));
	ck_assert(!qmp_string((struct span){ NULL, 0 }, out, sizeof(out)));
	ck_assert_str_eq(out, "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message");
	TCase *c = tcase_create("message");

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, commands, 0, COUNT(good));
	tcase_add_loop_test(c, texts_that_do_not_parse, 0, COUNT(unparsable));
	tcase_add_loop_test(c, well_formed_but_no_command, 0, COUNT(rejected));
	tcase_add_test(c, many_keys);
	tcase_add_test(c, too_deep_without_framer);
	tcase_add_test(c, long_words_are_cut_as_qemu_cuts_them);
	tcase_add_loop_test(c, texts_from_qemu, 0, COUNT(replies));
	tcase_add_test(c, texts_that_qemu_does_not_send);
	tcase_add_test(c, texts_cut_anywhere);
	tcase_add_test(c, members_and_elements);
	tcase_add_test(c, first_keys);
	tcase_add_test(c, strings);
	return run_tap(s);
}
