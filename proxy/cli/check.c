/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qmend check: validate policies and print them as they will run. Starts nothing, opens no socket:
 * it may be called beside a running qmend. Exit status 0: all are good; 2: not all are, each error
 * is a line on stderr and nothing is printed.
 */
#define _GNU_SOURCE /* getopt_long() */
#include "cli/cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/policies.h"

static const char usage[] = "usage: qmend check [--recipes DIR]... POLICY...\n"
			    "Validate policy files, or those of a folder, and print them as they "
			    "will run.\n"
			    "  -r, --recipes DIR  search recipes here first\n"
			    "  -h, --help         print this\n";

static bool print_policies(const struct cli_policies *policies)
{
	for (size_t i = 0; i < policies->count; i++) {
		AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(256 * 1024 * 1024);

		policy_print(policies->items[i], &text);
		fwrite(text.data, 1, text.len, stdout);
	}
	return fflush(stdout) == 0 && ferror(stdout) == 0;
}

static int check(int argc, char **argv, const char *const *recipe_dirs)
{
	AUTO_BUF struct qmp_buffer errors = QMP_BUFFER_INIT(CLI_ERRORS_MAX);
	struct cli_policies policies;
	bool printed;

	if (!cli_load_policies(argc, argv, recipe_dirs, &policies, &errors)) {
		fwrite(errors.data, 1, errors.len, stderr);
		return CLI_USAGE;
	}
	printed = print_policies(&policies);
	cli_policies_release(&policies);
	if (!printed)
		perror("qmend check: standard output");
	return printed ? CLI_OK : CLI_FAILED;
}

int cli_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "recipes", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *recipe_dirs[CLI_RECIPE_DIRS] = { NULL };
	size_t count = 0;
	int option;

	optind = 1;
	while ((option = getopt_long(argc, argv, "r:h", options, NULL)) != -1) {
		switch (option) {
		case 'r':
			if (count + 1 == sizeof(recipe_dirs) / sizeof(*recipe_dirs)) {
				fputs("qmend check: too many --recipes\n", stderr);
				return CLI_USAGE;
			}
			recipe_dirs[count++] = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return CLI_OK;
		default:
			fputs(usage, stderr);
			return CLI_USAGE;
		}
	}
	if (optind == argc) {
		fprintf(stderr, "qmend check: no policy given\n%s", usage);
		return CLI_USAGE;
	}
	return check(argc - optind, argv + optind, recipe_dirs);
}
