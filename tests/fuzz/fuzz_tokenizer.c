/* Any bytes as text, for a byte-level vocabulary and for one of SentencePiece: they become tokens
 * of the vocabulary, the same ones twice, and the tokens become the text again, at once and as a
 * stream.  The first byte chooses vocabulary and options. */
#include "base/utf8.h"
#include "support/gguf_support.h"
#include "tokenizer/text_stream.h"

#include <stdio.h>
#include <string.h>

#define MAX_TEXT_BYTES ((size_t)1 << 20)
#define N_SPM_TOKENS   (3 + 256 + N_PIECES)
#define N_PIECES       12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum option { USE_SPM = 1, PARSE_SPECIAL = 2, ADD_SPECIAL = 4, SHOW_SPECIAL = 8, MEMORY_ENDS = 16 };

static struct tokenizer *byte_level;
static struct tokenizer *spm;

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

/* --- the vocabularies ---------------------------------------------------------------------------
 */

static struct tokenizer *open_byte_level(void)
{
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct realm_error error;
    require(gguf_open(REALM_TEST_DATA "/golden/models/llama_tied.gguf", &gguf, &error) == REALM_OK);
    require(tokenizer_create(gguf, &tokenizer, &error) == REALM_OK);
    gguf_close(gguf);
    return tokenizer;
}

static void put_array(struct strbuf *out, const char *key, uint32_t item_type, uint64_t n_items)
{
    put_key(out, key, GGUF_ARRAY);
    put_u32(out, item_type);
    put_u64(out, n_items);
}

/* Unknown, begin, end, the 256 bytes, pieces that merge into each other. */
static void put_spm(struct strbuf *out)
{
    static const char *const pieces[N_PIECES] = {"\xe2\x96\x81",
                                                 "a",
                                                 "b",
                                                 "c",
                                                 "ab",
                                                 "abc",
                                                 "bc",
                                                 "\xe2\x96\x81\x61", /* a space and an a */
                                                 "\xe2\x96\x81\xe2\x96\x81",
                                                 "\xc3\xa9",
                                                 "<|im_start|>",
                                                 "<|im_end|>"};
    put_header(out, 3, 0, 7);
    put_key(out, "tokenizer.ggml.model", GGUF_STRING);
    put_string(out, "llama");
    put_array(out, "tokenizer.ggml.tokens", GGUF_STRING, N_SPM_TOKENS);
    put_string(out, "<unk>");
    put_string(out, "<s>");
    put_string(out, "</s>");
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        (void)snprintf(name, sizeof name, "<0x%02X>", byte);
        put_string(out, name);
    }
    for (uint32_t i = 0; i < N_PIECES; i++) {
        put_string(out, pieces[i]);
    }
    put_array(out, "tokenizer.ggml.scores", GGUF_F32, N_SPM_TOKENS);
    for (uint32_t i = 0; i < N_SPM_TOKENS; i++) {
        put_f32(out, i < 259 ? 0.0f : -(float)i);
    }
    put_array(out, "tokenizer.ggml.token_type", GGUF_I32, N_SPM_TOKENS);
    for (uint32_t i = 0; i < N_SPM_TOKENS; i++) {
        const bool control = i == 1 || i == 2 || i >= N_SPM_TOKENS - 2;
        put_u32(out, i == 0 ? 2 : control ? 3 : i < 259 ? 6 : 1);
    }
    put_key_u32(out, "tokenizer.ggml.bos_token_id", 1);
    put_key_u32(out, "tokenizer.ggml.eos_token_id", 2);
    put_key_u32(out, "tokenizer.ggml.unknown_token_id", 0);
}

static struct tokenizer *open_spm(void)
{
    struct strbuf file;
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct realm_error error;
    strbuf_init(&file, ALLOC_TEST, MAX_TEXT_BYTES);
    put_spm(&file);
    require(gguf_open_bytes(strbuf_bytes(&file), &gguf, &error) == REALM_OK);
    require(tokenizer_create(gguf, &tokenizer, &error) == REALM_OK);
    gguf_close(gguf);
    strbuf_deinit(&file);
    return tokenizer;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    byte_level = open_byte_level();
    spm = open_spm();
    return 0;
}

/* --- there and back -----------------------------------------------------------------------------
 */

/* What a vocabulary makes of a text: SentencePiece knows a space as U+2581, so that both come back
 * as a space. */
static void normalise(struct strbuf *out, struct bytes text, bool spaces)
{
    for (size_t i = 0; i < text.length;) {
        const bool mark =
            spaces && text.length - i >= 3 && memcmp(text.data + i, "\xe2\x96\x81", 3) == 0;
        const char *const bytes = mark ? " " : (const char *)text.data + i;
        require(strbuf_append(out, bytes, 1));
        i += mark ? 3 : 1;
    }
}

static void check_same(struct bytes wanted, struct bytes got, bool spaces)
{
    struct strbuf a;
    struct strbuf b;
    strbuf_init(&a, ALLOC_TEST, MAX_TEXT_BYTES);
    strbuf_init(&b, ALLOC_TEST, MAX_TEXT_BYTES);
    normalise(&a, wanted, spaces);
    normalise(&b, got, spaces);
    require(a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0));
    strbuf_deinit(&a);
    strbuf_deinit(&b);
}

/* A stream shows whole characters, and in the end what its tokens are.  valid: so was the text. */
static void
check_stream(const struct tokenizer *tokenizer, const struct token_list *tokens, bool valid)
{
    struct text_stream *stream;
    struct strbuf shown;
    struct strbuf bytes;
    require(text_stream_create(tokenizer, NULL, 0, true, &stream, NULL) == REALM_OK);
    strbuf_init(&shown, ALLOC_TEST, MAX_TEXT_BYTES);
    strbuf_init(&bytes, ALLOC_TEST, MAX_TEXT_BYTES);
    for (size_t i = 0; i < tokens->length; i++) {
        struct bytes text;
        const struct bytes token = tokenizer_token_bytes(tokenizer, tokens->ids[i], true);
        require(!text_stream_push(stream, tokens->ids[i], &text));
        require(strbuf_append(&shown, (const char *)text.data, text.length));
        require(strbuf_append(&bytes, (const char *)token.data, token.length));
        /* Bytes that are no UTF-8 are shown as they are; a stray first byte looks like a cut. */
        require(!valid || utf8_valid(text.data, text.length));
    }
    const size_t whole = utf8_complete_prefix((const uint8_t *)bytes.text, bytes.length);
    require(shown.length == whole && memcmp(shown.text, bytes.text, whole) == 0);
    require(text_stream_finish(stream).length == (whole < bytes.length ? 3 : 0));
    text_stream_destroy(stream);
    strbuf_deinit(&shown);
    strbuf_deinit(&bytes);
}

static void check_decoded(const struct tokenizer *tokenizer,
                          const struct token_list *tokens,
                          struct bytes text,
                          uint32_t options)
{
    struct strbuf decoded;
    strbuf_init(&decoded, ALLOC_TEST, MAX_TEXT_BYTES);
    require(tokenizer_decode(
        tokenizer, tokens->ids, tokens->length, true, (options & SHOW_SPECIAL) != 0, &decoded));
    /* Special tokens lose the spaces around them in some vocabularies, and added ones add text. */
    const bool exact = (options & ADD_SPECIAL) == 0 &&
                       ((options & PARSE_SPECIAL) == 0 ||
                        ((options & SHOW_SPECIAL) != 0 && (options & USE_SPM) == 0));
    if (exact) {
        check_same(text, strbuf_bytes(&decoded), (options & USE_SPM) != 0);
    }
    strbuf_deinit(&decoded);
}

static void check_text(const struct tokenizer *tokenizer, struct bytes text, uint32_t options)
{
    const struct tokenizer_encode_options encode = {
        .add_special = (options & ADD_SPECIAL) != 0,
        .parse_special = (options & PARSE_SPECIAL) != 0,
    };
    struct token_list tokens = {.ids = NULL};
    struct token_list again = {.ids = NULL};
    struct realm_error error;
    require(tokenizer_encode(
                tokenizer, (const char *)text.data, text.length, encode, &tokens, &error) ==
            REALM_OK);
    require(
        tokenizer_encode(tokenizer, (const char *)text.data, text.length, encode, &again, &error) ==
        REALM_OK);
    require(tokens.length == again.length && tokens.length <= text.length + 4);
    for (size_t i = 0; i < tokens.length; i++) {
        require(tokens.ids[i] == again.ids[i] && tokens.ids[i] < tokenizer_vocabulary(tokenizer));
        /* Text alone never becomes a control token. */
        require(encode.parse_special || encode.add_special ||
                !tokenizer_is_special(tokenizer, tokens.ids[i]));
    }
    check_decoded(tokenizer, &tokens, text, options);
    check_stream(tokenizer, &tokens, utf8_valid(text.data, text.length));
    token_list_deinit(&tokens);
    token_list_deinit(&again);
}

/* Out of memory at some allocation: refused, and the list stays as it was. */
static void
check_memory(const struct tokenizer *tokenizer, struct bytes text, uint32_t n_allocations)
{
    struct token_list tokens = {.ids = NULL};
    struct realm_error error = {.status = REALM_OK};
    alloc_fail_after(n_allocations);
    const realm_status status = tokenizer_encode(tokenizer,
                                                 (const char *)text.data,
                                                 text.length,
                                                 (struct tokenizer_encode_options){0},
                                                 &tokens,
                                                 &error);
    alloc_fail_after(UINT64_MAX);
    require(status == REALM_OK || (status == REALM_OUT_OF_MEMORY && tokens.length == 0));
    token_list_deinit(&tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > MAX_TEXT_BYTES / 16) {
        return 0;
    }
    const uint32_t options = data[0];
    const struct bytes text = {data + 1, n_bytes - 1};
    const struct tokenizer *const tokenizer = (options & USE_SPM) != 0 ? spm : byte_level;
    check_text(tokenizer, text, options);
    if ((options & MEMORY_ENDS) != 0) {
        check_memory(tokenizer, text, options >> 5);
    }
    return 0;
}
