/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include <stdbool.h>

#include "policy/policy_reader.h"

/* The keys and words of policies and recipes. */

enum policy_table {
	TABLE_POLICY,
	TABLE_LISTEN,
	TABLE_LIMITS,
	TABLE_BACKEND,
	TABLE_BACKOFF,
	TABLE_BUDGET,
	TABLE_RECIPE,
	TABLE_PARAMETER,
	TABLE_COMMAND,
	TABLE_RULE,
	TABLE_TRIGGER_BACKEND,
	TABLE_TRIGGER_EVENT,
	TABLE_STEP_START,
	TABLE_STEP_AWAIT,
	TABLE_AWAIT,
	TABLE_COUNT,
};

enum policy_words { WORDS_ACCESS, WORDS_READY, WORDS_VERDICT, WORDS_IS, WORDS_COUNT };

/* Is @object an object with known keys of the right types and all required ones? Members of
 * @extra (NULL: none) are known keys too, whose values are strings; @extra == @object: every key
 * is known. */
bool reader_keys(struct policy_reader *r, const struct json *object, enum policy_table table,
		 const struct json *extra);
/* The member @key of @object when it is there and of this type, or NULL: reader_keys() has
 * reported what is wrong. */
const struct json *reader_get(const struct json *object, const char *key, enum json_type type);
/* The value of a word, or false with an error that lists the words. */
bool reader_word(struct policy_reader *r, const struct json *value, const char *text,
		 enum policy_words words, unsigned *out) __attribute__((warn_unused_result));
const char *policy_word(enum policy_words words, unsigned value);
/* A key that backends have whatever their recipe. */
bool policy_is_backend_key(const char *key);
/* The member of @words (NULL-terminated) that @text may have meant, or NULL. */
const char *policy_nearest(const char *text, const char *const *words);

#endif
