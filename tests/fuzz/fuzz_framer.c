/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream of bytes through the framer, whole and in pieces: the same results at the same places,
 * in bounds, and always going on. The first byte chooses the dialect and the pieces. What the
 * framer cuts is judged by the parser, what it refuses is put into words.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "qmp/framer.h"
#include "qmp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RESULTS_MAX = 4096 };

struct result {
	enum qmp_framer_result what;
	struct qmp_framer at;
};

static struct result whole[RESULTS_MAX], parts[RESULTS_MAX];

static void require(bool condition)
{
	if (!condition)
		abort();
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
	return *state >> 16;
}

/* Feed @in in pieces of at most @piece bytes (0: at once); the number of results. */
static size_t run(struct span in, uint16_t dialect, uint32_t piece, struct result *out)
{
	struct qmp_framer f = { .dialect = dialect };
	uint32_t random = piece;
	size_t at = 0, count = 0, used;

	while (at < in.len && count < RESULTS_MAX) {
		size_t rest = in.len - at, len = rest;
		enum qmp_framer_result what;

		if (piece != 0 && next_random(&random) % piece + 1 < rest)
			len = next_random(&random) % piece % rest + 1;
		what = qmp_framer_feed(&f, span_cut(in, at, at + len), &used);
		require(used <= len && (used == len || what != QMP_FRAMER_NEED_MORE));
		at += used;
		require(f.pos == at && f.end <= f.pos && f.begin <= f.pos);
		if (what != QMP_FRAMER_NEED_MORE)
			out[count++] = (struct result){ what, f };
	}
	return count;
}

static void look_at(struct span in, const struct result *r)
{
	struct span text = span_cut(in, r->at.begin, r->at.end);
	struct qmp_message m;
	struct qmp_error e = { .text = "" };

	require(r->at.begin < r->at.end);
	if (r->what == QMP_FRAMER_BAD) {
		require(r->at.begin <= r->at.token && r->at.token < r->at.end);
		qmp_framer_error(&r->at, text, &e);
		require(e.text[0] != '\0');
		return;
	}
	if (qmp_command_parse(text, &r->at, true, &m, &e) == QMP_COMMAND_OK)
		require(e.text[0] == '\0' && text.p[0] == '{');
	else
		require(e.text[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = { (const char *)data + 1, size - 1 };
	uint16_t dialect;
	size_t count;

	if (size < 2)
		return 0;
	dialect = data[0] & 1;
	count = run(in, dialect, 0, whole);
	require(run(in, dialect, (uint32_t)(data[0] >> 1) + 1, parts) == count);
	for (size_t i = 0; i < count; i++) {
		require(whole[i].what == parts[i].what);
		require(memcmp(&whole[i].at, &parts[i].at, sizeof(whole[i].at)) == 0);
		look_at(in, &whole[i]);
	}
	return 0;
}
