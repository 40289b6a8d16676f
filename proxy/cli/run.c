/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmend run: serve the VMs of the given policies in the foreground until SIGTERM or SIGINT. All
 * policies are loaded and all sockets are listened on before anything is served or started.
 */
#define _GNU_SOURCE /* getopt_long() */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/policies.h"
#include "io/log.h"
#include "io/loop.h"
#include "vm.h"

static const char usage[] = "usage: qmend run [--recipes DIR]... [--log-level LEVEL] POLICY...\n"
			    "Serve the VMs of these policy files, or of those of a folder.\n"
			    "  -r, --recipes DIR      search recipes here first\n"
			    "  -l, --log-level LEVEL  error, warning, info (default) or debug\n"
			    "  -h, --help             print this\n";

struct arguments {
	const char *recipe_dirs[CLI_RECIPE_DIRS];
	size_t recipe_dir_count;
	bool help;
};

static bool set_log_level(const char *name)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			log_set_level((enum log_level)i);
			return true;
		}
	}
	fprintf(stderr, "qmend run: unknown log level '%s'; error, warning, info or debug\n", name);
	return false;
}

static bool add_recipe_dir(struct arguments *a, const char *dir)
{
	if (a->recipe_dir_count + 1 == CLI_RECIPE_DIRS) {
		fputs("qmend run: too many --recipes\n", stderr);
		return false;
	}
	a->recipe_dirs[a->recipe_dir_count++] = dir;
	return true;
}

static bool parse(int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{ "recipes", required_argument, NULL, 'r' },
		{ "log-level", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "r:l:h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			if (!add_recipe_dir(a, optarg))
				return false;
			break;
		case 'l':
			if (!set_log_level(optarg))
				return false;
			break;
		case 'h':
			a->help = true;
			return true;
		default:
			fputs(usage, stderr);
			return false;
		}
	}
	if (optind == argc)
		fprintf(stderr, "qmend run: no policy given\n%s", usage);
	return optind < argc;
}

/* Every client and backend costs descriptors. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warning("event=descriptor-limit error=%s", log_quote(strerror(errno)).text);
}

/* SIGTERM and SIGINT, as a descriptor. */
struct signals {
	struct loop *loop;
	struct loop_io io;
	int fd;
};

static void on_signal(void *owner, int events)
{
	struct signals *s = owner;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	log_info("event=end signal=%u", info.ssi_signo);
	loop_stop(s->loop);
}

static bool catch_signals(struct signals *s, struct loop *loop)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->loop = loop;
	s->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->fd < 0) {
		perror("qmend run: signalfd");
		return false;
	}
	loop_io_init(&s->io, on_signal, s);
	loop_io_set(loop, &s->io, s->fd, LOOP_READ);
	return true;
}

/* All VMs or none. */
static bool make_vms(struct loop *loop, const struct cli_policies *policies, struct vm **vms)
{
	struct qmp_error e;

	for (size_t i = 0; i < policies->count; i++) {
		vms[i] = vm_new(loop, policies->items[i], &e);
		if (vms[i] == NULL) {
			log_error("event=not-started policy=%s error=%s",
				  log_quote(policies->items[i]->path).text, log_quote(e.text).text);
			return false;
		}
	}
	return true;
}

static int serve(const struct cli_policies *policies)
{
	struct loop *loop = loop_new();
	struct vm **vms = calloc(policies->count, sizeof(struct vm *));
	struct signals signals = { .fd = -1 };
	int status = CLI_FAILED;

	if (vms == NULL)
		abort();
	raise_descriptor_limit();
	if (catch_signals(&signals, loop) && make_vms(loop, policies, vms)) {
		log_info("event=serving version=" QMEND_VERSION " vms=%zu", policies->count);
		loop_run(loop);
		status = CLI_OK;
	}
	for (size_t i = 0; i < policies->count; i++)
		vm_free(vms[i]);
	if (signals.fd >= 0) {
		loop_io_stop(loop, &signals.io);
		close(signals.fd);
	}
	free(vms);
	loop_free(loop);
	return status;
}

int cli_run(int argc, char **argv)
{
	AUTO_BUF struct qmp_buffer errors = QMP_BUFFER_INIT(CLI_ERRORS_MAX);
	struct arguments a = { 0 };
	struct cli_policies policies;
	int status;

	if (!parse(argc, argv, &a))
		return CLI_USAGE;
	if (a.help) {
		fputs(usage, stdout);
		return CLI_OK;
	}
	if (!cli_load_policies(argc - optind, argv + optind, a.recipe_dirs, &policies, &errors)) {
		fwrite(errors.data, 1, errors.len, stderr);
		return CLI_USAGE;
	}
	status = serve(&policies);
	cli_policies_release(&policies);
	return status;
}
