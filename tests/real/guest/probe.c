/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's own view of its network: sends a numbered datagram to an echo server each INTERVAL
 * milliseconds, and notes when each answer came, by the guest's CLOCK_MONOTONIC: nothing of it
 * depends on the host's idea of when the network was away.
 *
 * An outage is the time from the sending of a probe until it, or a later one, is answered: a round
 * trip (about 1 ms) when nothing is wrong. gap_ms is the time between the answers on both sides of
 * it: an interval when nothing is wrong.
 *
 * Lines to the port:
 *   probe ready interval_ms=10
 *   outage first=812 lost=2 outage_ms=23.1 gap_ms=32.9      one longer than an interval has ended
 *   beat sent=900 answered=897                  once a second
 * Requests from the port, one a line:
 *   report   window sent= answered= outage_ms= gap_ms= quiet_ms= : since the last report, the
 * longest, one that still goes on included; quiet_ms: since the newest answer end      the probe
 * ends, and the guest with it dump     the newest probes, one line each: probe seq= sent_us=
 * answered_us= (0: never)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { RECORDS = 4096, REQUEST_MAX = 64, US_PER_MS = 1000, US_PER_S = 1000000 };

struct packet {
	uint64_t seq;
	uint64_t sent_us;
};

struct record {
	uint64_t sent_us;
	uint64_t answered_us; /* 0: not yet */
};

struct window {
	uint64_t sent, answered;
	uint64_t outage_us, gap_us; /* the longest */
};

struct probe {
	int sock, timer, port;
	uint64_t interval_us;
	uint64_t next;	       /* sequence number of the next probe; the first is 1 */
	uint64_t newest;       /* the highest number answered so far */
	uint64_t newest_at_us; /* when that came */
	uint64_t answered;
	uint64_t beat_us; /* when the next heartbeat is due */
	struct window window;
	struct record record[RECORDS]; /* of probe n: [n % RECORDS] */
	char request[REQUEST_MAX];
	size_t request_len;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * US_PER_S + (uint64_t)t.tv_nsec / 1000;
}

static double ms(uint64_t us)
{
	return (double)us / US_PER_MS;
}

/* The port may be full when nobody reads: a line is lost then, never the rhythm. */
static void say(const struct probe *p, const char *line)
{
	if (write(p->port, line, strlen(line)) < 0 && errno != EAGAIN)
		_exit(1);
}

static void send_probe(struct probe *p, uint64_t now)
{
	struct packet packet = { .seq = p->next, .sent_us = now };

	p->record[p->next % RECORDS] = (struct record){ .sent_us = now };
	p->next++;
	p->window.sent++;
	(void)!send(p->sock, &packet, sizeof(packet), MSG_DONTWAIT); /* not sent: not answered */
}

/* How long the oldest probe after the newest answered one has waited. 0: all are answered. */
static uint64_t waited_us(const struct probe *p, uint64_t now)
{
	uint64_t first = p->newest + 1;

	if (first >= p->next)
		return 0;
	if (p->next - first >= RECORDS) /* its record is overwritten */
		return now - p->newest_at_us;
	return now - p->record[first % RECORDS].sent_us;
}

static void note_outage(struct window *w, uint64_t outage, uint64_t gap)
{
	if (outage > w->outage_us)
		w->outage_us = outage;
	if (gap > w->gap_us)
		w->gap_us = gap;
}

/* @seq is the first answered one after p->newest. */
static void end_outage(struct probe *p, uint64_t seq, uint64_t now)
{
	uint64_t outage = waited_us(p, now), gap = now - p->newest_at_us;
	char line[120];

	if (p->newest == 0) /* the network was never there before */
		return;
	note_outage(&p->window, outage, gap);
	if (outage <= p->interval_us)
		return;
	snprintf(line, sizeof(line),
		 "outage first=%" PRIu64 " lost=%" PRIu64 " outage_ms=%.1f gap_ms=%.1f\n",
		 p->newest + 1, seq - p->newest - 1, ms(outage), ms(gap));
	say(p, line);
}

static void take_answer(struct probe *p)
{
	struct packet packet;
	uint64_t now;

	while (recv(p->sock, &packet, sizeof(packet), MSG_DONTWAIT) == (ssize_t)sizeof(packet)) {
		now = now_us();
		if (packet.seq == 0 || packet.seq >= p->next || p->next - packet.seq > RECORDS)
			continue;
		p->record[packet.seq % RECORDS].answered_us = now;
		p->answered++;
		p->window.answered++;
		if (packet.seq <= p->newest)
			continue;
		end_outage(p, packet.seq, now);
		p->newest = packet.seq;
		p->newest_at_us = now;
	}
}

static void beat(struct probe *p, uint64_t now)
{
	char line[96];

	if (now < p->beat_us)
		return;
	p->beat_us = now + US_PER_S;
	snprintf(line, sizeof(line), "beat sent=%" PRIu64 " answered=%" PRIu64 "\n", p->next - 1,
		 p->answered);
	say(p, line);
}

static void report(struct probe *p, uint64_t now)
{
	struct window *w = &p->window;
	uint64_t quiet = now - p->newest_at_us;
	char line[160];

	note_outage(w, waited_us(p, now), quiet);
	snprintf(line, sizeof(line),
		 "window sent=%" PRIu64 " answered=%" PRIu64
		 " outage_ms=%.1f gap_ms=%.1f quiet_ms=%.1f\n",
		 w->sent, w->answered, ms(w->outage_us), ms(w->gap_us), ms(quiet));
	say(p, line);
	*w = (struct window){ 0 };
}

static void dump(struct probe *p)
{
	uint64_t seq = p->next > RECORDS ? p->next - RECORDS : 1;
	char line[120];

	for (; seq < p->next; seq++) {
		const struct record *r = &p->record[seq % RECORDS];

		snprintf(line, sizeof(line),
			 "probe seq=%" PRIu64 " sent_us=%" PRIu64 " answered_us=%" PRIu64 "\n", seq,
			 r->sent_us, r->answered_us);
		say(p, line);
		tcdrain(p->port);
	}
	say(p, "dumped\n");
}

static void take_request(struct probe *p)
{
	char c;

	while (read(p->port, &c, 1) == 1) {
		if (c != '\n' && p->request_len < REQUEST_MAX - 1) {
			p->request[p->request_len++] = c;
			continue;
		}
		p->request[p->request_len] = '\0';
		p->request_len = 0;
		if (strcmp(p->request, "report") == 0)
			report(p, now_us());
		else if (strcmp(p->request, "dump") == 0)
			dump(p);
		else if (strcmp(p->request, "end") == 0)
			exit(0);
	}
}

static int open_port(const char *path)
{
	struct termios t;
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && tcgetattr(fd, &t) == 0) {
		cfmakeraw(&t);
		cfsetspeed(&t, B115200);
		tcsetattr(fd, TCSANOW, &t);
	}
	return fd;
}

static int open_socket(const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)atoi(port));
	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return -1;
	return fd;
}

static int open_timer(uint64_t interval_us)
{
	struct timespec t = { .tv_sec = (time_t)(interval_us / US_PER_S),
			      .tv_nsec = (long)(interval_us % US_PER_S) * 1000 };
	struct itimerspec every = { .it_interval = t, .it_value = t };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0 && timerfd_settime(fd, 0, &every, NULL) != 0)
		return -1;
	return fd;
}

static bool run_once(struct probe *p)
{
	struct pollfd fds[] = { { .fd = p->sock, .events = POLLIN },
				{ .fd = p->timer, .events = POLLIN },
				{ .fd = p->port, .events = POLLIN } };
	uint64_t ticks, now;

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR;
	take_answer(p); /* ICMP errors of the connected socket end here too, and are only lost */
	if (read(p->timer, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks)) {
		now = now_us();
		send_probe(p, now);
		beat(p, now);
	}
	take_request(p);
	return true;
}

int main(int argc, char **argv)
{
	static struct probe p = { .next = 1 };
	char line[64];

	if (argc != 5) {
		fprintf(stderr, "usage: probe ADDRESS PORT INTERVAL-MS SERIAL-PORT\n");
		return 2;
	}
	p.interval_us = (uint64_t)atoi(argv[3]) * US_PER_MS;
	p.sock = open_socket(argv[1], argv[2]);
	p.timer = open_timer(p.interval_us);
	p.port = open_port(argv[4]);
	if (p.sock < 0 || p.timer < 0 || p.port < 0 || p.interval_us == 0) {
		perror("probe");
		return 1;
	}
	p.newest_at_us = now_us();
	snprintf(line, sizeof(line), "probe ready interval_ms=%s\n", argv[3]);
	say(&p, line);
	while (run_once(&p))
		;
	return 1;
}
