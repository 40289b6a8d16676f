/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of slot numbers as bit maps: which connections need attention. Not in the region: a new
 * worker puts every slot into every set and finds out.
 */
#include "mux/slots.h"

#include <stdlib.h>
#include <string.h>

enum { BITS = 64 };

void slots_init(struct slots *s, uint32_t count)
{
	s->count = count;
	s->words = calloc(count / BITS + 1, sizeof(*s->words));
	if (s->words == NULL)
		abort();
}

void slots_release(struct slots *s)
{
	free(s->words);
	s->words = NULL;
}

void slots_add(struct slots *s, uint32_t n)
{
	s->words[n / BITS] |= UINT64_C(1) << (n % BITS);
}

void slots_remove(struct slots *s, uint32_t n)
{
	s->words[n / BITS] &= ~(UINT64_C(1) << (n % BITS));
}

void slots_clear(struct slots *s)
{
	memset(s->words, 0, (s->count / BITS + 1) * sizeof(*s->words));
}

bool slots_has(const struct slots *s, uint32_t n)
{
	return (s->words[n / BITS] >> (n % BITS) & 1) != 0;
}

uint32_t slots_next(const struct slots *s, uint32_t from)
{
	for (uint32_t w = from / BITS; w <= s->count / BITS; w++) {
		uint64_t word = s->words[w];

		if (w == from / BITS)
			word &= UINT64_MAX << (from % BITS);
		if (word != 0)
			return w * BITS + (uint32_t)__builtin_ctzll(word);
	}
	return s->count;
}
