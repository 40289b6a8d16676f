/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One non-blocking stream socket with a queue each way. It knows bytes and descriptors, no
 * messages; it never closes by itself: it reports, and mux/ decides.
 *
 * Theory of operation
 * -------------------
 * Bytes move by recvmmsg() and sendmmsg() with one message, because these write the number of bytes
 * into the caller's struct inside the system call. That struct lies in the region, so the number is
 * known even if the caller dies before it can look. Order: room is reserved and committed; the
 * receipt is filled, its length set to NOT_WRITTEN, armed; the call; then a transaction applies it:
 * queue, descriptors and `armed` change together. conn_restore() does the same for a dead worker.
 *
 * Where a descriptor came: a read may return bytes of earlier writes glued to those of the write
 * that carried it. So sockets that may carry descriptors are looked at first (MSG_PEEK without
 * control buffer, which installs nothing and says MSG_CTRUNC when one waits, wherever in the queue:
 * Linux af_unix.c goes on to the next buffers even when the peek is full). While one waits, no read
 * goes beyond the next closing brace, so that a descriptor comes with bytes of one message.
 *
 * A descriptor of many in one message: there is room for one, the kernel closes the others, as
 * QEMU would.
 */
#define _GNU_SOURCE
#include "io/conn.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define NOT_WRITTEN UINT32_MAX

static_assert(sizeof(struct conn_message) == sizeof(struct mmsghdr), "same layout");
static_assert(offsetof(struct conn_message, length) == offsetof(struct mmsghdr, msg_len),
	      "same layout");

static void arm(struct conn_link *l, struct conn_receipt *rc, uint64_t base, struct iovec *piece,
		size_t pieces)
{
	rc->base = base;
	memset(&rc->message, 0, sizeof(rc->message));
	rc->message.header.msg_iov = piece;
	rc->message.header.msg_iovlen = pieces;
	rc->message.length = NOT_WRITTEN;
	region_barrier(l->region);
	rc->armed = 1;
	region_barrier(l->region);
}

static struct mmsghdr *kernel_view(struct conn_receipt *rc)
{
	return (struct mmsghdr *)(void *)&rc->message;
}

void conn_open(struct conn_link *l, int fd, bool takes_fds)
{
	struct conn *c = l->conn;

	region_edit(l->region, c, sizeof(*c));
	*c = (struct conn){
		.generation = c->generation + 1,
		.state = CONN_OPEN,
		.takes_fds = takes_fds,
		.fd = fd,
		.out_fd = -1,
	};
	queue_init(&c->in);
	queue_init(&c->out);
	l->cursor = (struct queue_cursor){ 0 };
	l->appetite = 1;
}

static void forget_fd(struct conn *c, uint32_t index)
{
	close(c->fds[index].fd);
	c->fd_count--;
	memmove(&c->fds[index], &c->fds[index + 1], (c->fd_count - index) * sizeof(c->fds[0]));
}

/* The descriptor that the receipt brought, if any, joins the unclaimed ones. */
static void keep_received_fd(struct conn_link *l)
{
	struct conn *c = l->conn;
	struct msghdr *h = &c->received.message.header;
	const struct cmsghdr *m;

	if (!c->received.with_fd)
		return;
	m = CMSG_FIRSTHDR(h);
	if (m == NULL || m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
		return;
	region_edit(l->region, &c->fd_count, sizeof(c->fd_count));
	region_edit(l->region, c->fds, sizeof(c->fds));
	if (c->fd_count == CONN_FDS)
		forget_fd(c, 0);
	c->fds[c->fd_count] = (struct conn_fd){ .at = c->received.base };
	memcpy(&c->fds[c->fd_count].fd, CMSG_DATA(m), sizeof(int32_t));
	c->fd_count++;
}

static void apply_received(struct conn_link *l)
{
	struct conn *c = l->conn;
	uint32_t n = c->received.message.length;

	if (n != NOT_WRITTEN) {
		if (n == 0)
			REGION_SET(l->region, c->in_ended, 1);
		REGION_SET(l->region, c->in.head, c->received.base + n);
		keep_received_fd(l);
	}
	REGION_SET(l->region, c->received.armed, 0);
	region_commit(l->region);
}

static void apply_sent(struct conn_link *l)
{
	struct conn *c = l->conn;
	uint32_t n = c->sent.message.length;
	int spent = -1;

	if (n != NOT_WRITTEN) {
		queue_consume(l->region, &c->out, c->sent.base + n);
		if (c->sent.with_fd && n > 0) {
			spent = c->out_fd;
			REGION_SET(l->region, c->out_fd, -1);
		}
	}
	REGION_SET(l->region, c->sent.armed, 0);
	region_commit(l->region);
	if (spent >= 0)
		close(spent);
}

/* The record says CLOSING: what the process holds goes, then the record is free. Done again by the
 * next worker if this one dies in it. */
static void finish_closing(struct conn_link *l)
{
	struct conn *c = l->conn;

	shutdown(c->fd, SHUT_RDWR); /* close() alone says nothing while others hold a copy */
	close(c->fd);
	for (uint32_t i = 0; i < c->fd_count; i++)
		close(c->fds[i].fd);
	if (c->out_fd >= 0)
		close(c->out_fd);
	region_edit(l->region, c, sizeof(*c));
	c->state = CONN_FREE;
	c->fd = -1;
	c->fd_count = 0;
	c->out_fd = -1;
	region_commit(l->region);
}

void conn_restore(struct conn_link *l)
{
	l->cursor = (struct queue_cursor){ 0 };
	l->appetite = 1;
	if (l->conn->state == CONN_CLOSING) {
		finish_closing(l);
		return;
	}
	if (l->conn->received.armed)
		apply_received(l);
	if (l->conn->sent.armed)
		apply_sent(l);
}

/* How much may be read into @where: all that waits, or, while a descriptor waits (*@with_fd), up to
 * the next closing brace. 0: end of stream, -1: nothing waits, or an error. *@more: there is
 * something behind it. */
static ssize_t look_ahead(const struct conn *c, struct iovec where, bool *with_fd, bool *more)
{
	struct msghdr h = { .msg_iov = &where, .msg_iovlen = 1 };
	const char *brace = NULL;
	ssize_t waiting;

	do
		waiting = recvmsg(c->fd, &h, MSG_PEEK | MSG_DONTWAIT);
	while (waiting < 0 && (errno == EINTR || errno == ECONNRESET));
	*with_fd = waiting > 0 && (h.msg_flags & MSG_CTRUNC) != 0;
	*more = *with_fd || waiting == (ssize_t)where.iov_len;
	if (*with_fd)
		brace = memchr(where.iov_base, '}', (size_t)waiting);
	return brace != NULL ? brace + 1 - (const char *)where.iov_base : waiting;
}

static enum conn_result receive_failed(struct conn_link *l)
{
	struct conn *c = l->conn;

	if (errno == EAGAIN || errno == EINTR) {
		queue_consume(l->region, &c->in, c->in.tail);
		region_commit(l->region);
		return CONN_BLOCKED;
	}
	REGION_SET(l->region, c->in_ended, 1);
	region_commit(l->region);
	return CONN_ENDED;
}

static bool reserve_room(struct conn_link *l)
{
	uint64_t size = (uint64_t)l->appetite * REGION_CHUNK;
	struct queue *q = &l->conn->in;
	bool reserved = (q->chunks != 0 && queue_room_end(q) > q->head) ||
			queue_reserve(l->region, q, size) || queue_reserve(l->region, q, 1);

	region_commit(l->region);
	return reserved;
}

/* One recvmmsg() into @piece, applied. False with errno: nothing was read. */
static bool receive_into(struct conn_link *l, struct iovec *piece, size_t pieces, bool with_fd)
{
	struct conn *c = l->conn;
	int got, error;

	c->received.with_fd = with_fd;
	arm(l, &c->received, c->in.head, piece, pieces);
	if (with_fd) {
		c->received.message.header.msg_control = c->control;
		c->received.message.header.msg_controllen = CMSG_LEN(sizeof(int));
	}
	do /* ECONNRESET comes before the bytes that still wait: read on until 0 */
		got = recvmmsg(c->fd, kernel_view(&c->received), 1, MSG_DONTWAIT | MSG_CMSG_CLOEXEC,
			       NULL);
	while (got < 0 && (errno == EINTR || errno == ECONNRESET));
	error = errno;
	region_barrier(l->region);
	apply_received(l);
	errno = error;
	return got >= 0;
}

/* From a peer that may send descriptors: one piece at a time, see look_ahead(). */
static enum conn_result receive_with_fds(struct conn_link *l, struct iovec *piece)
{
	bool with_fd, more;
	ssize_t take = look_ahead(l->conn, *piece, &with_fd, &more);

	if (take < 0 && errno != EAGAIN)
		return receive_failed(l);
	/* Also when nothing is to be seen: a byte sent with MSG_OOB makes the socket readable, no
	 * peek shows it, and only a read takes it away. */
	with_fd |= take < 0;
	piece->iov_len = take <= 0 ? 1 : (size_t)take;
	if (!receive_into(l, piece, 1, with_fd))
		return receive_failed(l);
	if (l->conn->in_ended)
		return CONN_ENDED;
	return more ? CONN_PARTLY : CONN_BLOCKED;
}

static enum conn_result receive_bytes(struct conn_link *l, struct iovec *piece, size_t pieces)
{
	uint32_t room = 0;
	uint32_t got;

	for (size_t i = 0; i < pieces; i++)
		room += (uint32_t)piece[i].iov_len;
	if (!receive_into(l, piece, pieces, false))
		return receive_failed(l);
	if (l->conn->in_ended)
		return CONN_ENDED;
	got = l->conn->received.message.length;
	if (got == room && l->appetite < QUEUE_PIECES)
		l->appetite *= 2;
	else if (got < room / 2)
		l->appetite = 1;
	return got == room ? CONN_PARTLY : CONN_BLOCKED;
}

enum conn_result conn_receive(struct conn_link *l)
{
	struct conn *c = l->conn;
	struct iovec piece[QUEUE_PIECES];
	size_t pieces;

	if (c->in_ended)
		return CONN_ENDED;
	if (!reserve_room(l))
		return CONN_STARVED;
	pieces = queue_pieces(l->region, &c->in, c->in.head, queue_room_end(&c->in), piece);
	return c->takes_fds ? receive_with_fds(l, piece) : receive_bytes(l, piece, pieces);
}

/* Put the waiting descriptor into the message about to be sent. */
static void attach_fd(struct conn *c)
{
	struct msghdr *h = &c->sent.message.header;
	struct cmsghdr *m;

	h->msg_control = c->control;
	h->msg_controllen = sizeof(c->control);
	m = CMSG_FIRSTHDR(h);
	m->cmsg_level = SOL_SOCKET;
	m->cmsg_type = SCM_RIGHTS;
	m->cmsg_len = CMSG_LEN(sizeof(int32_t));
	memcpy(CMSG_DATA(m), &c->out_fd, sizeof(int32_t));
}

enum conn_result conn_send(struct conn_link *l)
{
	struct conn *c = l->conn;
	struct iovec piece[QUEUE_PIECES];
	uint64_t from = c->out.tail;
	uint64_t to = c->out.head;
	size_t pieces;
	int sent;

	if (c->out_broken)
		return CONN_ENDED;
	if (from == to)
		return CONN_BLOCKED;
	c->sent.with_fd = c->out_fd >= 0 && from == c->out_fd_at;
	if (c->out_fd >= 0 && from < c->out_fd_at)
		to = c->out_fd_at;
	pieces = queue_pieces(l->region, &c->out, from, to, piece);
	arm(l, &c->sent, from, piece, pieces);
	if (c->sent.with_fd)
		attach_fd(c);
	do
		sent = sendmmsg(c->fd, kernel_view(&c->sent), 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	region_barrier(l->region);
	if (sent < 0) {
		int error = errno;

		apply_sent(l);
		if (error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS)
			return CONN_BLOCKED;
		REGION_SET(l->region, c->out_broken, 1);
		region_commit(l->region);
		return CONN_ENDED;
	}
	apply_sent(l);
	return c->out.tail == c->out.head ? CONN_BLOCKED : CONN_PARTLY;
}

void conn_note_hangup(struct conn_link *l)
{
	struct pollfd p = { .fd = l->conn->fd };

	if (l->conn->out_broken || poll(&p, 1, 0) <= 0 || (p.revents & (POLLHUP | POLLERR)) == 0)
		return;
	REGION_SET(l->region, l->conn->out_broken, 1);
	region_commit(l->region);
}

int conn_claim_fd(struct conn_link *l, uint64_t end)
{
	struct conn *c = l->conn;
	int fd;

	if (c->fd_count == 0 || c->fds[0].at >= end)
		return -1;
	region_edit(l->region, &c->fd_count, sizeof(c->fd_count));
	region_edit(l->region, c->fds, sizeof(c->fds));
	while (c->fd_count > 1 && c->fds[1].at < end)
		forget_fd(c, 0);
	fd = c->fds[0].fd;
	c->fd_count--;
	memmove(&c->fds[0], &c->fds[1], c->fd_count * sizeof(c->fds[0]));
	return fd;
}

void conn_close(struct conn_link *l)
{
	struct conn *c = l->conn;

	queue_clear(l->region, &c->in);
	queue_clear(l->region, &c->out);
	REGION_SET(l->region, c->state, CONN_CLOSING);
	region_commit(l->region);
	finish_closing(l);
}
