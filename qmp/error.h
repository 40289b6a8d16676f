/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef QMP_ERROR_H
#define QMP_ERROR_H

#include <stdbool.h>

/* QEMU's error classes (qapi/error.json). */
enum qmp_error_code {
	QMP_ERROR_GENERIC,
	QMP_ERROR_COMMAND_NOT_FOUND,
	QMP_ERROR_DEVICE_NOT_ACTIVE,
	QMP_ERROR_DEVICE_NOT_FOUND,
	QMP_ERROR_KVM_MISSING_CAP,
};

/* QEMU cuts what its grammar says at 1024, but repeats stray tokens and names of members whole: as
 * far as people make them. */
enum { QMP_ERROR_TEXT_MAX = 8192 };

/* What went wrong, for a person or for a client. Longer texts are cut at the end of the array. */
struct qmp_error {
	enum qmp_error_code code;
	char text[QMP_ERROR_TEXT_MAX];
};

/* Fill @e; always false, so that callers can return it. */
bool qmp_error_set(struct qmp_error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same with a class other than GenericError. */
bool qmp_error_class(struct qmp_error *e, enum qmp_error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, with ": " and the text of errno behind it. */
bool qmp_error_sys(struct qmp_error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Put text before what @e already says; always false. */
bool qmp_error_prefix(struct qmp_error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "GenericError", "CommandNotFound", ... as QEMU prints them. */
const char *qmp_error_class_name(enum qmp_error_code code);

#endif
