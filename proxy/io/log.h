/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IO_LOG_H
#define IO_LOG_H

/* One line a fact: "level=info vm=web1 event=... key=value". Values that come from a peer are
 * escaped by the caller's format through log_quote(). Never the arguments of a command: they may
 * be secrets. To stderr; with journal priorities when stderr is the journal (sd-daemon(3)). */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level); /* default: info */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

enum { LOG_QUOTE_MAX = 256 };
struct log_quoted {
	char text[LOG_QUOTE_MAX];
};
/* @text in double quotes with everything but printable ASCII escaped, cut if long; use as
 * log_quote(x).text inside one call. */
struct log_quoted log_quote(const char *text);

#endif
