/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line a fact, to stderr, with one write(2) a line.
 *
 * A log must never be the fault: a line is cut at LINE_MAX_BYTES, each level has its own budget of
 * lines per second (what is over it is counted and told in one line), and a line that stderr
 * cannot take at once is counted instead of waited for: the reader of a full pipe may be stuck.
 */
#define _GNU_SOURCE 1 /* clock_gettime() */
#include "io/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Below PIPE_BUF: a line enters a pipe whole or not at all. */
enum { LINE_MAX_BYTES = 2048, LEVELS = LOG_LEVEL_DEBUG + 1, LINES_PER_SECOND = 200 };

struct bucket {
	double tokens;
	double filled_at; /* CLOCK_MONOTONIC, s */
	uint64_t suppressed;
};

static enum log_level max_level = LOG_LEVEL_INFO;
static struct bucket buckets[LEVELS];

static const char *const level_name[LEVELS] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

/* sd-daemon(3) */
static const char *const journal_prefix[LEVELS] = {
	[LOG_LEVEL_ERROR] = "<3>",
	[LOG_LEVEL_WARNING] = "<4>",
	[LOG_LEVEL_INFO] = "<6>",
	[LOG_LEVEL_DEBUG] = "<7>",
};

void log_set_level(enum log_level level)
{
	max_level = level;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool take_token(struct bucket *b)
{
	double now = seconds();

	/* A bucket that was never used (filled_at 0) is full: the machine runs for a second. */
	b->tokens += (now - b->filled_at) * LINES_PER_SECOND;
	if (b->tokens > LINES_PER_SECOND)
		b->tokens = LINES_PER_SECOND;
	b->filled_at = now;
	if (b->tokens < 1.0)
		return false;
	b->tokens -= 1.0;
	return true;
}

/* systemd.exec(5): JOURNAL_STREAM is DEVICE:INODE of the journal's end; stderr may be another. */
static bool stderr_is_journal(void)
{
	static int known = -1;
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (known >= 0)
		return known;
	known = text != NULL && sscanf(text, "%llu:%llu", &device, &inode) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
	return known;
}

/* False when stderr would make us wait. Errors of stderr have nobody to be told to. */
static bool write_line(const char *line, size_t len)
{
	struct pollfd p = { STDERR_FILENO, POLLOUT, 0 };

	/* Without a reader POLLERR is set too: writing would only raise SIGPIPE. */
	if (poll(&p, 1, 0) != 1 || p.revents != POLLOUT)
		return false;
	return write(STDERR_FILENO, line, len) == (ssize_t)len;
}

/* Make @line, which holds @len of LINE_MAX_BYTES, one line of printable ASCII. */
static size_t finish_line(char *line, size_t len)
{
	if (len > LINE_MAX_BYTES - 1) {
		len = LINE_MAX_BYTES - 1;
		memcpy(line + len - 3, "...", 3);
	}
	for (size_t i = 0; i < len; i++) {
		if (line[i] < 0x20 || line[i] > 0x7e)
			line[i] = '?';
	}
	line[len++] = '\n';
	return len;
}

static size_t print_prefix(char *line, size_t size, enum log_level level)
{
	return (size_t)snprintf(line, size, "%slevel=%s ",
				stderr_is_journal() ? journal_prefix[level] : "",
				level_name[level]);
}

static void tell_suppressed(enum log_level level)
{
	struct bucket *b = &buckets[level];
	char line[LINE_MAX_BYTES + 1];
	size_t len;

	if (b->suppressed == 0)
		return;
	len = print_prefix(line, sizeof(line), level);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "event=log-suppressed lines=%llu",
				(unsigned long long)b->suppressed);
	if (write_line(line, finish_line(line, len)))
		b->suppressed = 0;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES + 1];
	size_t len;
	va_list args;
	int n;

	if (level > max_level)
		return;
	if (!take_token(&buckets[level])) {
		buckets[level].suppressed++;
		return;
	}
	tell_suppressed(level);

	len = print_prefix(line, sizeof(line), level);
	va_start(args, format);
	n = vsnprintf(line + len, sizeof(line) - len, format, args);
	va_end(args);
	if (n > 0)
		len += (size_t)n;
	if (!write_line(line, finish_line(line, len)))
		buckets[level].suppressed++;
}

/* The escaped form of @c; returns its length. */
static size_t escape(char *out, size_t size, unsigned char c)
{
	if (c == '"' || c == '\\')
		return (size_t)snprintf(out, size, "\\%c", c);
	if (c < 0x20 || c > 0x7e)
		return (size_t)snprintf(out, size, "\\x%02x", c);
	return (size_t)snprintf(out, size, "%c", c);
}

struct log_quoted log_quote(const char *text)
{
	/* Behind the text: three dots, the closing quote and the terminator. */
	enum { ROOM = LOG_QUOTE_MAX - 5 };
	struct log_quoted q = { "\"" };
	const char *tail = "\"";
	size_t len = 1;

	for (; *text != '\0'; text++) {
		char one[8];
		size_t n = escape(one, sizeof(one), (unsigned char)*text);

		if (len + n > ROOM) {
			tail = "...\"";
			break;
		}
		memcpy(q.text + len, one, n);
		len += n;
	}
	memcpy(q.text + len, tail, strlen(tail) + 1);
	return q;
}
