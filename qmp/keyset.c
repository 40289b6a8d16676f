/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keys seen in one text, as a hash table that never forgets: entries are told apart by the
 * serial of their object, so that nothing has to be taken out when an object closes. A text with
 * very many keys must not cost the square of their number: a client chooses them. The hash is
 * mixed with an address, which the client does not know. Called by grammar.c.
 */
#include "qmp/keyset.h"

#include <stdlib.h>

#include "qmp/chars.h"

void qmp_keyset_init(struct qmp_keyset *set)
{
	set->slots = set->first;
	set->size = QMP_KEYSET_FIRST;
	set->used = 0;
	memset(set->first, 0, sizeof(set->first));
}

void qmp_keyset_release(struct qmp_keyset *set)
{
	if (set->slots != set->first)
		free(set->slots);
	set->slots = NULL;
}

static uint32_t hash_key(const struct qmp_keyset *set, uint32_t object, struct span key)
{
	struct qmp_chars chars = { .token = key, .at = 1 };
	uint64_t h = (uint64_t)(uintptr_t)set ^ object * UINT64_C(0x9E3779B97F4A7C15);
	int32_t cp;

	while ((cp = qmp_chars_next(&chars)) >= 0) {
		h = (h ^ (uint32_t)cp) * UINT64_C(0xD6E8FEB86659FD93);
		h ^= h >> 32;
	}
	return (uint32_t)(h ^ h >> 16);
}

static bool same_characters(const struct qmp_key *slot, struct span key)
{
	struct qmp_chars a = { .token = { slot->p, slot->len }, .at = 1 };
	struct qmp_chars b = { .token = key, .at = 1 };
	int32_t x, y;

	if (slot->len == key.len && memcmp(slot->p, key.p, key.len) == 0)
		return true;
	do {
		x = qmp_chars_next(&a);
		y = qmp_chars_next(&b);
	} while (x == y && x >= 0);
	return x == y;
}

/* The slot of a key like this, or the free one where it belongs. */
static struct qmp_key *find(struct qmp_keyset *set, uint32_t object, uint32_t hash, struct span key)
{
	size_t i = hash & (set->size - 1);

	while (set->slots[i].p != NULL) {
		struct qmp_key *slot = &set->slots[i];

		if (slot->hash == hash && slot->object == object && same_characters(slot, key))
			return slot;
		i = (i + 1) & (set->size - 1);
	}
	return &set->slots[i];
}

static void grow(struct qmp_keyset *set)
{
	struct qmp_key *old = set->slots;
	size_t old_size = set->size;

	set->size *= 2;
	set->slots = calloc(set->size, sizeof(*set->slots));
	if (set->slots == NULL)
		abort();
	for (size_t i = 0; i < old_size; i++) {
		size_t to = old[i].hash & (set->size - 1);

		if (old[i].p == NULL)
			continue;
		while (set->slots[to].p != NULL)
			to = (to + 1) & (set->size - 1);
		set->slots[to] = old[i];
	}
	if (old != set->first)
		free(old);
}

bool qmp_keyset_add(struct qmp_keyset *set, uint32_t object, struct span key)
{
	uint32_t hash = hash_key(set, object, key);
	struct qmp_key *slot;

	if (set->used * 2 >= set->size)
		grow(set);
	slot = find(set, object, hash, key);
	if (slot->p != NULL)
		return false;
	*slot = (struct qmp_key){ key.p, key.len, object, hash };
	set->used++;
	return true;
}
