/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Budget, backoff and tally of mend/backend.c: tables and properties, no process. */
#include "mend/backend.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define SECOND (1000 * MS)

static const struct policy_backend policy = {
	.ready_deadline = 10 * SECOND,
	.backoff_first = 100 * MS,
	.backoff_max = 10 * SECOND,
	.budget_faults = 10,
	.budget_period = 60 * SECOND,
};

START_TEST(first_try_is_at_once)
{
	struct backend b = { .state = BACKEND_EXITED };

	ck_assert_int_eq(backend_fault(&b, &policy,
				       (struct backend_loss){ BACKEND_CAUSE_KILLED, 9 }, 5 * SECOND,
				       1),
			 BACKEND_RETRY);
	ck_assert_uint_eq(b.retry_at, 5 * SECOND);
	ck_assert_uint_eq(b.attempt, 1);
	ck_assert_uint_eq(b.cause, BACKEND_CAUSE_KILLED);
	ck_assert_int_eq(b.detail, 9);
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_KILLED], 1);
	ck_assert_uint_eq(b.state, BACKEND_EXITED);
}
END_TEST

/* Nominal wait before try @attempt + 1, ms. */
static const uint64_t nominal[] = { 0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000 };
enum { NOMINALS = sizeof(nominal) / sizeof(nominal[0]) };

START_TEST(backoff_doubles_up_to_the_cap)
{
	struct policy_backend p = policy;
	uint64_t least = UINT64_MAX, most = 0;

	p.budget_faults = BACKEND_FAULTS_KEPT;
	for (uint32_t seed = 0; seed < 2000; seed++) {
		struct backend b = { .attempt = (uint8_t)(seed % NOMINALS) };
		uint64_t want = nominal[seed % NOMINALS] * MS;
		uint64_t wait;

		ck_assert_int_eq(backend_fault(&b, &p,
					       (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 },
					       SECOND, seed),
				 BACKEND_RETRY);
		wait = b.retry_at - SECOND;
		ck_assert_uint_ge(wait, want - want / 4);
		ck_assert_uint_le(wait, want + want / 4);
		if (want == 0)
			continue;
		least = wait * 1000 / want < least ? wait * 1000 / want : least;
		most = wait * 1000 / want > most ? wait * 1000 / want : most;
	}
	/* The jitter uses its whole range. */
	ck_assert_uint_lt(least, 760);
	ck_assert_uint_gt(most, 1240);
}
END_TEST

START_TEST(same_seed_same_decision)
{
	for (uint32_t seed = 0; seed < 100; seed++) {
		struct backend a = { .attempt = 3 }, b = { .attempt = 3 };

		backend_fault(&a, &policy, (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, SECOND,
			      seed);
		backend_fault(&b, &policy, (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, SECOND,
			      seed);
		ck_assert_int_eq(memcmp(&a, &b, sizeof(a)), 0);
	}
}
END_TEST

START_TEST(huge_waits_do_not_overflow)
{
	struct policy_backend p = policy;
	struct backend b = { .attempt = UINT8_MAX };

	p.backoff_first = UINT64_MAX / 3;
	p.backoff_max = UINT64_MAX;
	ck_assert_int_eq(
		backend_fault(&b, &p, (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, SECOND, 7),
		BACKEND_RETRY);
	ck_assert_uint_gt(b.retry_at, UINT64_MAX / 2);
	ck_assert_uint_eq(b.attempt, UINT8_MAX);
}
END_TEST

START_TEST(a_new_qemu_is_a_new_try)
{
	struct backend b = { .state = BACKEND_GIVEN_UP, .attempt = 9 };

	b.tally[BACKEND_CAUSE_EXITED] = 10;
	for (unsigned i = 0; i < BACKEND_FAULTS_KEPT; i++)
		b.fault_at[i] = SECOND;
	backend_forgive(&b);
	ck_assert_uint_eq(b.state, BACKEND_STOPPED);
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_EXITED], 10);
	ck_assert_int_eq(backend_fault(&b, &policy,
				       (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, SECOND, 1),
			 BACKEND_RETRY);
	ck_assert_uint_eq(b.retry_at, SECOND);
}
END_TEST

START_TEST(budget_is_spent_within_the_period)
{
	struct backend b = { 0 };

	for (unsigned i = 1; i < 10; i++)
		ck_assert_int_eq(backend_fault(&b, &policy,
					       (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 },
					       i * SECOND, i),
				 BACKEND_RETRY);
	ck_assert_int_eq(backend_fault(&b, &policy,
				       (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 },
				       60 * SECOND, 10),
			 BACKEND_GIVE_UP);
	ck_assert_uint_eq(b.state, BACKEND_GIVEN_UP);
	ck_assert_uint_eq(b.retry_at, 0);
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_EXITED], 10);
}
END_TEST

/* One fault each 7 s: never ten within 60 s, however long it goes on and however often mended. */
START_TEST(old_faults_leave_the_budget)
{
	struct backend b = { 0 };

	for (unsigned i = 1; i < 1000; i++) {
		ck_assert_int_eq(backend_fault(&b, &policy,
					       (struct backend_loss){ BACKEND_CAUSE_KILLED, 9 },
					       i * 7 * SECOND, i),
				 BACKEND_RETRY);
		backend_mended(&b);
	}
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_KILLED], 999);
}
END_TEST

START_TEST(mending_does_not_refill_the_budget)
{
	struct backend b = { 0 };
	enum backend_decision d = BACKEND_RETRY;
	unsigned n = 0;

	while (d == BACKEND_RETRY && n < 100) {
		d = backend_fault(&b, &policy, (struct backend_loss){ BACKEND_CAUSE_KILLED, 9 },
				  SECOND + n * MS, n);
		if (d == BACKEND_RETRY)
			ck_assert_uint_eq(b.retry_at, SECOND + n * MS);
		n++;
		backend_mended(&b);
	}
	ck_assert_uint_eq(n, 10);
}
END_TEST

START_TEST(a_budget_above_the_ring_is_the_ring)
{
	struct policy_backend p = policy;
	struct backend b = { 0 };
	unsigned n = 0;

	p.budget_faults = 1000;
	while (backend_fault(&b, &p, (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, SECOND + n,
			     n) == BACKEND_RETRY)
		n++;
	ck_assert_uint_eq(n + 1, BACKEND_FAULTS_KEPT);
}
END_TEST

START_TEST(tally_saturates)
{
	struct backend b = { 0 };

	b.tally[BACKEND_CAUSE_EXITED] = UINT32_MAX - 1;
	for (unsigned i = 1; i < 4; i++)
		backend_fault(&b, &policy, (struct backend_loss){ BACKEND_CAUSE_EXITED, 1 }, i, i);
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_EXITED], UINT32_MAX);
	ck_assert_uint_eq(b.tally[BACKEND_CAUSE_KILLED], 0);
}
END_TEST

START_TEST(life_of_a_backend)
{
	struct backend b = { .spawn_receipt = 42 };

	backend_started(&b, &(struct backend_birth){ 42, 777, false }, SECOND);
	ck_assert_uint_eq(b.state, BACKEND_STARTING);
	ck_assert_int_eq(b.pid, 42);
	ck_assert_uint_eq(b.start_time, 777);
	ck_assert_int_eq(b.spawn_receipt, 0);
	ck_assert_uint_eq(b.starts, 1);

	backend_ready(&b, 2 * SECOND);
	ck_assert_uint_eq(b.state, BACKEND_READY);
	ck_assert_uint_eq(b.ready_at, 2 * SECOND);

	backend_ended(&b, false, 3 * SECOND);
	ck_assert_uint_eq(b.state, BACKEND_EXITED);
	ck_assert_int_eq(b.pid, 0);
	ck_assert_uint_eq(b.lost_at, 3 * SECOND);

	backend_started(&b, &(struct backend_birth){ 43, 778, true }, 4 * SECOND);
	ck_assert_uint_eq(b.found, 1);
	ck_assert_uint_eq(b.starts, 1);
	backend_ended(&b, true, 5 * SECOND);
	ck_assert_uint_eq(b.state, BACKEND_STOPPED);
}
END_TEST

START_TEST(given_up_outlives_the_process)
{
	struct backend b = { .pid = 42, .state = BACKEND_GIVEN_UP };

	backend_ended(&b, false, SECOND);
	ck_assert_uint_eq(b.state, BACKEND_GIVEN_UP);
	ck_assert_int_eq(b.pid, 0);
}
END_TEST

START_TEST(names_are_all_different)
{
	for (int i = 0; i < BACKEND_CAUSE_COUNT; i++) {
		ck_assert_str_ne(backend_cause_name((enum backend_cause)i), "?");
		for (int j = 0; j < i; j++)
			ck_assert_str_ne(backend_cause_name((enum backend_cause)i),
					 backend_cause_name((enum backend_cause)j));
	}
	ck_assert_str_eq(backend_state_name(BACKEND_GIVEN_UP), "given-up");
	ck_assert_str_eq(backend_state_name(BACKEND_STOPPED), "stopped");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("backend");
	TCase *c = tcase_create("backend");
	SRunner *r = srunner_create(s);
	int failed;

	suite_add_tcase(s, c);
	tcase_add_test(c, first_try_is_at_once);
	tcase_add_test(c, backoff_doubles_up_to_the_cap);
	tcase_add_test(c, same_seed_same_decision);
	tcase_add_test(c, huge_waits_do_not_overflow);
	tcase_add_test(c, a_new_qemu_is_a_new_try);
	tcase_add_test(c, budget_is_spent_within_the_period);
	tcase_add_test(c, old_faults_leave_the_budget);
	tcase_add_test(c, mending_does_not_refill_the_budget);
	tcase_add_test(c, a_budget_above_the_ring_is_the_ring);
	tcase_add_test(c, tally_saturates);
	tcase_add_test(c, life_of_a_backend);
	tcase_add_test(c, given_up_outlives_the_process);
	tcase_add_test(c, names_are_all_different);

	srunner_set_tap(r, "-");
	srunner_run_all(r, CK_SILENT);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
