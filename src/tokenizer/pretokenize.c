#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/pretokenize.h"

#include "base/alloc.h"
#include "base/strbuf.h"

#include <pcre2.h>

#define MAX_EXPRESSIONS 4u
#define JIT_STACK_MAX   ((size_t)4 << 20)

/* The expressions are facts published with each vocabulary. */
#define SPACES       "\\s+(?!\\S)|\\s+"
#define GPT2         "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES
#define LLAMA3_HEAD  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define LLAMA3_TAIL  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3       LLAMA3_HEAD "\\p{N}{1,3}" LLAMA3_TAIL
#define QWEN2        LLAMA3_HEAD "\\p{N}" LLAMA3_TAIL
#define CASED_SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define GPT4O                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"     \
    "+" CASED_SUFFIX "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}" \
    "\\p{Lo}\\p{M}]*" CASED_SUFFIX                                                                 \
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TEKKEN                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"    \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"   \
    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct pretokenizer_row {
    const char *name;
    const char *expressions[MAX_EXPRESSIONS]; /* NULL ends */
} rows[] = {
    {"gpt-2", {GPT2}},
    {"default", {GPT2}},
    {"phi-2", {GPT2}},
    {"mpt", {GPT2}},
    {"olmo", {GPT2}},
    {"jais", {GPT2}},
    {"roberta-bpe", {GPT2}},
    {"smollm", {"\\p{N}", GPT2}},
    {"starcoder", {"\\p{N}", GPT2}},
    {"refact", {"\\p{N}", GPT2}},
    {"command-r", {"\\p{N}", GPT2}},
    {"codeshell", {"\\p{N}", GPT2}},
    {"exaone", {"\\p{N}", GPT2}},
    {"llama-bpe", {LLAMA3}},
    {"llama3", {LLAMA3}},
    {"llama-v3", {LLAMA3}},
    {"falcon3", {LLAMA3}},
    {"dbrx", {LLAMA3}},
    {"smaug-bpe", {LLAMA3}},
    {"qwen2", {QWEN2}},
    {"deepseek-r1-qwen", {QWEN2}},
    {"stablelm2", {QWEN2}},
    {"megrez", {QWEN2}},
    {"gpt-4o", {GPT4O}},
    {"llama4", {GPT4O}},
    {"tekken", {TEKKEN}},
};

struct pretokenizer {
    uint32_t n_expressions;
    pcre2_code *codes[MAX_EXPRESSIONS];
};

static void *pcre2_alloc(size_t n_bytes, void *context)
{
    (void)context;
    return alloc_bytes(ALLOC_REQUEST, n_bytes);
}

static void pcre2_free(void *block, void *context)
{
    (void)context;
    alloc_free(block);
}

static const struct pretokenizer_row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

static realm_status refuse_name(const char *name, struct realm_error *error)
{
    struct strbuf known;
    strbuf_init(&known, ALLOC_BASE, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        strbuf_append_text(&known, i > 0 ? ", " : "");
        strbuf_append_text(&known, rows[i].name);
    }
    const realm_status status =
        realm_error_set(error,
                        REALM_UNSUPPORTED,
                        "tokenizer.ggml.pre is \"%.40s\"; known pre-tokenizers: %s",
                        name,
                        known.text);
    strbuf_deinit(&known);
    return status;
}

static realm_status compile(struct pretokenizer *pretokenizer,
                            const struct pretokenizer_row *row,
                            struct realm_error *error)
{
    pcre2_general_context *general = pcre2_general_context_create(pcre2_alloc, pcre2_free, NULL);
    if (general == NULL) {
        return realm_error_out_of_memory(error, 0, "pre-tokenizer");
    }
    pcre2_compile_context *context = pcre2_compile_context_create(general);
    realm_status status = REALM_OK;
    for (uint32_t i = 0; i < MAX_EXPRESSIONS && row->expressions[i] != NULL; i++) {
        int code;
        size_t offset;
        /* Text may be any bytes: a match never runs over an invalid one. */
        pcre2_code *const compiled = pcre2_compile((PCRE2_SPTR)row->expressions[i],
                                                   PCRE2_ZERO_TERMINATED,
                                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF,
                                                   &code,
                                                   &offset,
                                                   context);
        if (compiled == NULL && code == PCRE2_ERROR_HEAP_FAILED) {
            status = realm_error_out_of_memory(error, 0, "pre-tokenizer");
            break;
        }
        if (compiled == NULL) {
            status = realm_error_set(error,
                                     REALM_INTERNAL,
                                     "pre-tokenizer %s, expression %u: error %d at %zu",
                                     row->name,
                                     i,
                                     code,
                                     offset);
            break;
        }
        pretokenizer->codes[pretokenizer->n_expressions++] = compiled;
        /* Without a JIT the interpreter serves; the answer is the same. */
        (void)pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return status;
}

realm_status
pretokenizer_create(const char *name, struct pretokenizer **out, struct realm_error *error)
{
    *out = NULL;
    const struct pretokenizer_row *const row = find_row(name);
    if (row == NULL) {
        return refuse_name(name, error);
    }
    struct pretokenizer *pretokenizer = alloc_zeroed(ALLOC_MODEL, 1, sizeof *pretokenizer);
    if (pretokenizer == NULL) {
        return realm_error_out_of_memory(error, sizeof *pretokenizer, "pre-tokenizer");
    }
    const realm_status status = compile(pretokenizer, row, error);
    if (status != REALM_OK) {
        pretokenizer_destroy(pretokenizer);
        return status;
    }
    *out = pretokenizer;
    return REALM_OK;
}

void pretokenizer_destroy(struct pretokenizer *pretokenizer)
{
    if (pretokenizer == NULL) {
        return;
    }
    for (uint32_t i = 0; i < pretokenizer->n_expressions; i++) {
        pcre2_code_free(pretokenizer->codes[i]);
    }
    alloc_free(pretokenizer);
}

struct run {
    const struct pretokenizer *pretokenizer;
    pcre2_match_data *data[MAX_EXPRESSIONS];
    pcre2_match_context *match_context;
    word_function on_word;
    void *context;
};

/* Cuts one piece by expression `level` and hands each part to the next level. */
static realm_status
/* NOLINTNEXTLINE(misc-no-recursion): no deeper than MAX_EXPRESSIONS */
cut(struct run *run, uint32_t level, struct bytes piece, struct realm_error *error)
{
    if (piece.length == 0) {
        return REALM_OK;
    }
    if (level == run->pretokenizer->n_expressions) {
        return run->on_word(run->context, piece, error);
    }
    size_t at = 0;
    while (at < piece.length) {
        const int found = pcre2_match(run->pretokenizer->codes[level],
                                      piece.data,
                                      piece.length,
                                      at,
                                      0,
                                      run->data[level],
                                      run->match_context);
        if (found == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (found < 0) {
            return realm_error_set(
                error, REALM_RESOURCE_EXHAUSTED, "pre-tokenizer: matching failed (%d)", found);
        }
        const size_t *const match = pcre2_get_ovector_pointer(run->data[level]);
        const size_t begin = match[0];
        const size_t end = match[1];
        if (end == begin) {
            break; /* no expression matches nothing; never loop on one that would */
        }
        REALM_TRY(cut(
            run, level + 1, (struct bytes){.data = piece.data + at, .length = begin - at}, error));
        REALM_TRY(cut(run,
                      level + 1,
                      (struct bytes){.data = piece.data + begin, .length = end - begin},
                      error));
        at = end;
    }
    return cut(run,
               level + 1,
               (struct bytes){.data = piece.data + at, .length = piece.length - at},
               error);
}

realm_status pretokenizer_run(const struct pretokenizer *pretokenizer,
                              struct bytes text,
                              word_function on_word,
                              void *context,
                              struct realm_error *error)
{
    struct run run = {.pretokenizer = pretokenizer, .on_word = on_word, .context = context};
    pcre2_general_context *general = pcre2_general_context_create(pcre2_alloc, pcre2_free, NULL);
    pcre2_jit_stack *stack = NULL;
    bool have_all = general != NULL;
    if (have_all) {
        run.match_context = pcre2_match_context_create(general);
        stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, general);
        have_all = run.match_context != NULL;
    }
    for (uint32_t i = 0; i < pretokenizer->n_expressions && have_all; i++) {
        run.data[i] = pcre2_match_data_create_from_pattern(pretokenizer->codes[i], general);
        have_all = run.data[i] != NULL;
    }
    realm_status status;
    if (have_all) {
        pcre2_jit_stack_assign(run.match_context, NULL, stack);
        status = cut(&run, 0, text, error);
    } else {
        status = realm_error_out_of_memory(error, 0, "pre-tokenizer");
    }
    for (uint32_t i = 0; i < pretokenizer->n_expressions; i++) {
        pcre2_match_data_free(run.data[i]);
    }
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(run.match_context);
    pcre2_general_context_free(general);
    return status;
}
