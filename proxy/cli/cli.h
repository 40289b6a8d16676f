/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* The subcommands: argv[0] is the name of the subcommand; what is returned is qmend's exit
 * status. */

enum {
	CLI_OK = 0,
	CLI_FAILED = 1, /* at its work */
	CLI_USAGE = 2,	/* arguments or policies are wrong; nothing was started */
};

int cli_check(int argc, char **argv);
int cli_run(int argc, char **argv);
int cli_status(int argc, char **argv);

#endif
