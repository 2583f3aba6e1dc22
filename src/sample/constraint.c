#include "sample/constraint.h"

#include "base/alloc.h"
#include "base/utf8.h"

#include <llguidance.h>
#include <string.h>

/* llguidance's own mark of special tokens: a byte that no text holds. */
#define SPECIAL_MARK 0xffu

/* Most of what a hostile grammar can cost: some 100 ms to compile, some ms a mask, some 50 MB. */
static const LlgParserLimits limits = {
    .max_items_in_row = 2000,
    .initial_lexer_fuel = 1000000,
    .step_lexer_fuel = 100000,
    .step_max_items = 50000,
    .max_lexer_states = 25000,
    .max_grammar_size = 200000,
    .precompute_large_lexemes = false,
    .verbose_errors = false,
};

/* Whitespace between the parts of JSON is bounded, or a model may write it without end.  A schema's
 * own "x-guidance" comes later in the text and wins. */
#define JSON_OPTIONS "\"x-guidance\":{\"whitespace_pattern\":\"[ ]{1,64}|[\\\\n][ ]{0,64}\"}"

struct constraint_vocabulary {
    LlgTokenizer *tokenizer;
};

struct constraint {
    LlgMatcher *matcher;
};

/* --- the model's tokens -------------------------------------------------------------------------
 */

struct token_texts {
    uint32_t *lengths; /* [n_tokens] */
    uint8_t *bytes;    /* of all tokens, one after the other */
};

/* A text that begins with the mark would pass for the beginning of a special token. It is no UTF-8,
 * so nothing is lost when it is never allowed: it has no text then. */
static struct bytes text_of(const struct constraint_tokens *tokens, token_id token, bool *special)
{
    struct bytes text = tokens->text(tokens->context, token, special);
    if (!*special && text.length > 0 && text.data[0] == SPECIAL_MARK) {
        text.length = 0;
    }
    return text;
}

static size_t text_length(const struct constraint_tokens *tokens, token_id token)
{
    bool special = false;
    const struct bytes text = text_of(tokens, token, &special);
    return text.length + (special ? 1 : 0);
}

static realm_status gather_texts(const struct constraint_tokens *tokens,
                                 struct token_texts *out,
                                 struct realm_error *error)
{
    size_t n_bytes = 0;
    for (token_id token = 0; token < tokens->n_tokens; token++) {
        n_bytes += text_length(tokens, token);
    }
    out->lengths = alloc_zeroed(ALLOC_ENGINE, tokens->n_tokens, sizeof *out->lengths);
    out->bytes = alloc_bytes(ALLOC_ENGINE, n_bytes);
    if (out->lengths == NULL || out->bytes == NULL) {
        return realm_error_out_of_memory(error, n_bytes, "texts of the vocabulary");
    }
    uint8_t *at = out->bytes;
    for (token_id token = 0; token < tokens->n_tokens; token++) {
        bool special = false;
        const struct bytes text = text_of(tokens, token, &special);
        if (special) {
            *at++ = SPECIAL_MARK;
        }
        for (size_t i = 0; i < text.length; i++) {
            *at++ = text.data[i];
        }
        out->lengths[token] = (uint32_t)text.length + (special ? 1 : 0);
    }
    return REALM_OK;
}

static realm_status build(const struct constraint_tokens *tokens,
                          const struct token_texts *texts,
                          struct constraint_vocabulary *vocabulary,
                          struct realm_error *error)
{
    char message[160] = "";
    const LlgTokenizerInitV2 init = {
        .struct_size = sizeof init,
        .vocab_size = tokens->n_tokens,
        .tok_eos = tokens->ends[0],
        .token_lens = texts->lengths,
        .token_bytes = texts->bytes,
        .use_approximate_greedy_tokenize_fn = true,
        .tok_eos_extra = tokens->ends + 1,
        .tok_eos_extra_count = tokens->n_ends - 1,
    };
    vocabulary->tokenizer = llg_new_tokenizer_v2(&init, message, sizeof message);
    if (vocabulary->tokenizer == NULL) {
        return realm_error_set(
            error, REALM_UNSUPPORTED, "no constraints over this vocabulary: %s", message);
    }
    return REALM_OK;
}

realm_status constraint_vocabulary_create(const struct constraint_tokens *tokens,
                                          struct constraint_vocabulary **out,
                                          struct realm_error *error)
{
    *out = NULL;
    if (tokens->n_ends == 0) {
        return realm_error_set(
            error, REALM_UNSUPPORTED, "the model has no end token, so no constraint can end");
    }
    struct constraint_vocabulary *vocabulary = alloc_zeroed(ALLOC_ENGINE, 1, sizeof *vocabulary);
    if (vocabulary == NULL) {
        return realm_error_out_of_memory(error, sizeof *vocabulary, "constraints");
    }
    struct token_texts texts = {.lengths = NULL};
    realm_status status = gather_texts(tokens, &texts, error);
    if (status == REALM_OK) {
        status = build(tokens, &texts, vocabulary, error);
    }
    alloc_free(texts.lengths);
    alloc_free(texts.bytes);
    if (status != REALM_OK) {
        constraint_vocabulary_destroy(vocabulary);
        return status;
    }
    *out = vocabulary;
    return REALM_OK;
}

void constraint_vocabulary_destroy(struct constraint_vocabulary *vocabulary)
{
    if (vocabulary != NULL) {
        llg_free_tokenizer(vocabulary->tokenizer);
        alloc_free(vocabulary);
    }
}

/* --- a rule as llguidance takes it --------------------------------------------------------------
 */

static const char *kind_name(enum constraint_kind kind)
{
    static const char *const names[] = {
        [CONSTRAINT_NONE] = "",
        [CONSTRAINT_JSON_OBJECT] = "json",
        [CONSTRAINT_JSON_SCHEMA] = "json",
        [CONSTRAINT_REGEX] = "regex",
        [CONSTRAINT_LARK] = "lark",
    };
    return names[kind];
}

static realm_status check_text(struct bytes text, struct realm_error *error)
{
    if (text.length > CONSTRAINT_MAX_BYTES) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the constraint has %zu bytes and may have at most %zu",
                               text.length,
                               CONSTRAINT_MAX_BYTES);
    }
    if (!utf8_valid(text.data, text.length) || memchr(text.data, 0, text.length) != NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the constraint is not UTF-8 without zero bytes");
    }
    return REALM_OK;
}

/* Where options may be put into a schema: behind its opening brace; 0: it is no object. */
static size_t behind_brace(struct bytes schema)
{
    size_t i = 0;
    while (i < schema.length && strchr(" \t\r\n", schema.data[i]) != NULL) {
        i++;
    }
    return i < schema.length && schema.data[i] == '{' ? i + 1 : 0;
}

static bool is_empty_object(struct bytes schema, size_t behind)
{
    while (behind < schema.length && strchr(" \t\r\n", schema.data[behind]) != NULL) {
        behind++;
    }
    return behind < schema.length && schema.data[behind] == '}';
}

/* The rule's text with a zero at its end, JSON with our options. NULL: no memory. */
static char *copy_text(enum constraint_kind kind, struct bytes text)
{
    const bool json = kind == CONSTRAINT_JSON_SCHEMA;
    const size_t head = json ? behind_brace(text) : 0;
    const char *const options = head == 0 ? "" : JSON_OPTIONS;
    const char *const comma = head == 0 || is_empty_object(text, head) ? "" : ",";
    const size_t n_options = strlen(options);
    const size_t n_comma = strlen(comma);
    char *const copy = alloc_bytes(ALLOC_REQUEST, text.length + n_options + n_comma + 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text.data, head);
    memcpy(copy + head, options, n_options);
    memcpy(copy + head + n_options, comma, n_comma);
    memcpy(copy + head + n_options + n_comma, text.data + head, text.length - head);
    copy[text.length + n_options + n_comma] = '\0';
    return copy;
}

/* --- one sequence's state -----------------------------------------------------------------------
 */

static realm_status wrap(LlgMatcher *matcher, struct constraint **out, struct realm_error *error)
{
    struct constraint *const constraint = alloc_zeroed(ALLOC_REQUEST, 1, sizeof *constraint);
    if (constraint == NULL) {
        llg_free_matcher(matcher);
        return realm_error_out_of_memory(error, sizeof *constraint, "constraint");
    }
    constraint->matcher = matcher;
    *out = constraint;
    return REALM_OK;
}

/* llguidance's reason in one line.  A regular expression's comes as a drawing that ends in "error:
 * reason"; elsewhere the first line says it and the rest is for llguidance's authors. */
static realm_status fail(struct constraint *constraint,
                         realm_status status,
                         const char *what,
                         struct realm_error *error)
{
    static const char mark[] = "\nerror: ";
    const char *reason = llg_matcher_get_error(constraint->matcher);
    if (reason == NULL) {
        return realm_error_set(error, status, "%s", what);
    }
    const char *const drawn = strstr(reason, mark);
    reason = drawn != NULL ? drawn + strlen(mark) : reason;
    return realm_error_set(error, status, "%s: %.*s", what, (int)strcspn(reason, "\n"), reason);
}

realm_status constraint_create(const struct constraint_vocabulary *vocabulary,
                               const struct constraint_rule *rule,
                               struct constraint **out,
                               struct realm_error *error)
{
    static const struct bytes any_object = {(const uint8_t *)"{\"type\":\"object\"}", 17};
    *out = NULL;
    struct constraint_rule asked = *rule;
    if (asked.kind == CONSTRAINT_JSON_OBJECT) {
        asked = (struct constraint_rule){CONSTRAINT_JSON_SCHEMA, any_object};
    }
    REALM_TRY(check_text(asked.text, error));
    char *const text = copy_text(asked.kind, asked.text);
    if (text == NULL) {
        return realm_error_out_of_memory(error, asked.text.length, "constraint");
    }
    LlgConstraintInit init = {.tokenizer = NULL};
    llg_constraint_init_set_defaults(&init, vocabulary->tokenizer);
    init.log_stderr_level = 0;
    init.log_buffer_level = 0;
    init.limits = limits;
    LlgMatcher *const matcher = llg_new_matcher(&init, kind_name(asked.kind), text);
    alloc_free(text);
    REALM_TRY(wrap(matcher, out, error));
    if (llg_matcher_is_error((*out)->matcher)) {
        const realm_status status =
            fail(*out, REALM_INVALID_ARGUMENT, "the constraint cannot be used", error);
        constraint_destroy(*out);
        *out = NULL;
        return status;
    }
    return REALM_OK;
}

realm_status constraint_fork(const struct constraint *constraint,
                             struct constraint **out,
                             struct realm_error *error)
{
    *out = NULL;
    return wrap(llg_clone_matcher(constraint->matcher), out, error);
}

void constraint_destroy(struct constraint *constraint)
{
    if (constraint != NULL) {
        llg_free_matcher(constraint->matcher);
        alloc_free(constraint);
    }
}

realm_status
constraint_mask(struct constraint *constraint, const uint32_t **mask, struct realm_error *error)
{
    *mask = NULL;
    if (llg_matcher_compute_mask(constraint->matcher) == 0) {
        *mask = llg_matcher_get_mask(constraint->matcher);
    }
    if (*mask == NULL) {
        return fail(constraint,
                    REALM_INVALID_ARGUMENT,
                    "the constraint is too ambiguous to be followed any further",
                    error);
    }
    return REALM_OK;
}

realm_status
constraint_accept(struct constraint *constraint, token_id token, struct realm_error *error)
{
    if (llg_matcher_consume_token(constraint->matcher, token) != 0) {
        return fail(
            constraint, REALM_INVALID_ARGUMENT, "the constraint does not allow the token", error);
    }
    return REALM_OK;
}

realm_status
constraint_rollback(struct constraint *constraint, uint32_t n_tokens, struct realm_error *error)
{
    if (llg_matcher_rollback(constraint->matcher, n_tokens) != 0) {
        return fail(
            constraint, REALM_INVALID_ARGUMENT, "the constraint cannot go back that far", error);
    }
    return REALM_OK;
}

bool constraint_is_satisfied(struct constraint *constraint)
{
    return llg_matcher_is_accepting(constraint->matcher);
}

bool constraint_is_complete(const struct constraint *constraint)
{
    return llg_matcher_is_stopped(constraint->matcher) &&
           !llg_matcher_is_error(constraint->matcher);
}
