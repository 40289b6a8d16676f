/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: libev with one drain point and one timer.
 *
 * Theory of operation. Callbacks of loop_io only note what happened. Before libev sleeps
 * (ev_prepare) every drain's work() runs until none has more to do, at most ROUNDS times: if there
 * is still more, the loop polls once without sleeping, so that no source of work starves the
 * others. Then every drain says when it must run again at the latest, and one timer is set for the
 * earliest. Nothing here wakes an idle process: see sleep_long().
 */
#define _GNU_SOURCE 1 /* CLOCK_BOOTTIME */
#include "io/loop.h"

#include <stdlib.h>
#include <time.h>

#include "io/folder.h"

enum { ROUNDS = 4 };

static const double NS = 1e9;
/* Longer than any deadline makes sense; below what epoll_wait() takes. */
static const double LONGEST_WAIT = 1e6;

struct loop {
	struct ev_loop *ev;
	struct ev_prepare prepare;
	struct ev_check check;
	struct ev_timer timer;
	struct ev_idle more; /* while active, libev polls without sleeping */
	struct ev_periodic never;
	struct folders *folders; /* NULL: nobody watches files */
	struct loop_drain *drains;
	struct loop_drain *cursor; /* next drain of a walk; kept right by loop_remove_drain() */
	uint64_t (*clock)(void);
	uint64_t now;
	uint64_t armed; /* what the timer is set for, UINT64_MAX: not set */
};

static uint64_t boot_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool work_once(struct loop *l)
{
	bool more = false;

	for (struct loop_drain *d = l->drains; d != NULL; d = l->cursor) {
		l->cursor = d->next;
		if (d->work != NULL && d->work(d->owner))
			more = true;
	}
	return more;
}

static uint64_t earliest_deadline(struct loop *l)
{
	uint64_t earliest = UINT64_MAX;

	for (struct loop_drain *d = l->drains; d != NULL; d = l->cursor) {
		uint64_t t;

		l->cursor = d->next;
		t = d->deadline == NULL ? UINT64_MAX : d->deadline(d->owner);
		if (t < earliest)
			earliest = t;
	}
	return earliest;
}

static void arm(struct loop *l, uint64_t deadline)
{
	double wait;

	if (deadline == l->armed && deadline > l->now)
		return;
	l->armed = deadline;
	ev_timer_stop(l->ev, &l->timer);
	if (deadline == UINT64_MAX)
		return;
	wait = deadline > l->now ? (double)(deadline - l->now) / NS : 0.0;
	if (wait > LONGEST_WAIT)
		wait = LONGEST_WAIT;
	ev_timer_set(&l->timer, wait, 0.0);
	ev_timer_start(l->ev, &l->timer);
}

static void on_prepare(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
	struct loop *l = w->data;
	bool more = true;

	(void)revents;
	for (int round = 0; more && round < ROUNDS; round++)
		more = work_once(l);
	if (more)
		ev_idle_start(ev, &l->more);
	else
		ev_idle_stop(ev, &l->more);
	arm(l, earliest_deadline(l));
}

/* First thing after the sleep: all callbacks of this turn see one time. */
static void on_check(struct ev_loop *ev, struct ev_check *w, int revents)
{
	struct loop *l = w->data;

	(void)ev;
	(void)revents;
	l->now = l->clock();
}

/* The work is done by the drains, before the next sleep. */
static void on_timer(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct loop *l = w->data;

	(void)ev;
	(void)revents;
	l->armed = UINT64_MAX;
}

static void on_more(struct ev_loop *ev, struct ev_idle *w, int revents)
{
	(void)ev;
	(void)w;
	(void)revents;
}

static void on_never(struct ev_loop *ev, struct ev_periodic *w, int revents)
{
	(void)ev;
	(void)w;
	(void)revents;
}

/*
 * libev wakes once a minute (MAX_BLOCKTIME, 59.743 s) to see whether the wall clock was set, unless
 * it holds a timerfd that tells it so: then 17 days. It makes that timerfd when the first
 * ev_periodic starts, so one is started that never fires.
 */
static void sleep_long(struct loop *l)
{
	ev_periodic_init(&l->never, on_never, 1e11, 0.0, NULL);
	ev_periodic_start(l->ev, &l->never);
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		abort();
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (l->ev == NULL)
		abort();
	l->armed = UINT64_MAX;
	loop_set_clock(l, boot_clock);

	ev_prepare_init(&l->prepare, on_prepare);
	ev_check_init(&l->check, on_check);
	ev_timer_init(&l->timer, on_timer, 0.0, 0.0);
	ev_idle_init(&l->more, on_more);
	ev_set_priority(&l->check, EV_MAXPRI);
	l->prepare.data = l;
	l->check.data = l;
	l->timer.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_start(l->ev, &l->check);
	sleep_long(l);
	return l;
}

void loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	folders_free(l->folders);
	ev_periodic_stop(l->ev, &l->never);
	ev_idle_stop(l->ev, &l->more);
	ev_timer_stop(l->ev, &l->timer);
	ev_check_stop(l->ev, &l->check);
	ev_prepare_stop(l->ev, &l->prepare);
	ev_loop_destroy(l->ev);
	free(l);
}

void loop_run(struct loop *l)
{
	/* Time has passed since the loop was made or last ran: both clocks must agree. */
	ev_now_update(l->ev);
	l->now = l->clock();
	ev_run(l->ev, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

/* At the end: drains run in the order in which they were added. */
void loop_add_drain(struct loop *l, struct loop_drain *d)
{
	struct loop_drain **at = &l->drains;

	while (*at != NULL)
		at = &(*at)->next;
	d->next = NULL;
	*at = d;
}

void loop_remove_drain(struct loop *l, struct loop_drain *d)
{
	for (struct loop_drain **at = &l->drains; *at != NULL; at = &(*at)->next) {
		if (*at != d)
			continue;
		*at = d->next;
		if (l->cursor == d)
			l->cursor = d->next;
		return;
	}
}

static void on_io(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct loop_io *io = w->data;

	(void)ev;
	io->ready(io->owner, revents & (LOOP_READ | LOOP_WRITE));
}

void loop_io_init(struct loop_io *io, void (*ready)(void *owner, int events), void *owner)
{
	ev_io_init(&io->watcher, on_io, -1, 0);
	io->watcher.data = io;
	io->ready = ready;
	io->owner = owner;
}

void loop_io_set(struct loop *l, struct loop_io *io, int fd, int events)
{
	struct ev_io *w = &io->watcher;
	bool active = ev_is_active(w);
	bool same_fd = w->fd == fd;

	if (active && same_fd && (w->events & (LOOP_READ | LOOP_WRITE)) == events)
		return;
	ev_io_stop(l->ev, w);
	if (events == 0)
		return;
	/* ev_io_set() also says "perhaps another file under this number": a system call more. */
	if (same_fd)
		ev_io_modify(w, events);
	else
		ev_io_set(w, fd, events);
	ev_io_start(l->ev, w);
}

void loop_io_stop(struct loop *l, struct loop_io *io)
{
	ev_io_stop(l->ev, &io->watcher);
	io->watcher.fd = -1; /* the next descriptor of this number is another one */
}

uint64_t loop_now(struct loop *l)
{
	return l->now;
}

void loop_set_clock(struct loop *l, uint64_t (*clock)(void))
{
	l->clock = clock;
	l->now = clock();
}

struct folders **loop_folders(struct loop *l)
{
	return &l->folders;
}
