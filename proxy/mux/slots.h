/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MUX_SLOTS_H
#define MUX_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

/* A set of slot numbers. */
struct slots {
	uint64_t *words;
	uint32_t count; /* numbers are below this */
};

void slots_init(struct slots *s, uint32_t count); /* empty */
void slots_release(struct slots *s);
void slots_add(struct slots *s, uint32_t n);
void slots_remove(struct slots *s, uint32_t n);
void slots_clear(struct slots *s);
bool slots_has(const struct slots *s, uint32_t n);
/* The smallest number >= @from in the set; count when there is none. */
uint32_t slots_next(const struct slots *s, uint32_t from);

/* slots_each(&set, n) { ... } */
#define slots_each(set, n) \
	for (uint32_t n = slots_next((set), 0); n < (set)->count; n = slots_next((set), n + 1))

#endif
