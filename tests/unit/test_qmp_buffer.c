/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buffers with their cap, and error texts. */
#include "qmp/buffer.h"

#include <errno.h>
#include <stdlib.h>

#include "qmp/error.h"
#include "unit/qmp_fixture.h"

START_TEST(caps_hold)
{
	AUTO_BUF struct qmp_buffer b = QMP_BUFFER_INIT(10);

	assert_text(&b, "");
	ck_assert(qmp_buffer_add(&b, SPAN("12345")));
	ck_assert(!qmp_buffer_add(&b, SPAN("678901")));
	ck_assert(b.full);
	ck_assert(!qmp_buffer_add(&b, SPAN("6"))); /* also what would fit */
	ck_assert(!qmp_buffer_add(&b, SPAN("")));
	ck_assert(!qmp_buffer_printf(&b, "%d", 6));
	assert_text(&b, "12345");
	qmp_buffer_clear(&b);
	ck_assert(qmp_buffer_printf(&b, "%s%d", "123456789", 0));
	ck_assert_uint_eq(b.allocated, 10);
	ck_assert(!qmp_buffer_printf(&b, "%s", "1"));
	assert_text(&b, "1234567890");
	ck_assert_ptr_null(qmp_buffer_reserve(&b, SIZE_MAX));
}
END_TEST

START_TEST(growing)
{
	AUTO_BUF struct qmp_buffer b = QMP_BUFFER_INIT(100000);
	char long_text[2000];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	for (int i = 0; i < 20; i++)
		ck_assert(qmp_buffer_printf(&b, "%s,", long_text));
	ck_assert_uint_eq(b.len, 20 * sizeof(long_text));
	for (size_t i = 0; i < b.len; i++)
		ck_assert_int_eq(b.data[i], i % sizeof(long_text) == 1999 ? ',' : 'x');
	ck_assert(!qmp_buffer_printf(&b, "%0100000d", 1));
	qmp_buffer_clear(&b);
	ck_assert_ptr_null(b.data); /* it was large */
	ck_assert(qmp_buffer_add(&b, SPAN("y")));
	qmp_buffer_clear(&b);
	ck_assert_ptr_nonnull(b.data);
	ck_assert_uint_eq(b.len, 0);
	ck_assert_ptr_nonnull(qmp_buffer_reserve(&b, 0));
}
END_TEST

START_TEST(error_texts)
{
	struct qmp_error e;

	ck_assert(!qmp_error_set(&e, "no %s", "such"));
	ck_assert_str_eq(e.text, "no such");
	ck_assert_int_eq(e.code, QMP_ERROR_GENERIC);
	ck_assert(!qmp_error_class(&e, QMP_ERROR_DEVICE_NOT_FOUND, "%d", 5));
	ck_assert(!qmp_error_prefix(&e, "device %s: ", "x"));
	ck_assert_str_eq(e.text, "device x: 5");
	ck_assert_int_eq(e.code, QMP_ERROR_DEVICE_NOT_FOUND);
	errno = ENOENT;
	ck_assert(!qmp_error_sys(&e, "open %s", "/x"));
	ck_assert_str_eq(e.text, "open /x: No such file or directory");
	ck_assert(!qmp_error_set(&e, "again: %s", e.text)); /* its own text as an argument */
	ck_assert_str_eq(e.text, "again: open /x: No such file or directory");
	ck_assert(!qmp_error_set(&e, "%0*d", QMP_ERROR_TEXT_MAX + 1, 1));
	ck_assert_uint_eq(strlen(e.text), QMP_ERROR_TEXT_MAX - 1);
	ck_assert(!qmp_error_prefix(&e, "x"));
	ck_assert_uint_eq(strlen(e.text), QMP_ERROR_TEXT_MAX - 1);
	ck_assert_int_eq(e.text[0], 'x');
}
END_TEST

START_TEST(error_classes)
{
	ck_assert_str_eq(qmp_error_class_name(QMP_ERROR_GENERIC), "GenericError");
	ck_assert_str_eq(qmp_error_class_name(QMP_ERROR_COMMAND_NOT_FOUND), "CommandNotFound");
	ck_assert_str_eq(qmp_error_class_name(QMP_ERROR_DEVICE_NOT_ACTIVE), "DeviceNotActive");
	ck_assert_str_eq(qmp_error_class_name(QMP_ERROR_DEVICE_NOT_FOUND), "DeviceNotFound");
	ck_assert_str_eq(qmp_error_class_name(QMP_ERROR_KVM_MISSING_CAP), "KVMMissingCap");
	ck_assert_str_eq(qmp_error_class_name((enum qmp_error_code)99), "GenericError");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buffer");
	TCase *c = tcase_create("buffer");

	suite_add_tcase(s, c);
	tcase_add_test(c, caps_hold);
	tcase_add_test(c, growing);
	tcase_add_test(c, error_texts);
	tcase_add_test(c, error_classes);
	return run_tap(s);
}
