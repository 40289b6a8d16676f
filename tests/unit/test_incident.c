/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The incident's state machine, as a table: every input in every state. */
#include "mend/incident.h"

#include <check.h>
#include <stdlib.h>

enum { STATES = INCIDENT_CANCELLED + 1, INPUTS = INCIDENT_CANCEL + 1 };

/* -1: the input means nothing there. */
static const int next_state[STATES][INPUTS] = {
	[INCIDENT_FREE] = { -1, -1, -1, -1, -1, -1, -1 },
	[INCIDENT_RUNNING] = { INCIDENT_RUNNING, INCIDENT_MENDED, INCIDENT_RUNNING,
			       INCIDENT_BACKOFF, -1, INCIDENT_GIVEN_UP, INCIDENT_CANCELLED },
	[INCIDENT_BACKOFF] = { -1, -1, INCIDENT_RUNNING, INCIDENT_BACKOFF, INCIDENT_RUNNING,
			       INCIDENT_GIVEN_UP, INCIDENT_CANCELLED },
	[INCIDENT_MENDED] = { -1, -1, -1, -1, -1, -1, -1 },
	[INCIDENT_GIVEN_UP] = { -1, -1, -1, -1, -1, -1, -1 },
	[INCIDENT_CANCELLED] = { -1, -1, -1, -1, -1, -1, -1 },
};

START_TEST(every_input_in_every_state)
{
	for (int state = 0; state < STATES; state++) {
		for (int in = 0; in < INPUTS; in++) {
			struct incident i = { .state = (uint8_t)state, .step = 2, .begun = 1 };
			int want = next_state[state][in];
			bool moved = incident_advance(&i, (enum incident_input)in);

			ck_assert_msg(moved == (want >= 0), "state %d, input %d", state, in);
			ck_assert_msg(i.state == (want < 0 ? state : want),
				      "state %d, input %d: %d", state, in, i.state);
		}
	}
}
END_TEST

START_TEST(a_step_follows_the_other)
{
	struct incident i = { .state = INCIDENT_RUNNING, .begun = 1, .deadline = 5, .seen = 2 };

	ck_assert(incident_advance(&i, INCIDENT_STEP_DONE));
	ck_assert_uint_eq(i.step, 1);
	ck_assert_uint_eq(i.begun, 0);
	ck_assert_uint_eq(i.deadline, 0);
	ck_assert_uint_eq(i.seen, 2); /* it may have come before its step */
	ck_assert_uint_eq(i.tries, 0);
}
END_TEST

START_TEST(after_a_fault_it_begins_again)
{
	for (int in = INCIDENT_RETRY_NOW; in <= INCIDENT_RETRY_LATER; in++) {
		struct incident i = {
			.state = INCIDENT_RUNNING, .step = 3, .begun = 1, .seen = 7, .tries = 1
		};

		ck_assert(incident_advance(&i, (enum incident_input)in));
		ck_assert_uint_eq(i.step, 0);
		ck_assert_uint_eq(i.begun, 0);
		ck_assert_uint_eq(i.seen, 0);
		ck_assert_uint_eq(i.tries, 2);
	}
}
END_TEST

START_TEST(open_are_those_that_run)
{
	for (int state = 0; state < STATES; state++) {
		struct incident i = { .state = (uint8_t)state };

		ck_assert_int_eq(incident_is_open(&i),
				 state == INCIDENT_RUNNING || state == INCIDENT_BACKOFF);
		ck_assert_str_ne(incident_state_name((enum incident_state)state), "unknown");
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("incident");
	TCase *tc = tcase_create("incident");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_input_in_every_state);
	tcase_add_test(tc, a_step_follows_the_other);
	tcase_add_test(tc, after_a_fault_it_begins_again);
	tcase_add_test(tc, open_are_those_that_run);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
