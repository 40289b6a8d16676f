/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which events of QEMU's and commands of clients fit which pattern. */
#include "mend/match.h"

#include <check.h>
#include <stdlib.h>

#include "qmp/message.h"

#define STAMP "\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "

static struct policy_match netdev[] = { { (char[]){ "netdev-id" }, (char[]){ "\"net0\"" } } };
static struct policy_match both[] = { { (char[]){ "netdev-id" }, (char[]){ "\"net0\"" } },
				      { (char[]){ "n" }, (char[]){ "7" } } };
static struct policy_match flag[] = { { (char[]){ "on" }, (char[]){ "true" } } };

static const struct policy_event patterns[] = {
	{ (char[]){ "E" }, NULL, 0 },
	{ (char[]){ "E" }, netdev, 1 },
	{ (char[]){ "E" }, both, 2 },
	{ (char[]){ "E" }, flag, 1 },
};

static const struct {
	unsigned pattern;
	const char *text;
	bool fits;
} cases[] = {
	{ 0, "{" STAMP "\"event\": \"E\"}", true },
	{ 0, "{" STAMP "\"event\": \"E\", \"data\": {\"x\": 1}}", true },
	{ 0, "{" STAMP "\"event\": \"EE\"}", false },
	{ 0, "{" STAMP "\"event\": \"F\"}", false },
	{ 1, "{" STAMP "\"event\": \"E\"}", false },
	{ 1, "{" STAMP "\"event\": \"E\", \"data\": {}}", false },
	{ 1, "{" STAMP "\"event\": \"E\", \"data\": {\"netdev-id\": \"net0\"}}", true },
	{ 1, "{\"data\": {\"a\": [], \"netdev-id\": \"net0\"}, " STAMP "\"event\": \"E\"}", true },
	{ 1, "{" STAMP "\"event\": \"E\", \"data\": {\"netdev-id\": \"net01\"}}", false },
	{ 1, "{" STAMP "\"event\": \"E\", \"data\": {\"netdev-id\": 0}}", false },
	{ 1, "{" STAMP "\"event\": \"F\", \"data\": {\"netdev-id\": \"net0\"}}", false },
	{ 1, "{" STAMP "\"event\": \"E\", \"data\": {\"x\": {\"netdev-id\": \"net0\"}}}", false },
	{ 2, "{" STAMP "\"event\": \"E\", \"data\": {\"n\": 7, \"netdev-id\": \"net0\"}}", true },
	{ 2, "{" STAMP "\"event\": \"E\", \"data\": {\"n\": 8, \"netdev-id\": \"net0\"}}", false },
	{ 2, "{" STAMP "\"event\": \"E\", \"data\": {\"n\": \"7\", \"netdev-id\": \"net0\"}}",
	  false },
	{ 2, "{" STAMP "\"event\": \"E\", \"data\": {\"n\": 7}}", false },
	{ 3, "{" STAMP "\"event\": \"E\", \"data\": {\"on\": true}}", true },
	{ 3, "{" STAMP "\"event\": \"E\", \"data\": {\"on\": \"true\"}}", false },
	{ 0, "{\"return\": {\"event\": \"E\"}, \"id\": 1}", false },
};

START_TEST(fits)
{
	struct qmp_message m;
	struct qmp_error e;

	ck_assert(qmp_reply_parse(span_of(cases[_i].text), &m, &e));
	ck_assert_int_eq(match_event(&patterns[cases[_i].pattern], &m), cases[_i].fits);
}
END_TEST

static const struct {
	unsigned pattern;
	const char *text;
	bool fits;
} commands[] = {
	{ 0, "{\"execute\": \"E\"}", true },
	{ 0, "{\"execute\": \"F\"}", false },
	{ 0, "{\"exec-oob\": \"E\"}", false },
	{ 1, "{\"execute\": \"E\"}", false },
	{ 1, "{'execute': 'E', 'arguments': {'netdev-id': 'net0'}}", true },
	{ 1, "{'execute': 'E', 'arguments': {'netdev-id': '\\u006eet0'}}", true },
	{ 1, "{'execute': 'E', 'arguments': {'netdev-id': 'net1'}}", false },
	{ 1, "{'execute': 'E', 'id': {'netdev-id': 'net0'}}", false },
	{ 2, "{'execute': 'E', 'arguments': {'n': 7, 'netdev-id': \"net0\"}}", true },
	{ 2, "{'execute': 'E', 'arguments': {'n': 7e0, 'netdev-id': \"net0\"}}", true },
	{ 2, "{'execute': 'E', 'arguments': {'n': 7}}", false },
	{ 3, "{'execute': 'E', 'arguments': {'on': true}}", true },
};

START_TEST(commands_fit)
{
	struct qmp_framer f = { 0 };
	struct qmp_message m;
	struct qmp_error e;

	ck_assert_int_eq(qmp_command_parse(span_of(commands[_i].text), &f, true, &m, &e),
			 QMP_COMMAND_OK);
	ck_assert_int_eq(match_command(&patterns[commands[_i].pattern], &m), commands[_i].fits);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("match");
	TCase *c = tcase_create("match");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_add_loop_test(c, fits, 0, (int)(sizeof(cases) / sizeof(cases[0])));
	tcase_add_loop_test(c, commands_fit, 0, (int)(sizeof(commands) / sizeof(commands[0])));
	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
