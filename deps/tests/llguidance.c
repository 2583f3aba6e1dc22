/* llguidance from C: a tokenizer of single bytes, a JSON schema, masks that allow what the schema
 * allows and nothing else. */
#include "check.h"

#include <llguidance.h>
#include <string.h>

#define N_TOKENS 257u
#define TOK_EOS  256u

static size_t
tokenize(const void *user, const uint8_t *bytes, size_t n_bytes, uint32_t *out, size_t n_out)
{
    (void)user;
    for (size_t i = 0; i < n_bytes && i < n_out; i++) {
        out[i] = bytes[i];
    }
    return n_bytes;
}

static LlgTokenizer *make_tokenizer(void)
{
    /* The last token's text is a name that starts with 0xff: special. */
    static uint8_t texts[256 + 6];
    static uint32_t lengths[N_TOKENS];
    for (uint32_t i = 0; i < 256; i++) {
        texts[i] = (uint8_t)i;
        lengths[i] = 1;
    }
    memcpy(texts + 256, "\xff<eos>", 6);
    lengths[TOK_EOS] = 6;
    LlgTokenizerInit init;
    memset(&init, 0, sizeof init);
    init.vocab_size = N_TOKENS;
    init.tok_eos = TOK_EOS;
    init.token_lens = lengths;
    init.token_bytes = texts;
    init.tokenize_fn = tokenize;
    char error[256] = "";
    LlgTokenizer *tokenizer = llg_new_tokenizer(&init, error, sizeof error);
    if (tokenizer == NULL) {
        (void)fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return tokenizer;
}

static LlgMatcher *make_matcher(const LlgTokenizer *tokenizer, const char *kind, const char *what)
{
    LlgConstraintInit init;
    memset(&init, 0, sizeof init);
    llg_constraint_init_set_defaults(&init, tokenizer);
    return llg_new_matcher(&init, kind, what);
}

static bool allows(LlgMatcher *matcher, uint32_t token)
{
    CHECK(llg_matcher_compute_mask(matcher) == 0);
    const uint32_t *mask = llg_matcher_get_mask(matcher);
    CHECK(mask != NULL && llg_matcher_get_mask_byte_size(matcher) >= (N_TOKENS + 7) / 8);
    return (mask[token / 32] >> (token % 32) & 1) != 0;
}

static void consume(LlgMatcher *matcher, const char *text)
{
    for (; *text != '\0'; text++) {
        CHECK(allows(matcher, (uint8_t)*text));
        CHECK(llg_matcher_consume_token(matcher, (uint8_t)*text) == 0);
    }
}

int main(void)
{
    LlgTokenizer *tokenizer = make_tokenizer();
    LlgMatcher *matcher = make_matcher(
        tokenizer,
        "json_schema",
        "{\"type\": \"object\", \"properties\": {\"n\": {\"type\": \"integer\"}, \"b\": {\"enum\": "
        "[\"yes\", \"no\"]}}, \"required\": [\"n\", \"b\"], \"additionalProperties\": false}");
    CHECK(!llg_matcher_is_error(matcher));
    CHECK(allows(matcher, '{') && !allows(matcher, '[') && !allows(matcher, TOK_EOS));
    consume(matcher, "{\"n\":");
    CHECK(!allows(matcher, '"') && !allows(matcher, 'n'));
    consume(matcher, "-7,\"b\":\"");
    CHECK(allows(matcher, 'y') && allows(matcher, 'n') && !allows(matcher, 'x'));
    consume(matcher, "no\"");
    CHECK(llg_matcher_rollback(matcher, 3) == 0);
    consume(matcher, "yes\"}");
    CHECK(llg_matcher_is_accepting(matcher) && allows(matcher, TOK_EOS) && !allows(matcher, 'a'));
    llg_free_matcher(matcher);

    matcher = make_matcher(tokenizer, "regex", "[ab]{2}");
    consume(matcher, "ba");
    CHECK(llg_matcher_is_accepting(matcher));
    llg_free_matcher(matcher);
    matcher = make_matcher(tokenizer, "lark", "start: \"x\" | \"yy\"");
    CHECK(allows(matcher, 'x') && allows(matcher, 'y') && !allows(matcher, 'z'));
    llg_free_matcher(matcher);
    matcher = make_matcher(tokenizer, "json_schema", "{\"type\": 3}");
    CHECK(llg_matcher_is_error(matcher) && llg_matcher_get_error(matcher) != NULL);
    llg_free_matcher(matcher);
    llg_free_tokenizer(tokenizer);
    (void)puts("llguidance works from C");
    return 0;
}
