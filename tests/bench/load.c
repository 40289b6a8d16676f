/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The client side of the bench: measures round trips and commands per second of QMP servers, holds
 * many clients, and is the bare echo server that gives the floor. It shares no code with qmend.
 *
 *   load latency [-c COMMAND] [-b BLOCKS] [-n COUNT] NAME=[raw:]PATH...
 *       COUNT round trips to each server in turn, BLOCKS times. raw: an echo server, see below.
 *   load throughput [-k CLIENTS] [-w WINDOW] [-s MILLISECONDS] PATH
 *       CLIENTS connections, each with WINDOW commands on their way.
 *   load hold [-k CLIENTS] PATH...
 *       CLIENTS connections to each server, one command each; "ready"; until standard input ends.
 *   load echo PATH
 *       Answers each line with a line as long as QEMU's to query-status.
 *
 * Results are printed as JSON. Times are CLOCK_MONOTONIC.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MAX_TARGETS = 16, BUF_FIRST = 4096, CONNECT_MS = 10000, EVENTS = 64, LONG_LINE = 4096 };

#define ID "\"id\": \"libvirt-417\""
static const char ANSWER[] =
	"{\"return\": {\"status\": \"prelaunch\", \"singlestep\": false, \"running\": false}, " ID
	"}\r\n";
static const char NEGOTIATE[] = "{\"execute\": \"qmp_capabilities\"}\n";

/* One connection and what was read of it and not yet used. */
struct peer {
	const char *name;
	const char *path;
	int fd;
	bool raw;
	char *buf;
	size_t size, len, pos;
	uint32_t *sample; /* ns */
	size_t samples;
	size_t outstanding;
};

struct options {
	const char *command;
	size_t blocks, count, clients, window;
	uint64_t milliseconds;
};

__attribute__((noreturn)) static void die(const char *what, const char *detail)
{
	fprintf(stderr, "load: %s: %s\n", what, detail);
	exit(1);
}

static void *get(size_t count, size_t size)
{
	void *p = calloc(count, size);

	if (p == NULL)
		die("memory", strerror(errno));
	return p;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die(path, "path too long");
	memcpy(a.sun_path, path, strlen(path) + 1);
	return a;
}

/* A server that serves one client at a time may need a moment to see that the last one has left. */
static int connect_to(const char *path)
{
	struct sockaddr_un a = address(path);
	uint64_t end = now_ns() + (uint64_t)CONNECT_MS * 1000000u;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket", strerror(errno));
	while (connect(fd, (const struct sockaddr *)&a, sizeof(a)) != 0) {
		if ((errno != EAGAIN && errno != ENOENT && errno != ECONNREFUSED) || now_ns() > end)
			die(path, strerror(errno));
		usleep(2000);
	}
	return fd;
}

static void send_all(struct peer *p, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			die(p->path, strerror(errno));
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

/* Read more behind what is there. */
static void fill(struct peer *p)
{
	ssize_t n;

	if (p->pos == p->len)
		p->pos = p->len = 0;
	if (p->len == p->size && p->pos > 0) {
		memmove(p->buf, p->buf + p->pos, p->len - p->pos);
		p->len -= p->pos;
		p->pos = 0;
	}
	if (p->len == p->size) {
		p->size = p->size == 0 ? BUF_FIRST : p->size * 2;
		p->buf = realloc(p->buf, p->size);
		if (p->buf == NULL)
			die("memory", strerror(errno));
	}
	do
		n = recv(p->fd, p->buf + p->len, p->size - p->len, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		die(p->path, n == 0 ? "closed by the server" : strerror(errno));
	p->len += (size_t)n;
}

static bool contains(const char *line, size_t len, const char *text)
{
	return memmem(line, len, text, strlen(text)) != NULL;
}

/* The next complete line that was read already; NULL: none. */
static const char *take_line(struct peer *p, size_t *len, size_t *scanned)
{
	const char *start = p->buf + p->pos;
	const char *end = NULL;

	if (p->len - p->pos > *scanned)
		end = memchr(start + *scanned, '\n', p->len - p->pos - *scanned);
	if (end == NULL) {
		*scanned = p->len - p->pos;
		return NULL;
	}
	*len = (size_t)(end - start) + 1;
	p->pos += *len;
	*scanned = 0;
	return start;
}

/* Is it a reply, not an event? A reply must be a success. */
static bool is_reply(const struct peer *p, const char *line, size_t len)
{
	if (len >= LONG_LINE)
		return true;
	if (contains(line, len, "\"event\": "))
		return false;
	if (!contains(line, len, "\"return\": "))
		die(p->path, line);
	return true;
}

static void await_reply(struct peer *p)
{
	size_t scanned = 0;
	size_t len;

	for (;;) {
		const char *line = take_line(p, &len, &scanned);

		if (line == NULL)
			fill(p);
		else if (is_reply(p, line, len))
			return;
	}
}

static void await_greeting(struct peer *p)
{
	size_t scanned = 0;
	size_t len;
	const char *line;

	while ((line = take_line(p, &len, &scanned)) == NULL)
		fill(p);
	if (!contains(line, len, "\"QMP\""))
		die(p->path, "no greeting");
}

static void attach(struct peer *p)
{
	p->fd = connect_to(p->path);
	if (p->raw)
		return;
	await_greeting(p);
	send_all(p, NEGOTIATE, strlen(NEGOTIATE));
	await_reply(p);
}

static void release(struct peer *p)
{
	close(p->fd);
	free(p->buf);
	free(p->sample);
}

static size_t print_command(char *text, size_t size, const char *name)
{
	int n = snprintf(text, size, "{\"execute\": \"%s\", " ID "}\n", name);

	if (n < 0 || (size_t)n >= size)
		die(name, "name too long");
	return (size_t)n;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *x = a;
	const uint32_t *y = b;

	return (*x > *y) - (*x < *y);
}

static double at_us(const uint32_t *sorted, size_t n, double part)
{
	return (double)sorted[(size_t)((double)(n - 1) * part + 0.5)] / 1000.0;
}

/* A percentile of each block, which is sorted. */
static void print_blocks(const struct peer *p, const struct options *o, const char *name,
			 double part)
{
	printf("\"blocks_%s_us\": [", name);
	for (size_t b = 0; b < o->blocks; b++)
		printf("%s%.1f", b == 0 ? "" : ", ",
		       at_us(p->sample + b * o->count, o->count, part));
	printf("], ");
}

static void print_latency(struct peer *p, const struct options *o, bool last)
{
	double sum = 0;

	printf("\"%s\": {", p->name);
	for (size_t b = 0; b < o->blocks; b++)
		qsort(p->sample + b * o->count, o->count, sizeof(*p->sample), compare);
	print_blocks(p, o, "p50", 0.5);
	print_blocks(p, o, "p99", 0.99);
	qsort(p->sample, p->samples, sizeof(*p->sample), compare);
	for (size_t i = 0; i < p->samples; i++)
		sum += (double)p->sample[i];
	printf("\"count\": %zu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
	       "\"mean_us\": %.1f}%s",
	       p->samples, at_us(p->sample, p->samples, 0.5), at_us(p->sample, p->samples, 0.9),
	       at_us(p->sample, p->samples, 0.99), sum / (double)p->samples / 1000.0,
	       last ? "}\n" : ", ");
}

static void measure_block(struct peer *p, const char *command, size_t len, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t from = now_ns();
		uint64_t took;

		send_all(p, command, len);
		await_reply(p);
		took = now_ns() - from;
		p->sample[p->samples++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	}
}

static int latency(const struct options *o, char **targets, size_t n)
{
	struct peer peer[MAX_TARGETS] = { 0 };
	char command[256];
	size_t len = print_command(command, sizeof(command), o->command);

	if (n > MAX_TARGETS)
		die("latency", "too many servers");
	for (size_t i = 0; i < n; i++) {
		char *path = strchr(targets[i], '=');

		if (path == NULL)
			die(targets[i], "not NAME=PATH");
		*path++ = '\0';
		peer[i].raw = strncmp(path, "raw:", 4) == 0;
		peer[i].name = targets[i];
		peer[i].path = peer[i].raw ? path + 4 : path;
		peer[i].sample = get(o->blocks * o->count, sizeof(uint32_t));
		attach(&peer[i]);
		send_all(&peer[i], command, len); /* the first is not like the others */
		await_reply(&peer[i]);
	}
	for (size_t b = 0; b < o->blocks; b++)
		for (size_t i = 0; i < n; i++) /* nobody always comes behind the same */
			measure_block(&peer[b % 2 == 0 ? i : n - 1 - i], command, len, o->count);
	printf("{");
	for (size_t i = 0; i < n; i++) {
		print_latency(&peer[i], o, i + 1 == n);
		release(&peer[i]);
	}
	return 0;
}

/* Take the replies that came, and send as many commands again if @more. How many came. */
static size_t pump(struct peer *p, const char *commands, size_t len, bool more)
{
	size_t scanned = 0;
	size_t replies = 0;
	size_t line_len;
	const char *line;

	fill(p);
	while ((line = take_line(p, &line_len, &scanned)) != NULL)
		if (is_reply(p, line, line_len))
			replies++;
	if (more)
		send_all(p, commands, replies * len);
	else
		p->outstanding -= replies;
	return replies;
}

static struct peer *attach_all(char **paths, size_t n, size_t clients)
{
	struct peer *peer = get(n * clients, sizeof(*peer));

	for (size_t i = 0; i < n * clients; i++) {
		peer[i].path = paths[i / clients];
		attach(&peer[i]);
	}
	return peer;
}

/* Until @end, then until nothing is on its way any more; how many replies came before @end. */
static size_t run_clients(int epoll, const char *commands, size_t len, uint64_t end)
{
	struct epoll_event event[EVENTS];
	size_t replies = 0;

	for (;;) {
		int n = epoll_wait(epoll, event, EVENTS, 1);
		bool more = now_ns() < end;

		for (int i = 0; i < n; i++) {
			size_t came = pump(event[i].data.ptr, commands, len, more);

			if (more)
				replies += came;
		}
		if (!more)
			return replies;
	}
}

static int throughput(const struct options *o, char **paths)
{
	struct peer *peer = attach_all(paths, 1, o->clients);
	char command[256];
	size_t len = print_command(command, sizeof(command), o->command);
	char *commands = get(o->window, len + 1);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	uint64_t from;
	size_t replies;

	for (size_t i = 0; i < o->window; i++)
		memcpy(commands + i * len, command, len);
	for (size_t i = 0; i < o->clients; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &peer[i] };

		if (epoll_ctl(epoll, EPOLL_CTL_ADD, peer[i].fd, &e) != 0)
			die("epoll_ctl", strerror(errno));
	}
	from = now_ns();
	for (size_t i = 0; i < o->clients; i++) {
		send_all(&peer[i], commands, o->window * len);
		peer[i].outstanding = o->window;
	}
	replies = run_clients(epoll, commands, len, from + o->milliseconds * 1000000u);
	printf("{\"replies\": %zu, \"per_second\": %.0f}\n", replies,
	       (double)replies * 1e9 / (double)(now_ns() - from));
	for (size_t i = 0; i < o->clients; i++) {
		while (peer[i].outstanding > 0)
			pump(&peer[i], commands, len, false);
		release(&peer[i]);
	}
	free(commands);
	free(peer);
	close(epoll);
	return 0;
}

static int hold(const struct options *o, char **paths, size_t n)
{
	struct peer *peer = attach_all(paths, n, o->clients);
	char command[256];
	size_t len = print_command(command, sizeof(command), o->command);
	char ignored;

	for (size_t i = 0; i < n * o->clients; i++) {
		send_all(&peer[i], command, len);
		await_reply(&peer[i]);
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &ignored, 1) > 0)
		;
	for (size_t i = 0; i < n * o->clients; i++)
		release(&peer[i]);
	free(peer);
	return 0;
}

static int echo(const char *path)
{
	struct sockaddr_un a = address(path);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
	    listen(listener, 8) != 0)
		die(path, strerror(errno));
	for (;;) {
		char buf[BUF_FIRST];
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die(path, strerror(errno));
		while (recv(fd, buf, sizeof(buf), 0) > 0)
			if (send(fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL) < 0)
				break;
		close(fd);
	}
}

static size_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || n == 0 || n > 1000000)
		die(text, "not a number from 1 to 1000000");
	return n;
}

static void parse(struct options *o, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:b:n:k:w:s:")) != -1) {
		switch (option) {
		case 'c':
			o->command = optarg;
			break;
		case 'b':
			o->blocks = number(optarg);
			break;
		case 'n':
			o->count = number(optarg);
			break;
		case 'k':
			o->clients = number(optarg);
			break;
		case 'w':
			o->window = number(optarg);
			break;
		case 's':
			o->milliseconds = number(optarg);
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct options o = { "query-status", 10, 100, 1, 16, 1000 };
	struct rlimit limit;

	if (argc < 2)
		die("usage", "load latency|throughput|hold|echo ..., see load.c");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	parse(&o, argc - 1, argv + 1);
	optind++;
	if (optind >= argc)
		die("usage", "no server given");
	if (strcmp(argv[1], "latency") == 0)
		return latency(&o, argv + optind, (size_t)(argc - optind));
	if (strcmp(argv[1], "throughput") == 0)
		return throughput(&o, argv + optind);
	if (strcmp(argv[1], "hold") == 0)
		return hold(&o, argv + optind, (size_t)(argc - optind));
	if (strcmp(argv[1], "echo") == 0)
		return echo(argv[optind]);
	die(argv[1], "not latency, throughput, hold or echo");
}
