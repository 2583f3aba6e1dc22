/* Token ids of thousands of strings against tokenizers that others wrote (tests/golden/README.md),
 * for every vocabulary that this machine has.  A vocabulary that is not there is skipped, with a
 * word; where REALM_REQUIRE_MODELS is set (CI) its absence is a failure. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "support/cmocka_all.h"
#include "tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES   ((size_t)16 << 20)
#define MAX_STRING_BYTES ((size_t)4 << 20)
#define MIN_STRINGS      2000u
#define NO_IDS           0xFFFFFFFFu
#define DISPUTED         0xFFFFFFFEu
#define MAX_SHOWN        10u

/* Where a vocabulary may lie: a variable that names the file, or a file of the cache. */
struct golden {
    const char *name;
    const char *variable; /* NULL: none */
    const char *folder;   /* of the cache */
    const char *file;
    const char *kind;
    uint32_t max_disputed;
    enum {
        COMES_BACK,             /* decoding gives the text back, byte for byte */
        COMES_BACK_WITH_SPACES, /* the same, but U+2581 is a space to the vocabulary */
        CHANGES,                /* spaces are put before text that follows a special token */
    } decoding;
    const char *lost; /* bytes for which the vocabulary has no token: such text cannot come back */
};

struct tally {
    uint32_t n_compared;
    uint32_t n_unknown;
    uint32_t n_disputed;
    uint32_t n_wrong;
};

static bool find_file(const struct golden *golden, char path[1024])
{
    const char *given = golden->variable != NULL ? getenv(golden->variable) : NULL;
    const char *cache = getenv("REALM_CACHE_DIR");
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (given != NULL && given[0] != '\0') {
        (void)snprintf(path, 1024, "%s", given);
    } else if (cache != NULL && cache[0] != '\0') {
        (void)snprintf(path, 1024, "%s/%s/%s", cache, golden->folder, golden->file);
    } else if (xdg != NULL && xdg[0] != '\0') {
        (void)snprintf(path, 1024, "%s/realm/%s/%s", xdg, golden->folder, golden->file);
    } else {
        (void)snprintf(path,
                       1024,
                       "%s/.cache/realm/%s/%s",
                       home != NULL ? home : "",
                       golden->folder,
                       golden->file);
    }
    FILE *const file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    (void)fclose(file);
    return true;
}

static struct bytes read_golden(const char *name)
{
    char path[1024];
    struct realm_error error = {.status = REALM_OK};
    struct bytes out = {.length = 0};
    char *data = NULL;
    (void)snprintf(path, sizeof path, "%s/golden/tokenizer/%s", REALM_TEST_DATA, name);
    if (file_read(path, MAX_FILE_BYTES, &data, &out.length, &error) != REALM_OK) {
        fail_msg("%s: %s", path, error.message);
    }
    out.data = (const uint8_t *)data;
    return out;
}

static struct tokenizer *open_tokenizer(const char *path)
{
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct realm_error error = {.status = REALM_OK};
    if (gguf_open(path, &gguf, &error) != REALM_OK ||
        tokenizer_create(gguf, &tokenizer, &error) != REALM_OK) {
        fail_msg("%s: %s", path, error.message);
        return NULL;
    }
    gguf_close(gguf);
    return tokenizer;
}

static uint64_t hash_ids(const struct token_list *list)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < list->length * 4; i++) {
        const uint8_t byte = (uint8_t)(list->ids[i / 4] >> (i % 4 * 8));
        hash = (hash ^ byte) * 0x100000001B3u;
    }
    return hash;
}

static uint32_t take_u32(struct byte_cursor *cursor)
{
    uint32_t value = 0;
    assert_true(byte_cursor_u32(cursor, &value));
    return value;
}

/* The next string, repeated as it says. */
static uint32_t take_string(struct byte_cursor *cursor, struct strbuf *out)
{
    const uint32_t repeat = take_u32(cursor);
    struct bytes bytes = {.length = 0};
    assert_true(byte_cursor_take(cursor, take_u32(cursor), &bytes));
    strbuf_clear(out);
    for (uint32_t i = 0; i < repeat; i++) {
        strbuf_append(out, (const char *)bytes.data, bytes.length);
    }
    assert_false(out->failed);
    return repeat;
}

/* Compares with the next ids of the file; where there are none, says nothing against. */
static bool ids_agree(struct byte_cursor *ids,
                      uint32_t repeat,
                      const struct token_list *list,
                      struct tally *tally)
{
    const uint32_t n = take_u32(ids);
    if (n == NO_IDS || n == DISPUTED) {
        *(n == NO_IDS ? &tally->n_unknown : &tally->n_disputed) += 1;
        return true;
    }
    tally->n_compared++;
    bool same = n == list->length;
    if (repeat != 1) {
        uint64_t hash = 0;
        assert_true(byte_cursor_u64(ids, &hash));
        return same && hash == hash_ids(list);
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t id = take_u32(ids);
        same = same && list->ids[i] == id;
    }
    return same;
}

/* What decoding must give, in place.  False: nothing can be said. */
static bool expect_text(const struct golden *golden, struct strbuf *text)
{
    for (size_t i = 0; i < text->length && golden->lost != NULL; i++) {
        if (text->text[i] != '\0' && strchr(golden->lost, text->text[i]) != NULL) {
            return false;
        }
    }
    size_t length = 0;
    for (size_t i = 0; i < text->length && golden->decoding == COMES_BACK_WITH_SPACES; i++) {
        const bool mark = text->length - i >= 3 && memcmp(text->text + i, "\xE2\x96\x81", 3) == 0;
        text->text[length++] = mark ? ' ' : text->text[i];
        i += mark ? 2 : 0;
    }
    text->length = golden->decoding == COMES_BACK_WITH_SPACES ? length : text->length;
    return golden->decoding != CHANGES;
}

static bool comes_back(const struct golden *golden,
                       const struct tokenizer *tokenizer,
                       const struct token_list *list,
                       struct strbuf *text,
                       struct strbuf *back)
{
    if (!expect_text(golden, text)) {
        return true;
    }
    strbuf_clear(back);
    assert_true(tokenizer_decode(tokenizer, list->ids, list->length, true, true, back));
    return back->length == text->length && memcmp(back->text, text->text, text->length) == 0;
}

static void say_wrong(const struct tally *tally,
                      const char *what,
                      uint32_t number,
                      const struct token_list *list,
                      const struct strbuf *text)
{
    if (tally->n_wrong > MAX_SHOWN) {
        return;
    }
    print_message("  string %u (%zu bytes) %s:", number, text->length, what);
    for (size_t i = 0; i < 12 && i < text->length; i++) {
        print_message(" %02x", (uint8_t)text->text[i]);
    }
    print_message("; %zu ids:", list->length);
    for (size_t i = 0; i < 12 && i < list->length; i++) {
        print_message(" %u", list->ids[i]);
    }
    print_message("\n");
}

static void compare(const struct golden *golden, const struct tokenizer *tokenizer)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.ids.bin", golden->name);
    const struct bytes strings_file = read_golden("strings.bin");
    const struct bytes ids_file = read_golden(name);
    struct byte_cursor strings = {.bytes = strings_file};
    struct byte_cursor ids = {.bytes = ids_file};
    const uint32_t n = take_u32(&strings);
    assert_int_equal(take_u32(&ids), n);
    struct tally tally = {.n_wrong = 0};
    struct token_list list = {.ids = NULL};
    struct strbuf text;
    struct strbuf back;
    strbuf_init(&text, ALLOC_TEST, MAX_STRING_BYTES);
    strbuf_init(&back, ALLOC_TEST, MAX_STRING_BYTES);
    const struct tokenizer_encode_options options = {.parse_special = true};
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t repeat = take_string(&strings, &text);
        list.length = 0;
        struct realm_error error = {.status = REALM_OK};
        if (tokenizer_encode(tokenizer, text.text, text.length, options, &list, &error) !=
            REALM_OK) {
            fail_msg("%s, string %u: %s", golden->name, i, error.message);
        }
        if (!ids_agree(&ids, repeat, &list, &tally)) {
            tally.n_wrong++;
            say_wrong(&tally, "has other ids", i, &list, &text);
        }
        if (!comes_back(golden, tokenizer, &list, &text, &back)) {
            tally.n_wrong++;
            say_wrong(&tally, "does not come back", i, &list, &text);
        }
    }
    print_message("%s: %u strings compared, %u without ids, %u disputed, %u wrong\n",
                  golden->name,
                  tally.n_compared,
                  tally.n_unknown,
                  tally.n_disputed,
                  tally.n_wrong);
    assert_int_equal(tally.n_wrong, 0);
    assert_true(tally.n_compared >= MIN_STRINGS && tally.n_disputed <= golden->max_disputed);
    token_list_deinit(&list);
    strbuf_deinit(&text);
    strbuf_deinit(&back);
    alloc_free((void *)(uintptr_t)strings_file.data);
    alloc_free((void *)(uintptr_t)ids_file.data);
}

static void ids_are_those_of_the_oracles(void **state)
{
    const struct golden *const golden = *state;
    char path[1024];
    if (!find_file(golden, path)) {
        const char *const required = getenv("REALM_REQUIRE_MODELS");
        print_message("%s: skipped, there is no %s; tools/fetch_model.sh and "
                      "tools/make_golden/fetch_vocabs.py fetch vocabularies\n",
                      golden->name,
                      path);
        if (required != NULL && strcmp(required, "1") == 0) {
            fail_msg("%s is not there and REALM_REQUIRE_MODELS is set", path);
        }
        skip();
    }
    struct tokenizer *const tokenizer = open_tokenizer(path);
    assert_string_equal(tokenizer_kind(tokenizer), golden->kind);
    compare(golden, tokenizer);
    tokenizer_destroy(tokenizer);
}

#define SMOLLM2_LOST                                                                               \
    "\x04\x06\x13\x14\x16\x1d\xc0\xc1\xf1\xf2\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff"

static struct golden goldens[] = {
    {"smollm2",
     "REALM_MODEL_SMOLLM2",
     "models",
     "SmolLM2-135M-Instruct.Q4_1.gguf",
     "bpe/smollm",
     0,
     COMES_BACK,
     SMOLLM2_LOST},
    {"gemma3",
     "REALM_MODEL_GEMMA3",
     "models",
     "gemma-3-270m-q4_k_m.gguf",
     "spm",
     20,
     COMES_BACK_WITH_SPACES,
     NULL},
    {"gpt-2", NULL, "vocab", "gpt-2.gguf", "bpe/gpt-2", 0, COMES_BACK, NULL},
    {"llama-3", NULL, "vocab", "llama-3.gguf", "bpe/llama-bpe", 0, COMES_BACK, NULL},
    {"qwen2", NULL, "vocab", "qwen2.gguf", "bpe/qwen2", 9, COMES_BACK, NULL},
    {"llama-2", NULL, "vocab", "llama-2.gguf", "spm", 1, CHANGES, NULL},
};

#define GOLDEN_TEST(i, what)                                                                       \
    {.name = "ids_are_those_of_the_oracles: " what,                                                \
     .test_func = ids_are_those_of_the_oracles,                                                    \
     .initial_state = &goldens[i]}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GOLDEN_TEST(0, "smollm2"),
        GOLDEN_TEST(1, "gemma3"),
        GOLDEN_TEST(2, "gpt-2"),
        GOLDEN_TEST(3, "llama-3"),
        GOLDEN_TEST(4, "qwen2"),
        GOLDEN_TEST(5, "llama-2"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
