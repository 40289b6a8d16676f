/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmend: the command line. Finds the subcommand and leaves everything else to proxy/cli/.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *arguments;
	const char *summary;
};

static const struct command commands[] = {
	{ "run", cli_run, "[--recipes DIR]... [--log-level LEVEL] POLICY...",
	  "serve the VMs of these policies" },
	{ "check", cli_check, "[--recipes DIR]... POLICY...",
	  "validate policies and print them as they will run" },
	{ "status", cli_status, "[--json] SOCKET", "show clients, backends and incidents" },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void usage(FILE *out)
{
	fputs("usage:\n", out);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(out, "  qmend %s %s\n      %s\n", commands[i].name, commands[i].arguments,
			commands[i].summary);
	fputs("  qmend --version\n  qmend --help\n", out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("qmend " QMEND_VERSION);
		return CLI_OK;
	}
	if (strcmp(argv[1], "--help") == 0) {
		usage(stdout);
		return CLI_OK;
	}
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "qmend: unknown command '%s'; qmend --help lists them\n", argv[1]);
	return CLI_USAGE;
}
