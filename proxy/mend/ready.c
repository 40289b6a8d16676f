/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a backend ready? What process.c asks while one starts.
 *
 * Nothing is believed that the backend prints (passt says "bound at" when it could not bind), and
 * nobody connects to see whether it answers: that would be its one client.
 */
#define _GNU_SOURCE 1 /* O_CLOEXEC, S_ISSOCK() */
#include "mend/ready.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mend/peer.h"

const char *ready_file(const struct policy_backend *b)
{
	switch (b->ready) {
	case POLICY_READY_STARTED:
		return NULL;
	case POLICY_READY_LISTENS:
		return b->socket;
	case POLICY_READY_PIDFILE:
		return b->pidfile;
	}
	return NULL;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

int32_t ready_read_pidfile(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char text[32], *end;
	ssize_t n;
	long pid;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, &end, 10);
	end += strspn(end, " \t\r\n");
	return *end == '\0' && pid > 0 && pid <= INT32_MAX ? (int32_t)pid : 0;
}

bool ready_check(const struct policy_backend *b, int32_t pid)
{
	const char *file = ready_file(b);

	if (file == NULL)
		return true;
	if (b->ready == POLICY_READY_PIDFILE)
		return ready_read_pidfile(file) == pid;
	return is_socket(file) && peer_listens(pid, file);
}
