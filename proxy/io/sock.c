/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unix stream sockets by path: connecting, listening without stealing, peer credentials. It keeps
 * nothing and waits for nothing. Used by vm.c and the command line.
 */
#define _GNU_SOURCE
#include "io/sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128 };

void sock_close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static bool fill_address(const char *path, struct sockaddr_un *a, struct qmp_error *e)
{
	size_t len = strlen(path);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len >= sizeof(a->sun_path)) {
		errno = ENAMETOOLONG;
		return qmp_error_set(e, "%s: a socket path has at most %zu bytes", path,
				     sizeof(a->sun_path) - 1);
	}
	memcpy(a->sun_path, path, len + 1);
	return true;
}

static int new_socket(struct qmp_error *e)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		qmp_error_sys(e, "socket");
	return fd;
}

int sock_connect(const char *path, struct qmp_error *e)
{
	struct sockaddr_un a;
	int fd;

	if (!fill_address(path, &a, e))
		return -1;
	fd = new_socket(e);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		int error = errno;

		qmp_error_sys(e, "connect to %s", path);
		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

/* Make way for a new socket file. */
static bool clear_path(const char *path, struct qmp_error *e)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) != 0)
		return errno == ENOENT || qmp_error_sys(e, "listen on %s", path);
	if (!S_ISSOCK(st.st_mode))
		return qmp_error_set(e,
				     "listen on %s: there is a file that is no socket; remove it "
				     "or choose another path",
				     path);
	fd = sock_connect(path, e);
	if (fd >= 0 || errno == EAGAIN) {
		if (fd >= 0)
			close(fd);
		return qmp_error_set(e,
				     "listen on %s: another process serves this socket; end it "
				     "or choose another path",
				     path);
	}
	if (errno != ECONNREFUSED)
		return qmp_error_prefix(e, "listen on %s: ", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return qmp_error_sys(e, "listen on %s: remove the old socket", path);
	return true;
}

int sock_listen(const char *path, mode_t mode, uid_t uid, gid_t gid, struct qmp_error *e)
{
	struct sockaddr_un a;
	int fd;
	mode_t mask;
	bool bound;

	if (!fill_address(path, &a, e) || !clear_path(path, e))
		return -1;
	fd = new_socket(e);
	if (fd < 0)
		return -1;
	mask = umask(0777 & ~(mode & 0600)); /* nobody else before the owner is right */
	bound = bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
	umask(mask);
	if (!bound) {
		qmp_error_sys(e, "listen on %s", path);
		close(fd);
		return -1;
	}
	if (((uid != (uid_t)-1 || gid != (gid_t)-1) && chown(path, uid, gid) != 0) ||
	    chmod(path, mode) != 0 || listen(fd, BACKLOG) != 0) {
		qmp_error_sys(e, "listen on %s", path);
		unlink(path);
		close(fd);
		return -1;
	}
	return fd;
}

bool sock_peer(int fd, struct sock_peer *out)
{
	struct ucred u;
	socklen_t len = sizeof(u);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &len) != 0)
		return false;
	*out = (struct sock_peer){ u.pid, u.uid, u.gid };
	return true;
}
