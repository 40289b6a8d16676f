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
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
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
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
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

bool ready_read_events(int inotify, const char *file)
{
	_Alignas(struct inotify_event) char buf[4096];
	const char *slash = strrchr(file, '/');
	const char *base = slash == NULL ? file : slash + 1;
	bool ours = false;
	ssize_t n;

	while ((n = read(inotify, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *i = (const void *)(buf + at);

			if (i->len > 0 && strcmp(i->name, base) == 0)
				ours = true;
			at += (ssize_t)(sizeof(*i) + i->len);
		}
	}
	return ours;
}

int ready_watch(const char *file)
{
	const char *slash = strrchr(file, '/');
	char folder[PATH_MAX] = ".";
	size_t len;
	int fd;

	if (slash != NULL) {
		len = slash == file ? 1 : (size_t)(slash - file);
		if (len >= sizeof(folder))
			return -1;
		memcpy(folder, file, len);
		folder[len] = '\0';
	}
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd >= 0 &&
	    inotify_add_watch(fd, folder, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_CLOSE_WRITE) <
		    0) {
		close(fd);
		fd = -1;
	}
	return fd;
}
