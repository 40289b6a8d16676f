/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command is, by its name: may a read-only client use it, does it take a descriptor, may its
 * answer be shared. Pure. Used by client.c.
 */
#include <string.h>

#include "mux/parts.h"

static bool begins_with(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

bool access_read_only_allows(const char *command)
{
	return begins_with(command, "query-") || strcmp(command, "qom-get") == 0 ||
	       strcmp(command, "qom-list") == 0 || strcmp(command, "qom-list-types") == 0 ||
	       strcmp(command, "qom-list-properties") == 0 ||
	       strcmp(command, "device-list-properties") == 0 ||
	       strcmp(command, "qmp_capabilities") == 0;
}

/* The users of qemu_chr_fe_get_msgfd() in monitor/fds.c; every other command leaves a descriptor
 * lying for whoever comes next. */
bool access_takes_fd(const char *command)
{
	return strcmp(command, "getfd") == 0 || strcmp(command, "add-fd") == 0;
}

bool access_is_shareable(const struct qmp_message *m)
{
	return m->kind == QMP_MESSAGE_COMMAND && m->body.p == NULL &&
	       begins_with(m->name, "query-");
}
