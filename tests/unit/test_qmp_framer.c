/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The framer: QEMU's texts and errors of whole streams, in both dialects, however they are split;
 * its limits; what must be kept. Expected texts: as QEMU 7.2 and 11.1 answered. */
#include "qmp/framer.h"

#include <stdlib.h>

#include "qmp/id.h"
#include "qmp/message.h"
#include "unit/qmp_fixture.h"

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}
#define OBJECT "rejected  QMP input must be a JSON object\n"
#define PARSE "error JSON parse error, "
#define VALUE PARSE "expecting value\n"

static const struct {
	struct span stream;
	const char *plain;
	const char *located; /* NULL: the same */
} streams[] = {
	{ BYTES(""), "", NULL },
	{ BYTES(" \t\r\n"), "", NULL },
	{ BYTES("{'execute':'a'}{\"execute\":\"b\"}\r\n[1] 5 \"x\" "),
	  "ok a\nok b\n" OBJECT OBJECT OBJECT, NULL },
	{ BYTES("5"), "", NULL },
	{ BYTES("true\n-0 1.5e+3 [1.0,2E-1]"), OBJECT OBJECT OBJECT OBJECT, NULL },
	{ BYTES("{\"id\":NaN,\"execute\":\"q\"}"),
	  PARSE "stray 'N'\n" VALUE OBJECT VALUE OBJECT VALUE,
	  "error 1:7: JSON parse error, stray 'N'\nerror 1:11: JSON parse error, expecting "
	  "value\n" OBJECT "error 1:20: JSON parse error, expecting value\n" OBJECT
	  "error 1:24: JSON parse error, expecting value\n" },
	{ BYTES("{\"a\":1 // c }"), PARSE "stray '/'\n" VALUE,
	  "error 1:8: JSON parse error, stray '/'\nerror 1:14: JSON parse error, expecting "
	  "value\n" },
	{ BYTES("\"execute\":\"query-\xff{}"),
	  OBJECT VALUE PARSE "stray '\"query-\xff'\nrejected  QMP input lacks member 'execute'\n",
	  OBJECT "error 1:10: JSON parse error, expecting value\n"
		 "error 1:11: JSON parse error, stray '\"query-\xff'\n"
		 "rejected  QMP input lacks member 'execute'\n" },
	{ BYTES("\xff"), PARSE "stray '\xff'\n", "error 1:1: JSON parse error, stray '\xff'\n" },
	{ BYTES("@\xff"), PARSE "stray '@'\n" PARSE "stray '\xff'\n",
	  "error 1:1: JSON parse error, stray '@'\nerror 1:3: JSON parse error, stray '\xff'\n" },
	{ BYTES("\0"), PARSE "stray ''\n", "error 1:1: JSON parse error, stray ''\n" },
	{ BYTES("\"a\0b\" 1\n2 "), PARSE "stray '\"a'\n" OBJECT,
	  "error 1:1: JSON parse error, stray '\"a'\n" OBJECT },
	{ BYTES("\"\\\n\""), PARSE "stray '\"\\\n'\n",
	  "error 1:1: JSON parse error, stray '\"\\\n'\n" },
	{ BYTES("'a\tb' ["), PARSE "stray ''a\t'\n",
	  "error 1:1: JSON parse error, stray ''a\t'\n" },
	{ BYTES("'a\\\x01"), PARSE "stray ''a\\\x01'\n",
	  "error 1:1: JSON parse error, stray ''a\\\x01'\n" },
	{ BYTES("01 "), PARSE "stray '01'\n", "error 1:1: JSON parse error, stray '01'\n" },
	{ BYTES("[-]"), PARSE "stray '-]'\n", "error 1:2: JSON parse error, stray '-]'\n" },
	{ BYTES("[1.]"), PARSE "stray '1.]'\n", "error 1:2: JSON parse error, stray '1.]'\n" },
	{ BYTES("[1e]"), PARSE "stray '1e]'\n", "error 1:2: JSON parse error, stray '1e]'\n" },
	{ BYTES("[1e+]"), PARSE "stray '1e+]'\n", "error 1:2: JSON parse error, stray '1e+]'\n" },
	{ BYTES("0e1 "), OBJECT PARSE "invalid keyword 'e'\n" OBJECT,
	  OBJECT "error 1:3: JSON parse error, invalid keyword 'e'\n" OBJECT },
	{ BYTES("%p"), PARSE "stray '%'\n", "error 1:1: JSON parse error, stray '%'\n" },
	{ BYTES("[}]"), VALUE VALUE,
	  "error 1:2: JSON parse error, expecting value\nerror 1:3: JSON parse error, expecting "
	  "value\n" },
	{ BYTES("[1}"), PARSE "expected separator in list\n",
	  "error 1:4: JSON parse error, expected ',' or ']'\n" },
	{ BYTES("}1]:"), VALUE OBJECT VALUE VALUE,
	  "error 1:1: JSON parse error, expecting value\n" OBJECT
	  "error 1:4: JSON parse error, expecting value\nerror 1:4: JSON parse error, expecting "
	  "value\n" },
	{ BYTES("\n\n {\"a\":\n nul}"), PARSE "invalid keyword 'nul'\n",
	  "error 4:2: JSON parse error, invalid keyword 'nul'\n" },
	/* 11.1 names the first fault of a text, also when a lexical one follows. */
	{ BYTES("[1 2 @ ]"), PARSE "stray '@'\n" VALUE,
	  "error 1:4: JSON parse error, expected ',' or ']'\nerror 1:9: JSON parse error, "
	  "expecting value\n" },
	{ BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	  PARSE "stray 'G'\n" PARSE "stray 'H'\n" VALUE PARSE "invalid keyword 'x'\n",
	  "error 1:1: JSON parse error, stray 'G'\nerror 2:1: JSON parse error, stray 'H'\n"
	  "error 2:6: JSON parse error, expecting value\n"
	  "error 2:7: JSON parse error, invalid keyword 'x'\n" },
};

enum { STREAMS = sizeof(streams) / sizeof(streams[0]) };

static const char *expected(int i, enum qmp_dialect dialect)
{
	if (dialect == QMP_DIALECT_LOCATED && streams[i].located != NULL)
		return streams[i].located;
	return streams[i].plain;
}

START_TEST(whole_streams)
{
	for (uint16_t dialect = 0; dialect < 2; dialect++) {
		AUTO_READING struct reading r = READING_INIT;

		r.framer.dialect = dialect;
		reading_feed(&r, streams[_i].stream);
		assert_text(&r.out, expected(_i, dialect));
		ck_assert_uint_eq(r.framer.pos, streams[_i].stream.len);
	}
}
END_TEST

START_TEST(every_split_in_two)
{
	struct span s = streams[_i].stream;

	for (size_t cut = 0; cut <= s.len; cut++) {
		AUTO_READING struct reading whole = READING_INIT;
		AUTO_READING struct reading r = READING_INIT;

		whole.framer.dialect = r.framer.dialect = QMP_DIALECT_LOCATED;
		reading_feed(&whole, s);
		reading_feed(&r, span_cut(s, 0, cut));
		reading_feed(&r, span_cut(s, cut, s.len));
		assert_text(&r.out, expected(_i, QMP_DIALECT_LOCATED));
		ck_assert_mem_eq(&r.framer, &whole.framer, sizeof(r.framer));
	}
}
END_TEST

/* All streams behind one another, in pieces of random sizes. */
START_TEST(random_splits)
{
	AUTO_BUF struct qmp_buffer all = QMP_BUFFER_INIT(1 << 16);
	AUTO_READING struct reading whole = READING_INIT;

	for (int i = 0; i < STREAMS; i++) {
		qmp_buffer_add(&all, streams[i].stream);
		qmp_buffer_add(&all, SPAN("\xff\n"));
	}
	reading_feed(&whole, qmp_buffer_span(&all));
	srand(1);
	for (int round = 0; round < 200; round++) {
		AUTO_READING struct reading r = READING_INIT;
		size_t at = 0, len;

		for (; at < all.len; at += len) {
			len = (size_t)rand() % (1 + (size_t)rand() % 40) + 1;
			len = len < all.len - at ? len : all.len - at;
			reading_feed(&r, span_cut(qmp_buffer_span(&all), at, at + len));
		}
		ck_assert_uint_eq(r.out.len, whole.out.len);
		ck_assert_mem_eq(r.out.data, whole.out.data, whole.out.len);
		ck_assert_mem_eq(&r.framer, &whole.framer, sizeof(r.framer));
	}
}
END_TEST

START_TEST(says_what_must_be_kept)
{
	static const struct {
		const char *stream;
		uint64_t begin;
	} cases[] = {
		{ "", 0 },	     { " \n", 2 },	     { " \n{", 2 },
		{ " \n{ \"a\"", 2 }, { " 12", 1 },	     { "[] ", 3 },
		{ "[] tr", 3 },	     { "@ garbage 12", 12 }, { "@ garbage\n12", 10 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		AUTO_READING struct reading r = READING_INIT;

		reading_feed(&r, span_of(cases[i].stream));
		ck_assert_uint_eq(r.framer.begin, cases[i].begin);
	}
}
END_TEST

/* QEMU prints an id of -1e999 as -inf, which it would not read. */
START_TEST(infinity_from_qemu)
{
	const struct span reply = SPAN("{\"return\": {}, \"id\": [1, [-inf, inf, -nan]]}");
	struct qmp_framer f = { .flags = QMP_FRAMER_FROM_QEMU }, client = { 0 };
	struct qmp_message m;
	struct span client_id;
	struct qmp_error e;
	uint64_t number;
	size_t used;

	ck_assert_int_eq(qmp_framer_feed(&client, reply, &used), QMP_FRAMER_BAD);
	ck_assert_int_eq(qmp_framer_feed(&f, reply, &used), QMP_FRAMER_GOT);
	ck_assert_uint_eq(f.end, reply.len);
	ck_assert(qmp_reply_parse(reply, &m, &e));
	ck_assert(qmp_id_split(m.id, &number, &client_id));
	assert_span(client_id, "[-inf, inf, -nan]");
	ck_assert(qmp_reply_parse(SPAN("{\"return\": {}, \"id\": [1, -inf]}"), &m, &e));
	ck_assert(qmp_id_split(m.id, &number, &client_id));
	assert_span(client_id, "-inf");
}
END_TEST

static void nest(struct qmp_buffer *b, int depth, const char *open, const char *inner,
		 const char *shut)
{
	for (int i = 0; i < depth; i++)
		qmp_buffer_add(b, span_of(open));
	qmp_buffer_add(b, span_of(inner));
	for (int i = 0; i < depth; i++)
		qmp_buffer_add(b, span_of(shut));
}

static const struct {
	int depth;
	const char *open, *inner, *shut;
	const char *plain_first; /* the first line, in 7.2 and 10.0 */
	const char *located;	 /* all of it */
} nestings[] = {
	{ 1024, "[", "", "]", OBJECT, OBJECT },
	{ 1025, "[", "", "]", "error JSON nesting depth limit exceeded\n",
	  "error JSON nesting depth limit exceeded\n" },
	{ 1030, "[", "nul", "]", "error JSON nesting depth limit exceeded\n",
	  "error JSON nesting depth limit exceeded\n" },
	{ 1030, "[1 ", "", "]", "error JSON nesting depth limit exceeded\n",
	  "error 1:4: JSON parse error, expected ',' or ']'\n" },
	{ 1030, "{\"a\":", "1", "}", "error JSON nesting depth limit exceeded\n",
	  "error JSON nesting depth limit exceeded\n" },
	{ 1030, "[", "@", "", "error JSON nesting depth limit exceeded\n",
	  "error JSON nesting depth limit exceeded\n" },
};

START_TEST(deep_nesting)
{
	for (uint16_t dialect = 0; dialect < 2; dialect++) {
		AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 16);
		AUTO_READING struct reading r = READING_INIT;

		nest(&text, nestings[_i].depth, nestings[_i].open, nestings[_i].inner,
		     nestings[_i].shut);
		r.framer.dialect = dialect;
		reading_feed(&r, qmp_buffer_span(&text));
		if (dialect == QMP_DIALECT_PLAIN) {
			const char *first = nestings[_i].plain_first;

			ck_assert_uint_ge(r.out.len, strlen(first));
			ck_assert_mem_eq(r.out.data, first, strlen(first));
		} else {
			assert_text(&r.out, nestings[_i].located);
		}
		/* And afterwards it is as ever. */
		qmp_buffer_clear(&r.out);
		reading_feed(&r, SPAN("\n{'execute':'a'}"));
		assert_text(&r.out, "ok a\n");
	}
}
END_TEST

START_TEST(muted_texts_need_not_be_kept)
{
	AUTO_BUF struct qmp_buffer text = QMP_BUFFER_INIT(1 << 16);
	AUTO_READING struct reading r = READING_INIT;

	r.framer.dialect = QMP_DIALECT_LOCATED;
	nest(&text, 1100, "[", "\"abc", "");
	reading_feed(&r, qmp_buffer_span(&text));
	ck_assert_uint_eq(r.framer.begin, text.len);
}
END_TEST

/* Feed @piece @times, and then @last; the results but NEED_MORE are in @results. */
static unsigned feed_often(struct qmp_framer *f, struct span piece, size_t times, struct span last,
			   enum qmp_framer_result *results)
{
	unsigned count = 0;

	for (size_t i = 0; i <= times; i++) {
		struct span in = i < times ? piece : last;

		while (in.len > 0) {
			size_t used;
			enum qmp_framer_result what = qmp_framer_feed(f, in, &used);

			in = span_cut(in, used, in.len);
			if (what != QMP_FRAMER_NEED_MORE && count < 8)
				results[count++] = what;
		}
	}
	return count;
}

static void assert_error(const struct qmp_framer *f, const char *text)
{
	struct qmp_error e;

	qmp_framer_error(f, (struct span){ NULL, f->end - f->begin }, &e);
	ck_assert_str_eq(e.text, text);
}

START_TEST(as_many_tokens_as_may_be)
{
	enum qmp_framer_result results[8];
	struct qmp_framer f = { 0 };

	ck_assert_uint_eq(feed_often(&f, SPAN("["), 1, SPAN(""), results), 0);
	ck_assert_uint_eq(feed_often(&f, SPAN("1,"), QMP_MAX_TOKENS / 2 - 1, SPAN("]"), results),
			  1);
	ck_assert_int_eq(results[0], QMP_FRAMER_GOT);
}
END_TEST

START_TEST(one_token_too_many)
{
	enum qmp_framer_result results[8];
	struct qmp_framer f = { 0 };

	ck_assert_uint_eq(feed_often(&f, SPAN("[]"), 1, SPAN("["), results), 1);
	ck_assert_uint_eq(feed_often(&f, SPAN(",,"), QMP_MAX_TOKENS / 2 - 1, SPAN(","), results),
			  0);
	ck_assert_uint_eq(f.tokens, QMP_MAX_TOKENS);
	ck_assert_uint_eq(feed_often(&f, SPAN(""), 0, SPAN(","), results), 1);
	ck_assert_int_eq(results[0], QMP_FRAMER_BAD);
	assert_error(&f, "JSON token count limit exceeded");
	ck_assert_uint_eq(f.tokens, 0);
}
END_TEST

START_TEST(too_many_bytes)
{
	static const size_t mib = 1 << 20;
	enum qmp_framer_result results[8];
	char *block = malloc(mib);
	struct span piece = { block, mib };
	struct qmp_framer f = { 0 };

	ck_assert_ptr_nonnull(block);
	memset(block, 'k', mib);
	/* A string of 64 MiB less one byte is a token; one more byte is too much. */
	ck_assert_uint_eq(feed_often(&f, SPAN("\""), 1, SPAN(""), results), 0);
	ck_assert_uint_eq(feed_often(&f, piece, 63, span_cut(piece, 0, mib - 3), results), 0);
	ck_assert_uint_eq(feed_often(&f, SPAN("\""), 1, SPAN(""), results), 1);
	ck_assert_int_eq(results[0], QMP_FRAMER_GOT);
	ck_assert_uint_eq(f.end - f.begin, QMP_MAX_BYTES - 1);
	ck_assert_uint_eq(feed_often(&f, SPAN("'"), 1, SPAN(""), results), 0);
	ck_assert_uint_eq(feed_often(&f, piece, 63, span_cut(piece, 0, mib - 2), results), 0);
	ck_assert_uint_eq(feed_often(&f, SPAN("'"), 1, SPAN(""), results), 1);
	ck_assert_int_eq(results[0], QMP_FRAMER_BAD);
	assert_error(&f, "JSON token size limit exceeded");
	/* A token that does not end is cut off in its midst, and what follows is read afresh. */
	ck_assert_uint_eq(feed_often(&f, SPAN("'"), 1, SPAN(""), results), 0);
	ck_assert_uint_eq(feed_often(&f, piece, 63, span_cut(piece, 0, mib - 1), results), 0);
	ck_assert_uint_eq(feed_often(&f, SPAN("kx}"), 1, SPAN(""), results), 3);
	ck_assert_int_eq(results[0], QMP_FRAMER_BAD);
	ck_assert_int_eq(results[1], QMP_FRAMER_GOT);
	free(block);
}
END_TEST

START_TEST(words_of_long_tokens_are_cut)
{
	AUTO_READING struct reading r = READING_INIT;
	char long_token[QMP_ERROR_TEXT_MAX + 1000];

	memset(long_token, 'y', sizeof(long_token));
	long_token[0] = '"';
	long_token[sizeof(long_token) - 1] = '\x01';
	reading_feed(&r, (struct span){ long_token, sizeof(long_token) });
	ck_assert_uint_eq(r.out.len, strlen("error ") + QMP_ERROR_TEXT_MAX - 1 + 1);
}
END_TEST

START_TEST(words_of_11_1_are_cut_sooner)
{
	struct qmp_framer f = { .dialect = QMP_DIALECT_LOCATED };
	static char long_token[5003];
	struct span text = { long_token, sizeof(long_token) };
	struct qmp_error e;
	size_t used;

	memset(long_token, 'y', sizeof(long_token));
	long_token[0] = '"';
	long_token[sizeof(long_token) - 1] = '\x01';
	ck_assert_int_eq(qmp_framer_feed(&f, text, &used), QMP_FRAMER_BAD);
	qmp_framer_error(&f, text, &e);
	ck_assert_uint_eq(strlen(e.text), strlen("1:1: JSON parse error, ") + 1023);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("framer");
	TCase *c = tcase_create("framer");

	suite_add_tcase(s, c);
	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, whole_streams, 0, STREAMS);
	tcase_add_loop_test(c, every_split_in_two, 0, STREAMS);
	tcase_add_test(c, random_splits);
	tcase_add_test(c, says_what_must_be_kept);
	tcase_add_test(c, infinity_from_qemu);
	tcase_add_loop_test(c, deep_nesting, 0, sizeof(nestings) / sizeof(nestings[0]));
	tcase_add_test(c, muted_texts_need_not_be_kept);
	tcase_add_test(c, as_many_tokens_as_may_be);
	tcase_add_test(c, one_token_too_many);
	tcase_add_test(c, too_many_bytes);
	tcase_add_test(c, words_of_long_tokens_are_cut);
	tcase_add_test(c, words_of_11_1_are_cut_sooner);
	return run_tap(s);
}
