/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs every file of the directories given as arguments through a fuzz target once, so that what a
 * fuzzer found once is tried in every test run, without a fuzzer. A crash ends the program before
 * its plan is met. Linked instead of libFuzzer.
 */
#define _GNU_SOURCE /* scandir() */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 16 * 1024 * 1024 };

/* The bytes of @path in memory of exactly their size, for the sanitizer's sake. */
static bool run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *all = malloc(INPUT_MAX), *exact = NULL;
	size_t size;
	bool ok;

	if (file == NULL || all == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	size = fread(all, 1, INPUT_MAX, file);
	ok = ferror(file) == 0 && feof(file) != 0;
	fclose(file);
	exact = malloc(size == 0 ? 1 : size);
	if (exact == NULL)
		abort();
	memcpy(exact, all, size);
	free(all);
	if (ok)
		LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return ok;
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Adds to *@number; false when something could not be read. */
static bool run_directory(const char *directory, unsigned *number)
{
	struct dirent **names;
	int count = scandir(directory, &names, is_visible, alphasort);
	bool all_ok = true;

	if (count < 0) {
		fprintf(stderr, "%s: %s\n", directory, strerror(errno));
		return false;
	}
	for (int i = 0; i < count; i++) {
		char path[4096];
		bool ok;

		snprintf(path, sizeof(path), "%s/%s", directory, names[i]->d_name);
		ok = run_file(path);
		printf("%s %u - %s\n", ok ? "ok" : "not ok", ++*number, names[i]->d_name);
		fflush(stdout);
		all_ok = all_ok && ok;
		free(names[i]);
	}
	free(names);
	return all_ok;
}

int main(int argc, char **argv)
{
	unsigned number = 0;
	bool ok = argc > 1;

	for (int i = 1; i < argc; i++)
		ok = run_directory(argv[i], &number) && ok;
	printf("1..%u\n", number);
	return ok && number > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
