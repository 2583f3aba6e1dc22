/* Constraints over a vocabulary of bytes and a few words. */
#include "base/clock.h"
#include "sample/constraint.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define N_BYTES  256u
#define MAX_TEXT 4096u

static const char *const words[] = {
    "\"name\"", "true", "abc", ": ", "{\"", "12", "<|tool|>", "<|end|>", "<|im|>"};

#define N_WORDS   ((uint32_t)(sizeof words / sizeof words[0]))
#define TOOL      (N_BYTES + N_WORDS - 3)
#define END       (N_BYTES + N_WORDS - 2)
#define OTHER_END (N_BYTES + N_WORDS - 1)
#define N_TOKENS  (N_BYTES + N_WORDS)

static uint8_t all_bytes[N_BYTES];
static struct constraint_vocabulary *vocabulary;

static struct bytes token_text(const void *context, token_id token, bool *special)
{
    (void)context;
    *special = token >= TOOL;
    if (token < N_BYTES) {
        return (struct bytes){&all_bytes[token], 1};
    }
    const char *const word = words[token - N_BYTES];
    return (struct bytes){(const uint8_t *)word, strlen(word)};
}

static int make_vocabulary(void **state)
{
    (void)state;
    static const token_id ends[] = {END, OTHER_END};
    for (uint32_t i = 0; i < N_BYTES; i++) {
        all_bytes[i] = (uint8_t)i;
    }
    const struct constraint_tokens tokens = {
        .n_tokens = N_TOKENS, .text = token_text, .ends = ends, .n_ends = 2};
    return constraint_vocabulary_create(&tokens, &vocabulary, NULL) != REALM_OK;
}

static int drop_vocabulary(void **state)
{
    (void)state;
    constraint_vocabulary_destroy(vocabulary);
    return 0;
}

static realm_status try_create(enum constraint_kind kind,
                               const char *text,
                               struct constraint **out,
                               struct realm_error *error)
{
    const struct constraint_rule rule = {kind, {(const uint8_t *)text, strlen(text)}};
    return constraint_create(vocabulary, &rule, out, error);
}

static struct constraint *create(enum constraint_kind kind, const char *text)
{
    struct constraint *constraint;
    struct realm_error error;
    if (try_create(kind, text, &constraint, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return constraint;
}

static bool allows(struct constraint *constraint, token_id token)
{
    const uint32_t *mask;
    struct realm_error error;
    if (constraint_mask(constraint, &mask, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return (mask[token / 32] >> token % 32 & 1) != 0;
}

/* Byte by byte as far as it is allowed; returns how many bytes. */
static size_t walk(struct constraint *constraint, const char *text)
{
    size_t i = 0;
    while (text[i] != '\0' && allows(constraint, (uint8_t)text[i])) {
        assert_int_equal(constraint_accept(constraint, (uint8_t)text[i], NULL), REALM_OK);
        i++;
    }
    return i;
}

/* Allowed tokens at random until an end; returns the text, and how often it was that long. */
static void
random_text(struct constraint *constraint, struct test_random *random, char text[MAX_TEXT])
{
    size_t length = 0;
    while (!constraint_is_complete(constraint) && length + 16 < MAX_TEXT) {
        const uint32_t *mask;
        token_id allowed[N_TOKENS];
        uint32_t n = 0;
        assert_int_equal(constraint_mask(constraint, &mask, NULL), REALM_OK);
        for (token_id token = 0; token < N_TOKENS; token++) {
            if (mask[token / 32] >> token % 32 & 1) {
                allowed[n++] = token;
            }
        }
        assert_true(n > 0);
        const token_id token = allowed[test_random_below(random, n)];
        assert_int_equal(constraint_accept(constraint, token, NULL), REALM_OK);
        if (token >= END) {
            assert_true(constraint_is_complete(constraint));
            break;
        }
        bool special;
        const struct bytes bytes = token_text(NULL, token, &special);
        memcpy(text + length, bytes.data, bytes.length);
        length += bytes.length;
    }
    assert_true(constraint_is_complete(constraint));
    text[length] = '\0';
}

static void random_texts_match_the_regex(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "[a-c]{2,4}x", "(yes|no|abc)", "12?(34)*", "[0-9]{1,3}(\\.[0-9]{2})?", "a.?b"};
    struct test_random random;
    test_random_init(&random, "random_texts_match_the_regex");
    for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
        char anchored[64];
        regex_t judge;
        (void)strcpy(anchored, "^(");
        (void)strcat(anchored, patterns[p]);
        (void)strcat(anchored, ")$");
        assert_int_equal(regcomp(&judge, anchored, REG_EXTENDED | REG_NOSUB), 0);
        struct constraint *const start = create(CONSTRAINT_REGEX, patterns[p]);
        for (uint32_t round = 0; round < 40; round++) {
            char text[MAX_TEXT];
            struct constraint *run;
            assert_int_equal(constraint_fork(start, &run, NULL), REALM_OK);
            random_text(run, &random, text);
            /* The judge reads bytes in the C locale; one character may be several of them. */
            if (p != 4 && regexec(&judge, text, 0, NULL, 0) != 0) {
                fail_msg("%s does not match %s", text, patterns[p]);
            }
            constraint_destroy(run);
        }
        constraint_destroy(start);
        regfree(&judge);
    }
}

static void a_schema_allows_what_it_describes_and_nothing_else(void **state)
{
    (void)state;
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": "
        "5}, "
        "\"age\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 150}}, "
        "\"required\": [\"name\", \"age\"], \"additionalProperties\": false}";
    static const struct {
        const char *text;
        size_t n_allowed;
        bool complete;
    } cases[] = {
        {"{\"name\": \"Bob\", \"age\": 42}", 26, true},
        {"{\"name\":\"Bob\",\"age\":150}", 24, true},
        {"{\"name\": \"Bob\", \"age\": 151}", 25, false},
        {"{\"name\": \"Robert\"", 15, false},
        {"{\"nose\"", 3, false},
        {"[", 0, false},
        {"{}", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct constraint *const constraint = create(CONSTRAINT_JSON_SCHEMA, schema);
        assert_int_equal(walk(constraint, cases[i].text), cases[i].n_allowed);
        assert_int_equal(constraint_is_complete(constraint), cases[i].complete);
        assert_int_equal(constraint_is_satisfied(constraint), cases[i].complete);
        constraint_destroy(constraint);
    }
}

/* A token of several bytes passes where its bytes pass one by one; a special token's name never. */
static void words_are_allowed_where_their_bytes_are(void **state)
{
    (void)state;
    struct constraint *constraint = create(CONSTRAINT_REGEX, "x?abcd");
    assert_true(allows(constraint, N_BYTES + 2)); /* abc */
    assert_false(allows(constraint, N_BYTES + 1));
    assert_int_equal(walk(constraint, "xa"), 2);
    assert_false(allows(constraint, N_BYTES + 2));
    constraint_destroy(constraint);
    constraint = create(CONSTRAINT_REGEX, "[<>|a-z]*!");
    assert_true(allows(constraint, '<'));
    assert_false(allows(constraint, END));
    constraint_destroy(constraint);
}

/* The byte by which llguidance marks special tokens is a token of its own, too. */
static void a_grammar_may_name_a_special_token(void **state)
{
    (void)state;
    struct constraint *const constraint = create(CONSTRAINT_LARK, "start: \"a\" <|tool|> \"b\"");
    assert_int_equal(walk(constraint, "a"), 1);
    assert_true(allows(constraint, TOOL));
    assert_false(allows(constraint, 0xff));
    assert_false(allows(constraint, '<'));
    assert_int_equal(constraint_accept(constraint, TOOL, NULL), REALM_OK);
    assert_int_equal(walk(constraint, "b"), 1);
    assert_true(constraint_is_complete(constraint));
    constraint_destroy(constraint);
}

static void both_ends_are_allowed_where_the_text_may_end(void **state)
{
    (void)state;
    struct constraint *const constraint = create(CONSTRAINT_REGEX, "ab*");
    assert_false(allows(constraint, END));
    assert_int_equal(walk(constraint, "ab"), 2);
    assert_true(constraint_is_satisfied(constraint) && !constraint_is_complete(constraint));
    assert_true(allows(constraint, END) && allows(constraint, OTHER_END));
    assert_true(allows(constraint, 'b') && !allows(constraint, 'c'));
    assert_int_equal(constraint_accept(constraint, OTHER_END, NULL), REALM_OK);
    assert_true(constraint_is_complete(constraint));
    constraint_destroy(constraint);
}

static void rollback_and_fork_keep_the_state(void **state)
{
    (void)state;
    struct constraint *const constraint =
        create(CONSTRAINT_LARK, "start: \"a\" (\"b\" | \"c\") \"d\"");
    struct constraint *fork;
    assert_int_equal(walk(constraint, "ab"), 2);
    assert_int_equal(constraint_fork(constraint, &fork, NULL), REALM_OK);
    assert_int_equal(constraint_rollback(constraint, 1, NULL), REALM_OK);
    assert_true(allows(constraint, 'c') && allows(constraint, 'b') && !allows(constraint, 'd'));
    assert_int_equal(walk(constraint, "cd"), 2);
    assert_true(constraint_is_complete(constraint));
    assert_true(allows(fork, 'd') && !allows(fork, 'c'));
    assert_int_equal(constraint_rollback(constraint, 3, NULL), REALM_OK);
    assert_int_equal(walk(constraint, "abd"), 3);
    struct realm_error error;
    assert_int_equal(constraint_rollback(constraint, 4, &error), REALM_INVALID_ARGUMENT);
    constraint_destroy(constraint);
    constraint_destroy(fork);
}

static void a_token_that_the_mask_forbids_is_refused(void **state)
{
    (void)state;
    struct constraint *const constraint = create(CONSTRAINT_REGEX, "abc");
    struct realm_error error;
    assert_int_equal(constraint_accept(constraint, 'b', &error), REALM_INVALID_ARGUMENT);
    assert_true(strlen(error.message) > 20);
    assert_false(constraint_is_complete(constraint));
    constraint_destroy(constraint);
}

static void json_objects_are_open_and_whitespace_is_bounded(void **state)
{
    (void)state;
    static const char text[] =
        "{\n  \"a\": [1, 2.5e3, null, \"\xc3\xa4\\n\"],\n  \"b\": {\"c\": true}\n}";
    struct constraint *constraint = create(CONSTRAINT_JSON_OBJECT, "");
    assert_int_equal(walk(constraint, text), strlen(text));
    assert_true(constraint_is_complete(constraint));
    constraint_destroy(constraint);
    constraint = create(CONSTRAINT_JSON_OBJECT, "");
    assert_int_equal(walk(constraint, "{"), 1);
    uint32_t n_spaces = 0;
    while (n_spaces < 1000 && allows(constraint, ' ')) {
        assert_int_equal(constraint_accept(constraint, ' ', NULL), REALM_OK);
        n_spaces++;
    }
    assert_in_range(n_spaces, 1, 64);
    assert_false(allows(constraint, '\n'));
    constraint_destroy(constraint);
    constraint = create(CONSTRAINT_JSON_OBJECT, "");
    assert_int_equal(walk(constraint, "{\n\n"), 2);
    constraint_destroy(constraint);
}

static void what_cannot_be_used_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        enum constraint_kind kind;
        const char *text;
        const char *reason;
    } bad[] = {
        {CONSTRAINT_JSON_SCHEMA, "{\"type\": \"strin\"}", "strin"},
        {CONSTRAINT_JSON_SCHEMA, "{\"type\": ", "EOF"},
        {CONSTRAINT_JSON_SCHEMA, "{\"$ref\": \"#/$defs/none\"}", "none"},
        {CONSTRAINT_JSON_SCHEMA, "{\"$ref\": \"http://example.com/x.json\"}", "example.com"},
        {CONSTRAINT_JSON_SCHEMA, "false", ""},
        {CONSTRAINT_REGEX, "a(b", "unclosed"},
        {CONSTRAINT_REGEX, "a(?=b)", "look"},
        {CONSTRAINT_LARK, "start: missing", "missing"},
        {CONSTRAINT_LARK, "stat: \"a\"", "start"},
        {CONSTRAINT_REGEX, "\xff", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct constraint *constraint;
        struct realm_error error = {.message = ""};
        if (try_create(bad[i].kind, bad[i].text, &constraint, &error) != REALM_INVALID_ARGUMENT ||
            strstr(error.message, bad[i].reason) == NULL) {
            fail_msg("%s: %s", bad[i].text, error.message);
        }
        assert_null(constraint);
    }
}

/* `head`, `opening` many times, then `core`, then `closing` as often. */
static char *
nested(const char *head, const char *opening, const char *core, const char *closing, uint32_t depth)
{
    const size_t room =
        depth * (strlen(opening) + strlen(closing)) + strlen(head) + strlen(core) + 1;
    char *const text = malloc(room);
    assert_non_null(text);
    char *at = stpcpy(text, head);
    for (uint32_t i = 0; i < depth; i++) {
        at = stpcpy(at, opening);
    }
    at = stpcpy(at, core);
    for (uint32_t i = 0; i < depth; i++) {
        at = stpcpy(at, closing);
    }
    return text;
}

/* Deep, huge and ambiguous rules end soon, with a refusal or with a constraint that works. */
static void hostile_rules_cost_little(void **state)
{
    (void)state;
    const struct {
        enum constraint_kind kind;
        char *text;
    } hostile[] = {
        {CONSTRAINT_REGEX, nested("", "(", "a", ")", 100000)},
        {CONSTRAINT_REGEX, nested("", "(a|", "a", ")*", 5000)},
        {CONSTRAINT_REGEX, nested("", "", "(a{1,1000}){1,1000}", "", 1)},
        {CONSTRAINT_REGEX, nested("", "", "(.*a.*b.*){20,60}", "", 1)},
        {CONSTRAINT_LARK, nested("start: ", "(", "\"a\"", ")", 50000)},
        {CONSTRAINT_LARK, nested("start: ", "%lark {", "", "}", 1000)},
        {CONSTRAINT_LARK, nested("", "", "start: start start | \"a\" | \"\"", "", 1)},
        {CONSTRAINT_JSON_SCHEMA, nested("", "{\"items\":", "{}", "}", 20000)},
        {CONSTRAINT_JSON_SCHEMA, nested("", "{\"anyOf\":[", "{}", "]}", 60)},
        {CONSTRAINT_JSON_SCHEMA,
         nested("", "", "{\"type\":\"array\",\"minItems\":100000,\"maxItems\":200000}", "", 1)},
        {CONSTRAINT_JSON_SCHEMA,
         nested("", "", "{\"type\":\"string\",\"maxLength\":10000000}", "", 1)},
        {CONSTRAINT_REGEX, nested("", "x", "", "", 300000)},
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        struct constraint *constraint;
        struct realm_error error;
        const uint64_t begin_ns = clock_monotonic_ns();
        const realm_status status =
            try_create(hostile[i].kind, hostile[i].text, &constraint, &error);
        assert_true(status == REALM_OK || status == REALM_INVALID_ARGUMENT);
        for (uint32_t step = 0; status == REALM_OK && step < 50; step++) {
            const uint32_t *mask;
            if (constraint_mask(constraint, &mask, &error) != REALM_OK) {
                assert_int_equal(error.status, REALM_INVALID_ARGUMENT);
                break;
            }
            if (!(mask['a' / 32] >> 'a' % 32 & 1)) {
                break;
            }
            assert_int_equal(constraint_accept(constraint, 'a', &error), REALM_OK);
        }
        constraint_destroy(constraint);
        const uint64_t ms = (clock_monotonic_ns() - begin_ns) / 1000000u;
        print_message("rule %zu: %s, %llu ms\n",
                      i,
                      status == REALM_OK ? "works" : error.message,
                      (unsigned long long)ms);
        free(hostile[i].text);
    }
}

static void a_vocabulary_without_an_end_is_refused(void **state)
{
    (void)state;
    struct constraint_vocabulary *none;
    struct realm_error error;
    const struct constraint_tokens tokens = {.n_tokens = N_TOKENS, .text = token_text};
    assert_int_equal(constraint_vocabulary_create(&tokens, &none, &error), REALM_UNSUPPORTED);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_texts_match_the_regex),
        cmocka_unit_test(a_schema_allows_what_it_describes_and_nothing_else),
        cmocka_unit_test(words_are_allowed_where_their_bytes_are),
        cmocka_unit_test(a_grammar_may_name_a_special_token),
        cmocka_unit_test(both_ends_are_allowed_where_the_text_may_end),
        cmocka_unit_test(rollback_and_fork_keep_the_state),
        cmocka_unit_test(a_token_that_the_mask_forbids_is_refused),
        cmocka_unit_test(json_objects_are_open_and_whitespace_is_bounded),
        cmocka_unit_test(what_cannot_be_used_is_refused_with_the_reason),
        cmocka_unit_test(hostile_rules_cost_little),
        cmocka_unit_test(a_vocabulary_without_an_end_is_refused),
    };
    return cmocka_run_group_tests(tests, make_vocabulary, drop_vocabulary);
}
