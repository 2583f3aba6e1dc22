/* Tokens to text that may be shown, over a vocabulary whose first 256 tokens are the bytes. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"
#include "tokenizer/text_stream.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT  2048u
#define MAX_STOPS 6u

static struct gguf *gguf;
static struct tokenizer *tokenizer;

static int open_tokenizer(void **state)
{
    (void)state;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/golden/models/llama_tied.gguf", REALM_TEST_DATA);
    return gguf_open(path, &gguf, NULL) != REALM_OK ||
           tokenizer_create(gguf, &tokenizer, NULL) != REALM_OK;
}

static int close_tokenizer(void **state)
{
    (void)state;
    tokenizer_destroy(tokenizer);
    gguf_close(gguf);
    return 0;
}

struct text {
    uint8_t bytes[MAX_TEXT];
    size_t length;
};

static void add(struct text *text, struct bytes more)
{
    assert_true(text->length + more.length <= MAX_TEXT);
    if (more.length > 0) {
        memcpy(text->bytes + text->length, more.data, more.length);
    }
    text->length += more.length;
}

static void assert_text(const struct text *text, const char *wanted)
{
    if (text->length != strlen(wanted) || memcmp(text->bytes, wanted, text->length) != 0) {
        fail_msg("\"%.*s\" and not \"%s\"", (int)text->length, text->bytes, wanted);
    }
}

static struct text_stream *create(const char *const *stops, uint32_t n_stops, bool special)
{
    struct bytes views[MAX_STOPS];
    struct text_stream *stream;
    struct realm_error error;
    for (uint32_t i = 0; i < n_stops; i++) {
        views[i] = (struct bytes){(const uint8_t *)stops[i], strlen(stops[i])};
    }
    if (text_stream_create(tokenizer, views, n_stops, special, &stream, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return stream;
}

/* Byte by byte; what is shown is added to `shown`.  True: a stop came. */
static bool push_bytes(struct text_stream *stream, const char *bytes, struct text *shown)
{
    for (size_t i = 0; bytes[i] != '\0'; i++) {
        struct bytes text;
        const bool stopped = text_stream_push(stream, (uint8_t)bytes[i], &text);
        add(shown, text);
        if (stopped) {
            return true;
        }
    }
    return false;
}

/* With one stop, the whole text byte by byte, and its end. */
static void check(const char *stop, const char *bytes, bool wanted_stop, const char *wanted)
{
    struct text shown = {.length = 0};
    struct text_stream *const stream = create(&stop, stop != NULL ? 1 : 0, false);
    assert_int_equal(push_bytes(stream, bytes, &shown), wanted_stop);
    add(&shown, text_stream_finish(stream));
    assert_text(&shown, wanted);
    text_stream_destroy(stream);
}

static void a_character_is_shown_when_it_is_whole(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x99\x82"};
    struct text_stream *const stream = create(NULL, 0, false);
    for (size_t c = 0; c < 4; c++) {
        const size_t length = strlen(characters[c]);
        for (size_t i = 0; i < length; i++) {
            struct bytes text;
            assert_false(text_stream_push(stream, (uint8_t)characters[c][i], &text));
            assert_int_equal(text.length, i + 1 == length ? length : 0);
        }
    }
    text_stream_destroy(stream);
}

static void stops_end_the_text_wherever_tokens_cut_them(void **state)
{
    (void)state;
    check(NULL, "plain", false, "plain");
    check("END", "some END more", true, "some ");
    check("END", "some EN", false, "some EN");
    check("END", "ENEND", true, "EN");
    check("aab", "aaab", true, "a");
    check("abab", "abaabab", true, "aba");
    check("x", "x", true, "");
    check("\n\n", "a\n b\n\nc", true, "a\n b");
}

static void stops_meet_characters_of_several_bytes(void **state)
{
    (void)state;
    /* The stop is the character's neighbour, the character itself, or begins with its first bytes.
     */
    check("!", "\xe2\x82\xac!", true, "\xe2\x82\xac");
    check("\xe2\x82\xac", "a\xe2\x82\xac", true, "a");
    check("\xe2\x82\xac", "a\xe2\x82\xad", false, "a\xe2\x82\xad");
    check("\xc3\xa9t", "\xc3\xa9\xc3\xa9t", true, "\xc3\xa9");
    check("t\xc3\xa9", "t\xc3\xa8", false, "t\xc3\xa8");
}

static void a_cut_character_becomes_one_replacement(void **state)
{
    (void)state;
    check(NULL, "a\xf0\x9f\x99", false, "a\xef\xbf\xbd");
    check("\xf0\x9f\x99\x82", "a\xf0\x9f\x99", false, "a\xef\xbf\xbd");
    check(NULL, "a\xc3", false, "a\xef\xbf\xbd");
}

static void of_overlapping_stops_the_one_that_begins_first_wins(void **state)
{
    (void)state;
    static const char *const stops[] = {"bcd", "abcde", "c"};
    struct text shown = {.length = 0};
    struct text_stream *stream = create(stops, 2, false);
    assert_true(push_bytes(stream, "xabcd", &shown)); /* "bcd" is complete before "abcde" */
    assert_text(&shown, "xa");
    text_stream_destroy(stream);
    shown.length = 0;
    stream = create(stops + 1, 2, false);
    assert_true(push_bytes(stream, "xabc", &shown));
    assert_text(&shown, "xab");
    text_stream_destroy(stream);
}

static void nothing_follows_a_stop(void **state)
{
    (void)state;
    static const char *const stop = ".";
    struct text shown = {.length = 0};
    struct bytes text;
    struct text_stream *const stream = create(&stop, 1, false);
    assert_true(push_bytes(stream, "One.", &shown));
    assert_true(text_stream_push(stream, 'T', &text));
    assert_int_equal(text.length, 0);
    assert_int_equal(text_stream_finish(stream).length, 0);
    text_stream_destroy(stream);
}

static void special_tokens_are_text_when_asked_for(void **state)
{
    (void)state;
    const token_id end = tokenizer_eos(tokenizer);
    for (uint32_t special = 0; special < 2; special++) {
        struct bytes text;
        struct text_stream *const stream = create(NULL, 0, special == 1);
        assert_false(text_stream_push(stream, end, &text));
        assert_int_equal(text.length > 0, special);
        text_stream_destroy(stream);
    }
}

/* --- the reference: all text so far, judged anew after every token ------------------------------
 */

static bool ends_with_part(const struct text *all, const char *stop, size_t n)
{
    return n <= all->length && memcmp(all->bytes + all->length - n, stop, n) == 0;
}

/* How much of the text may be shown; *stopped: a stop string is in it. */
static size_t
may_show(const struct text *all, const char *const *stops, uint32_t n_stops, bool *stopped)
{
    size_t held = 0;
    for (size_t at = 0; at < all->length; at++) {
        for (uint32_t i = 0; i < n_stops; i++) {
            const size_t n = strlen(stops[i]);
            if (at + n <= all->length && memcmp(all->bytes + at, stops[i], n) == 0) {
                *stopped = true;
                return at;
            }
        }
    }
    for (uint32_t i = 0; i < n_stops; i++) {
        for (size_t n = 1; n < strlen(stops[i]); n++) {
            held = n > held && ends_with_part(all, stops[i], n) ? n : held;
        }
    }
    *stopped = false;
    return utf8_complete_prefix(all->bytes, all->length - held);
}

static void random_stops(struct test_random *random, char stops[MAX_STOPS][8], uint32_t n)
{
    static const char alphabet[] = "ab\xc3\xa9";
    for (uint32_t i = 0; i < n; i++) {
        const size_t length = 1 + test_random_below(random, 5);
        for (size_t c = 0; c < length; c++) {
            stops[i][c] = alphabet[test_random_below(random, 4)];
        }
        stops[i][length] = '\0';
    }
}

static void random_streams_are_those_of_the_reference(void **state)
{
    (void)state;
    static const token_id alphabet[] = {'a', 'b', 0xc3, 0xa9, 0xe2, 0x82, 0xac};
    struct test_random random;
    test_random_init(&random, "random_streams");
    for (uint32_t round = 0; round < 3000; round++) {
        char texts[MAX_STOPS][8];
        const char *stops[MAX_STOPS];
        const uint32_t n_stops = (uint32_t)test_random_below(&random, MAX_STOPS + 1);
        random_stops(&random, texts, n_stops);
        for (uint32_t i = 0; i < n_stops; i++) {
            stops[i] = texts[i];
        }
        struct text_stream *const stream = create(stops, n_stops, false);
        struct text all = {.length = 0};
        struct text shown = {.length = 0};
        bool stopped = false;
        for (uint32_t i = 0; i < 40 && !stopped; i++) {
            /* Mostly letters; some tokens of several bytes. */
            const token_id token = test_random_below(&random, 6) == 0
                                       ? 256 + (token_id)test_random_below(&random, 64)
                                       : alphabet[test_random_below(&random, 7)];
            struct bytes text;
            bool wanted_stop;
            add(&all, tokenizer_token_bytes(tokenizer, token, false));
            stopped = text_stream_push(stream, token, &text);
            add(&shown, text);
            const size_t wanted = may_show(&all, stops, n_stops, &wanted_stop);
            assert_int_equal(stopped, wanted_stop);
            assert_int_equal(shown.length, wanted);
            assert_memory_equal(shown.bytes, all.bytes, wanted);
        }
        add(&shown, text_stream_finish(stream));
        if (!stopped) {
            const size_t whole = utf8_complete_prefix(all.bytes, all.length);
            assert_memory_equal(shown.bytes, all.bytes, whole);
            assert_int_equal(shown.length, whole + (whole < all.length ? 3 : 0));
        }
        text_stream_destroy(stream);
    }
}

static void bad_stops_are_refused_by_index(void **state)
{
    (void)state;
    static const uint8_t long_stop[257] = {'x'};
    const struct bytes bad[][2] = {{{(const uint8_t *)"a", 1}, {long_stop, 0}},
                                   {{(const uint8_t *)"a", 1}, {long_stop, sizeof long_stop}}};
    struct text_stream *stream;
    struct realm_error error;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(text_stream_create(tokenizer, bad[i], 2, false, &stream, &error),
                         REALM_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "stop string 1"));
        assert_null(stream);
    }
    static const struct bytes many[65];
    assert_int_equal(text_stream_create(tokenizer, many, 65, false, &stream, &error),
                     REALM_INVALID_ARGUMENT);
}

static void a_push_allocates_nothing_and_stays_below_its_maximum(void **state)
{
    (void)state;
    static const char *const stop = "abababab";
    struct text_stream *const stream = create(&stop, 1, true);
    const uint64_t before = alloc_count();
    for (uint32_t i = 0; i < 5000; i++) {
        struct bytes text;
        (void)text_stream_push(
            stream, i % 3 == 2 ? i % tokenizer_vocabulary(tokenizer) : 'a', &text);
        assert_true(text.length <= text_stream_max_bytes(stream));
    }
    assert_int_equal(alloc_count(), before);
    text_stream_destroy(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_is_shown_when_it_is_whole),
        cmocka_unit_test(stops_end_the_text_wherever_tokens_cut_them),
        cmocka_unit_test(stops_meet_characters_of_several_bytes),
        cmocka_unit_test(a_cut_character_becomes_one_replacement),
        cmocka_unit_test(of_overlapping_stops_the_one_that_begins_first_wins),
        cmocka_unit_test(nothing_follows_a_stop),
        cmocka_unit_test(special_tokens_are_text_when_asked_for),
        cmocka_unit_test(random_streams_are_those_of_the_reference),
        cmocka_unit_test(bad_stops_are_refused_by_index),
        cmocka_unit_test(a_push_allocates_nothing_and_stays_below_its_maximum),
    };
    return cmocka_run_group_tests(tests, open_tokenizer, close_tokenizer);
}
