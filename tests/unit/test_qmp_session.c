/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The handshake: QEMU's answer to everything a client may say before it has negotiated; what is
 * learned from greetings and from the first error. */
#include "qmp/session.h"

#include <stdio.h>

#include "unit/qmp_fixture.h"

#define COUNT(table) ((int)(sizeof(table) / sizeof((table)[0])))
#define EXPECTING "Expecting capabilities negotiation with 'qmp_capabilities'"

static const struct {
	const char *arguments;
	const char *error; /* NULL: negotiated */
	bool oob;
} arguments[] = {
	{ "{}", NULL, false },
	{ "{\"enable\":[]}", NULL, false },
	{ "{\"enable\":[\"oob\"]}", NULL, true },
	{ "{'enable' : ['oob' , 'o\\u006fb']}", NULL, true },
	{ "{\"enable\":1}", "Invalid parameter type for 'enable', expected: array", false },
	{ "{\"enable\":null,\"x\":1}", "Invalid parameter type for 'enable', expected: array",
	  false },
	{ "{\"enable\":{}}", "Invalid parameter type for 'enable', expected: array", false },
	{ "{\"enable\":\"oob\"}", "Invalid parameter type for 'enable', expected: array", false },
	{ "{\"enable\":[1]}", "Invalid parameter type for 'enable[0]', expected: string", false },
	{ "{\"enable\":[[\"oob\"]]}", "Invalid parameter type for 'enable[0]', expected: string",
	  false },
	{ "{\"enable\":[\"oob\",{},\"bogus\"]}",
	  "Invalid parameter type for 'enable[1]', expected: string", false },
	{ "{\"enable\":[\"bogus\"],\"x\":1}", "Parameter 'null' does not accept value 'bogus'",
	  false },
	{ "{\"enable\":[\"\"]}", "Parameter 'null' does not accept value ''", false },
	{ "{\"enable\":[\"OOB\"]}", "Parameter 'null' does not accept value 'OOB'", false },
	{ "{\"enable\":[\"\\u00e9\\u0000\"]}",
	  "Parameter 'null' does not accept value '\xc3\xa9\xc0\x80'", false },
	{ "{\"x\":1}", "Parameter 'x' is unexpected", false },
	{ "{\"enable\":[\"oob\"],\"x\":1}", "Parameter 'x' is unexpected", false },
	{ "{\"\":1}", "Parameter '' is unexpected", false },
	{ "{\"\\u00e9\\u0000\":[{}]}", "Parameter '\xc3\xa9\xc0\x80' is unexpected", false },
	/* Of several the one that glib's hash table has first. */
	{ "{\"x\":1,\"y\":2}", "Parameter 'y' is unexpected", false },
	{ "{\"y\":1,\"x\":2}", "Parameter 'y' is unexpected", false },
	{ "{\"a\":1,\"b\":2,\"c\":3}", "Parameter 'b' is unexpected", false },
	{ "{\"caps\":1,\"enabled\":2}", "Parameter 'enabled' is unexpected", false },
	{ "{\"a\":1,\"b\":2,\"enable\":[\"oob\"],\"c\":1,\"d\":1}", "Parameter 'b' is unexpected",
	  false },
};

static struct qmp_message command(const char *text, bool oob)
{
	const struct qmp_framer f = { 0 };
	struct qmp_message m;
	struct qmp_error e;

	ck_assert_int_eq(qmp_command_parse(guard_copy(span_of(text)), &f, oob, &m, &e),
			 QMP_COMMAND_OK);
	return m;
}

START_TEST(qmp_capabilities)
{
	char text[512];
	struct qmp_message m;
	struct qmp_error e = { .text = "" };
	bool oob = false;

	snprintf(text, sizeof(text), "{\"execute\":\"qmp_capabilities\",\"arguments\":%s}",
		 arguments[_i].arguments);
	m = command(text, false);
	ck_assert_int_eq(qmp_session_negotiate(&m, true, &oob, &e), arguments[_i].error == NULL
									    ? QMP_SESSION_NEGOTIATED
									    : QMP_SESSION_REFUSED);
	ck_assert_str_eq(e.text, arguments[_i].error == NULL ? "" : arguments[_i].error);
	if (arguments[_i].error != NULL)
		ck_assert_int_eq(e.code, QMP_ERROR_GENERIC);
	ck_assert_int_eq(oob, arguments[_i].oob);
	guard_free(m.text);
}
END_TEST

START_TEST(without_arguments)
{
	struct qmp_message m = command("{\"execute\":\"qmp_capabilities\"}", false);
	struct qmp_error e;
	bool oob = true;

	ck_assert_int_eq(qmp_session_negotiate(&m, true, &oob, &e), QMP_SESSION_NEGOTIATED);
	ck_assert(!oob);
	guard_free(m.text);
}
END_TEST

START_TEST(other_commands)
{
	static const char *const others[] = {
		"{\"execute\":\"query-version\"}",     "{\"execute\":\"\"}",
		"{\"execute\":\"qmp_Capabilities\"}",  "{\"execute\":\"qmp_capabilities\\u0000\"}",
		"{\"exec-oob\":\"qmp_capabilities\"}",
	};

	for (int i = 0; i < COUNT(others); i++) {
		struct qmp_message m = command(others[i], true);
		struct qmp_error e;
		bool oob = false;

		ck_assert_int_eq(qmp_session_negotiate(&m, true, &oob, &e), QMP_SESSION_REFUSED);
		ck_assert_str_eq(e.text, EXPECTING);
		ck_assert_int_eq(e.code, QMP_ERROR_COMMAND_NOT_FOUND);
		guard_free(m.text);
	}
}
END_TEST

START_TEST(oob_that_is_not_offered)
{
	struct qmp_message m = command(
		"{'execute':'qmp_capabilities','arguments':{'enable':['oob','oob','oob']}}", false);
	struct qmp_error e;
	bool oob = false;

	ck_assert_int_eq(qmp_session_negotiate(&m, false, &oob, &e), QMP_SESSION_REFUSED);
	ck_assert_str_eq(e.text, "Capability oob, oob, oob not available");
	ck_assert(!oob);
	guard_free(m.text);
}
END_TEST

static bool offers(const char *text)
{
	struct qmp_message m;
	struct qmp_error e;

	ck_assert(qmp_reply_parse(span_of(text), &m, &e));
	return qmp_session_offers_oob(&m);
}

START_TEST(greetings)
{
	ck_assert(offers("{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}"));
	ck_assert(offers("{\"QMP\": {\"capabilities\": [\"x\", \"oob\"], \"version\": {}}}"));
	ck_assert(!offers("{\"QMP\": {\"version\": {}, \"capabilities\": []}}"));
	ck_assert(!offers("{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob2\", 5]}}"));
	ck_assert(!offers("{\"QMP\": {\"version\": {}}}"));
}
END_TEST

static enum qmp_dialect dialect_of(const char *desc)
{
	char text[256];
	struct qmp_message m;
	struct qmp_error e;

	snprintf(text, sizeof(text), "{\"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}}",
		 desc);
	ck_assert(qmp_reply_parse(span_of(text), &m, &e));
	return qmp_session_dialect(&m);
}

START_TEST(dialects)
{
	AUTO_READING struct reading r = READING_INIT;

	ck_assert_int_eq(dialect_of("JSON parse error, key is not a string in object"),
			 QMP_DIALECT_PLAIN);
	ck_assert_int_eq(dialect_of("1:2: JSON parse error, expecting key"), QMP_DIALECT_LOCATED);
	ck_assert_int_eq(dialect_of(""), QMP_DIALECT_PLAIN);
	/* One error, and nothing left open. */
	reading_feed(&r, qmp_session_dialect_probe());
	assert_text(&r.out, "error JSON parse error, key is not a string in object\n");
	ck_assert_uint_eq(r.framer.tokens, 0);
	qmp_buffer_clear(&r.out);
	r.framer.dialect = QMP_DIALECT_LOCATED;
	reading_feed(&r, qmp_session_dialect_probe());
	assert_text(&r.out, "error 1:7: JSON parse error, expecting key\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("session");
	TCase *c = tcase_create("session");

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, qmp_capabilities, 0, COUNT(arguments));
	tcase_add_test(c, without_arguments);
	tcase_add_test(c, other_commands);
	tcase_add_test(c, oob_that_is_not_offered);
	tcase_add_test(c, greetings);
	tcase_add_test(c, dialects);
	return run_tap(s);
}
