/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Error texts: made where the fact is known, prefixed on the way up. Texts that do not fit are cut
 * at the end of the array; the printer (id.c) replaces what is left of a UTF-8 character cut there.
 * Used everywhere; does no logging.
 */
#include "qmp/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool set(struct qmp_error *e, enum qmp_error_code code, const char *format, va_list ap)
	__attribute__((format(printf, 3, 0)));

static bool set(struct qmp_error *e, enum qmp_error_code code, const char *format, va_list ap)
{
	char text[QMP_ERROR_TEXT_MAX];

	/* Not straight into e->text: an argument may point there. */
	if (vsnprintf(text, sizeof(text), format, ap) < 0)
		text[0] = '\0';
	memcpy(e->text, text, strlen(text) + 1);
	e->code = code;
	return false;
}

bool qmp_error_set(struct qmp_error *e, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	set(e, QMP_ERROR_GENERIC, format, ap);
	va_end(ap);
	return false;
}

bool qmp_error_class(struct qmp_error *e, enum qmp_error_code code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	set(e, code, format, ap);
	va_end(ap);
	return false;
}

static void append(struct qmp_error *e, const char *text)
{
	size_t len = strlen(e->text);

	snprintf(e->text + len, sizeof(e->text) - len, "%s", text);
}

bool qmp_error_sys(struct qmp_error *e, const char *format, ...)
{
	int number = errno;
	va_list ap;

	va_start(ap, format);
	set(e, QMP_ERROR_GENERIC, format, ap);
	va_end(ap);
	append(e, ": ");
	append(e, strerror(number));
	return false;
}

bool qmp_error_prefix(struct qmp_error *e, const char *format, ...)
{
	struct qmp_error old = *e;
	va_list ap;

	va_start(ap, format);
	set(e, old.code, format, ap);
	va_end(ap);
	append(e, old.text);
	return false;
}

const char *qmp_error_class_name(enum qmp_error_code code)
{
	switch (code) {
	case QMP_ERROR_GENERIC:
		return "GenericError";
	case QMP_ERROR_COMMAND_NOT_FOUND:
		return "CommandNotFound";
	case QMP_ERROR_DEVICE_NOT_ACTIVE:
		return "DeviceNotActive";
	case QMP_ERROR_DEVICE_NOT_FOUND:
		return "DeviceNotFound";
	case QMP_ERROR_KVM_MISSING_CAP:
		return "KVMMissingCap";
	}
	return "GenericError";
}
