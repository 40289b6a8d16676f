/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process is at the other end of a unix socket: sock_diag(7) and /proc. Called by process.c.
 *
 * Two looks. A dump of the unix sockets gives the inodes of those that belong to a path: of the
 * listener itself, or of what is connected to the sockets that the listener accepted (those carry
 * its name). Then /proc/PID/fd says who holds such an inode. A socket belongs to a path when it
 * is bound to the file that lies there now: a listener whose file was replaced is out of reach.
 */
#define _GNU_SOURCE 1 /* strnlen(), major() */
#include "mend/peer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { INODES_MAX = 64, COMM_LEN = 15, DUMP_BYTES = 32 * 1024 };

struct search {
	const char *path;
	bool there; /* @st is of @path */
	struct stat st;
	bool connected; /* inodes of the peers, not of the sockets themselves */
	uint32_t inode[INODES_MAX];
	unsigned count;
};

enum holds { HOLDS_NO, HOLDS_YES, HOLDS_UNKNOWN };

/* Attributes of one socket of the dump. */
struct socket_facts {
	const char *name;
	size_t name_len;
	const struct unix_diag_vfs *file;
	uint32_t peer;
};

static struct socket_facts read_facts(struct nlmsghdr *h, const struct unix_diag_msg *m)
{
	struct socket_facts f = { 0 };
	const char *end = (const char *)h + h->nlmsg_len;
	const char *at = (const char *)m + NLMSG_ALIGN(sizeof(*m));

	while (end - at >= (ptrdiff_t)sizeof(struct rtattr)) {
		const struct rtattr *a = (const void *)at;
		const void *data = at + RTA_LENGTH(0);
		size_t len;

		if (a->rta_len < RTA_LENGTH(0) || a->rta_len > end - at)
			break;
		len = a->rta_len - (size_t)RTA_LENGTH(0);
		if (a->rta_type == UNIX_DIAG_NAME) {
			f.name = data;
			f.name_len = strnlen(data, len);
		} else if (a->rta_type == UNIX_DIAG_VFS && len >= sizeof(*f.file)) {
			f.file = data;
		} else if (a->rta_type == UNIX_DIAG_PEER && len >= sizeof(f.peer)) {
			memcpy(&f.peer, data, sizeof(f.peer));
		}
		at += RTA_ALIGN(a->rta_len);
	}
	return f;
}

/* The kernel's own device numbers, as unix_diag gives them: 12 bits major, 20 bits minor. */
static bool is_device(dev_t dev, uint32_t kernel)
{
	return major(dev) == kernel >> 20 && minor(dev) == (kernel & 0xfffff);
}

/* Some file systems (btrfs) show stat() another device than the socket has: the name decides. */
static bool belongs(const struct search *s, const struct socket_facts *f)
{
	bool named = f->name != NULL && f->name_len == strlen(s->path) &&
		     memcmp(f->name, s->path, f->name_len) == 0;

	if (!s->there || f->file == NULL)
		return named;
	return f->file->udiag_vfs_ino == (uint32_t)s->st.st_ino &&
	       (named || is_device(s->st.st_dev, f->file->udiag_vfs_dev));
}

static void take_socket(struct search *s, struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	struct socket_facts f = read_facts(h, m);
	uint32_t inode = s->connected ? f.peer : m->udiag_ino;

	if (belongs(s, &f) && inode != 0 && s->count < INODES_MAX)
		s->inode[s->count++] = inode;
}

/* True when this was the last part of the dump, or an error. */
static bool take_part(struct search *s, struct nlmsghdr *h, ssize_t len)
{
	for (; len > 0 && NLMSG_OK(h, (size_t)len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			return true;
		if (h->nlmsg_type == SOCK_DIAG_BY_FAMILY)
			take_socket(s, h);
	}
	return len < 0;
}

static bool ask(int fd, bool connected)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} req = {
		.h = { .nlmsg_len = sizeof(req),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.r = { .sdiag_family = AF_UNIX,
		       .udiag_states = 1u << (connected ? TCP_ESTABLISHED : TCP_LISTEN),
		       .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER },
	};

	return send(fd, &req, sizeof(req), 0) == (ssize_t)sizeof(req);
}

/* Fill s->inode; the dump is made inside the calls, so that they do not wait for anybody. */
static void find_inodes(struct search *s)
{
	static _Alignas(struct nlmsghdr) char part[DUMP_BYTES];
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	s->there = lstat(s->path, &s->st) == 0;
	if (fd < 0)
		return;
	if (ask(fd, s->connected)) {
		ssize_t n;

		do
			n = recv(fd, part, sizeof(part), 0);
		while (n > 0 && !take_part(s, (void *)part, n));
	}
	close(fd);
}

static bool is_wanted(const struct search *s, const char *link)
{
	char *end;
	unsigned long inode;

	if (strncmp(link, "socket:[", 8) != 0)
		return false;
	inode = strtoul(link + 8, &end, 10);
	if (*end != ']')
		return false;
	for (unsigned i = 0; i < s->count; i++) {
		if (s->inode[i] == inode)
			return true;
	}
	return false;
}

static enum holds holds(const struct search *s, int32_t pid)
{
	enum holds answer = HOLDS_NO;
	char path[64];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (dir == NULL)
		return errno == ENOENT ? HOLDS_NO : HOLDS_UNKNOWN;
	while (answer == HOLDS_NO && (d = readdir(dir)) != NULL) {
		char link[64];
		ssize_t n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);

		if (n <= 0)
			continue;
		link[n] = '\0';
		if (is_wanted(s, link))
			answer = HOLDS_YES;
	}
	closedir(dir);
	return answer;
}

static int32_t find_holder(const struct search *s, const char *command)
{
	int32_t self = getpid(), found = 0;
	struct dirent *d;
	DIR *dir = s->count == 0 ? NULL : opendir("/proc");

	if (dir == NULL)
		return 0;
	while (found == 0 && (d = readdir(dir)) != NULL) {
		int32_t pid = isdigit((unsigned char)d->d_name[0]) ? atoi(d->d_name) : 0;

		if (pid > 0 && pid != self && peer_is_program(pid, command) &&
		    holds(s, pid) == HOLDS_YES)
			found = pid;
	}
	closedir(dir);
	return found;
}

bool peer_listens(int32_t pid, const char *path)
{
	struct search s = { .path = path };

	find_inodes(&s);
	return s.count > 0 && holds(&s, pid) != HOLDS_NO;
}

int32_t peer_find_listener(const char *path, const char *command)
{
	struct search s = { .path = path };

	find_inodes(&s);
	return find_holder(&s, command);
}

int32_t peer_find_connected(const char *path, const char *command)
{
	struct search s = { .path = path, .connected = true };

	find_inodes(&s);
	return find_holder(&s, command);
}

/* @name, which is cut at @limit, is @want, or @want with a suffix behind a dot. */
static bool is_variant(const char *name, const char *want, size_t limit)
{
	size_t len = strlen(want);

	if (len >= limit)
		return strncmp(name, want, limit) == 0;
	return strncmp(name, want, len) == 0 && (name[len] == '\0' || name[len] == '.');
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

static bool runs_executable(int32_t pid, const char *want)
{
	static const char deleted[] = " (deleted)";
	char path[64], link[PATH_MAX + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	if ((size_t)n >= sizeof(deleted) && strcmp(link + n - (sizeof(deleted) - 1), deleted) == 0)
		link[n - (ssize_t)(sizeof(deleted) - 1)] = '\0';
	return is_variant(base_name(link), want, PATH_MAX);
}

/* Scripts have their own name here, and it can be read when /proc/PID/exe cannot. */
static bool has_comm(int32_t pid, const char *want)
{
	char path[64], comm[COMM_LEN + 2];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	if (n <= 0)
		return false;
	comm[comm[n - 1] == '\n' ? n - 1 : n] = '\0';
	return is_variant(comm, want, COMM_LEN);
}

bool peer_is_program(int32_t pid, const char *command)
{
	const char *want = command == NULL ? NULL : base_name(command);

	return want == NULL || has_comm(pid, want) || runs_executable(pid, want);
}

bool peer_has_argument(int32_t pid, const char *argument)
{
	char path[64], line[16384];
	size_t wanted = strlen(argument);
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	for (const char *at = line; at < line + n; at += strlen(at) + 1) {
		size_t len = strlen(at);
		const char *end = at + len - wanted;

		if (len >= wanted && strcmp(end, argument) == 0 && (end == at || end[-1] == '='))
			return true;
	}
	return false;
}
