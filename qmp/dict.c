/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU keeps the members of an object in a hash table and looks at them, and prints them, in the
 * order of its buckets. Who wants to find the same first fault or print the same text needs the
 * same hash: that of the Trivial Database, over the decoded key in modified UTF-8.
 */
#include "qmp/dict.h"

#include "qmp/chars.h"

enum { BUCKETS = 512 };

static uint32_t decoded_length(struct span key)
{
	struct qmp_chars chars = { .token = key, .at = 1 };
	char bytes[4];
	size_t len = 0;
	int32_t cp;

	while ((cp = qmp_chars_next(&chars)) >= 0)
		len += qmp_utf8_encode(cp, bytes);
	return (uint32_t)len;
}

uint32_t qmp_dict_bucket(struct span key)
{
	struct qmp_chars chars = { .token = key, .at = 1 };
	uint32_t value = UINT32_C(0x238F13AF) * decoded_length(key);
	uint32_t i = 0;
	int32_t cp;

	while ((cp = qmp_chars_next(&chars)) >= 0) {
		char bytes[4];
		size_t n = qmp_utf8_encode(cp, bytes);

		for (size_t k = 0; k < n; k++, i++)
			value += (uint32_t)(uint8_t)bytes[k] << (i * 5 % 24);
	}
	return (UINT32_C(1103515243) * value + 12345) % BUCKETS;
}
