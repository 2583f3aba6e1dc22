#include "tokenizer/vocab.h"

#include "base/random.h"
#include "base/utf8.h"

#define MAX_TOKENS (1u << 24)

/* --- GPT-2's alphabet ---------------------------------------------------------------------------
 *
 * Printable Latin-1 characters stand for themselves; the other 68 bytes are U+0100 onwards in
 * order. */
static bool is_printable_byte(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The byte a character stands for, or -1. */
static int byte_of_character(uint32_t character)
{
    if (character < 0x100) {
        return is_printable_byte(character) ? (int)character : -1;
    }
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 0x100; byte++) {
        if (!is_printable_byte(byte) && next++ == character) {
            return (int)byte;
        }
    }
    return -1;
}

size_t byte_level_decode(const uint8_t *text, size_t n_bytes, uint8_t *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n_bytes;) {
        uint32_t character;
        const size_t n = utf8_decode(text + i, n_bytes - i, &character);
        const int byte = n > 0 && character < 0x144 ? byte_of_character(character) : -1;
        const size_t n_taken = n > 0 ? n : 1;
        if (byte >= 0) {
            out[n_out++] = (uint8_t)byte;
        } else {
            memmove(out + n_out, text + i, n_taken);
            n_out += n_taken;
        }
        i += n_taken;
    }
    return n_out;
}

/* --- the hash table -----------------------------------------------------------------------------
 */

static uint64_t hash_bytes(uint64_t key, const uint8_t *data, size_t n_bytes)
{
    uint64_t hash = key ^ (n_bytes * 0x9E3779B97F4A7C15u);
    while (n_bytes >= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        hash = (hash ^ word) * 0xFF51AFD7ED558CCDu;
        hash ^= hash >> 32 ^ key;
        data += 8;
        n_bytes -= 8;
    }
    uint64_t tail = 0;
    if (n_bytes > 0) {
        memcpy(&tail, data, n_bytes);
    }
    hash = (hash ^ tail) * 0xC4CEB9FE1A85EC53u;
    return hash ^ hash >> 29;
}

static bool same_bytes(struct bytes a, const uint8_t *data, size_t n_bytes)
{
    return a.length == n_bytes && (n_bytes == 0 || memcmp(a.data, data, n_bytes) == 0);
}

/* The first of equal tokens stays. */
static void put_token(struct vocab *vocab, token_id token)
{
    const struct bytes bytes = vocab->bytes[token];
    uint32_t i = (uint32_t)hash_bytes(vocab->hash_key, bytes.data, bytes.length);
    for (;; i++) {
        uint32_t *const slot = &vocab->slots[i & vocab->slot_mask];
        if (*slot == 0) {
            *slot = token + 1;
            return;
        }
        if (same_bytes(vocab->bytes[*slot - 1], bytes.data, bytes.length)) {
            return;
        }
    }
}

token_id vocab_find(const struct vocab *vocab, const uint8_t *data, size_t n_bytes)
{
    uint32_t i = (uint32_t)hash_bytes(vocab->hash_key, data, n_bytes);
    for (;; i++) {
        const uint32_t slot = vocab->slots[i & vocab->slot_mask];
        if (slot == 0) {
            return TOKEN_NONE;
        }
        if (same_bytes(vocab->bytes[slot - 1], data, n_bytes)) {
            return slot - 1;
        }
    }
}

/* --- reading ------------------------------------------------------------------------------------
 */

static realm_status read_optional_id(const struct vocab *vocab,
                                     const struct gguf *gguf,
                                     const char *key,
                                     token_id *out,
                                     struct realm_error *error)
{
    *out = TOKEN_NONE;
    if (gguf_find(gguf, key) == NULL) {
        return REALM_OK;
    }
    token_id id;
    REALM_TRY(gguf_get_u32(gguf, key, &id, error));
    if (id >= vocab->n_tokens) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s is %u and the vocabulary has %u tokens",
                               key,
                               id,
                               vocab->n_tokens);
    }
    *out = id;
    return REALM_OK;
}

static realm_status read_optional_bool(
    const struct gguf *gguf, const char *key, bool fallback, bool *out, struct realm_error *error)
{
    *out = fallback;
    return gguf_find(gguf, key) == NULL ? REALM_OK : gguf_get_bool(gguf, key, out, error);
}

/* "<0x0A>" to 10; -1: not of that form. */
static int byte_of_name(struct bytes text)
{
    if (text.length != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>') {
        return -1;
    }
    int value = 0;
    for (size_t i = 3; i < 5; i++) {
        const uint8_t c = text.data[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

size_t spm_unescape_spaces(const uint8_t *text, size_t n_bytes, uint8_t *out)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n_bytes;) {
        if (n_bytes - i >= 3 && memcmp(text + i, "\xE2\x96\x81", 3) == 0) {
            out[n_out++] = ' ';
            i += 3;
        } else {
            out[n_out++] = text[i++];
        }
    }
    return n_out;
}

/* What a token's text stands for. */
static realm_status
set_bytes(struct vocab *vocab, token_id token, bool byte_level, struct realm_error *error)
{
    const struct bytes text = vocab->texts[token];
    const uint8_t type = vocab->types[token];
    if (type == TOKEN_CONTROL || type == TOKEN_USER_DEFINED || type == TOKEN_UNKNOWN) {
        vocab->bytes[token] = text;
        return REALM_OK;
    }
    uint8_t *const out = arena_alloc(&vocab->arena, text.length + 1);
    if (out == NULL) {
        return realm_error_out_of_memory(error, text.length, "vocabulary");
    }
    size_t length;
    const int byte = type == TOKEN_BYTE ? byte_of_name(text) : -1;
    if (byte >= 0) {
        out[0] = (uint8_t)byte;
        length = 1;
    } else if (byte_level) {
        length = byte_level_decode(text.data, text.length, out);
    } else {
        length = spm_unescape_spaces(text.data, text.length, out);
    }
    vocab->bytes[token] = (struct bytes){.data = out, .length = length};
    return REALM_OK;
}

static realm_status take_arrays(struct vocab *vocab, size_t n, struct realm_error *error)
{
    uint32_t n_slots = 16;
    while (n_slots < n * 2) {
        n_slots *= 2;
    }
    vocab->texts = arena_zeroed(&vocab->arena, n, sizeof *vocab->texts);
    vocab->bytes = arena_zeroed(&vocab->arena, n, sizeof *vocab->bytes);
    vocab->scores = arena_zeroed(&vocab->arena, n, sizeof *vocab->scores);
    vocab->types = arena_zeroed(&vocab->arena, n, sizeof *vocab->types);
    vocab->slots = arena_zeroed(&vocab->arena, n_slots, sizeof *vocab->slots);
    vocab->slot_mask = n_slots - 1;
    if (vocab->texts == NULL || vocab->bytes == NULL || vocab->scores == NULL ||
        vocab->types == NULL || vocab->slots == NULL) {
        return realm_error_out_of_memory(error, n * 48, "vocabulary");
    }
    return random_bytes(&vocab->hash_key, sizeof vocab->hash_key, error);
}

/* An optional array with one 4-byte number a token. */
static realm_status find_numbers(const struct gguf *gguf,
                                 const char *key,
                                 enum gguf_value_type item_type,
                                 uint32_t n_tokens,
                                 const uint8_t **out,
                                 struct realm_error *error)
{
    *out = NULL;
    if (gguf_find(gguf, key) == NULL) {
        return REALM_OK;
    }
    const struct gguf_value *value;
    REALM_TRY(gguf_get_array(gguf, key, item_type, &value, error));
    if (value->n_items != n_tokens) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%s has %llu items and the vocabulary %u tokens",
                               key,
                               (unsigned long long)value->n_items,
                               n_tokens);
    }
    *out = value->bytes.data;
    return REALM_OK;
}

static realm_status read_tokens(struct vocab *vocab,
                                const struct gguf *gguf,
                                bool byte_level,
                                struct realm_error *error)
{
    const struct gguf_value *tokens;
    const uint8_t *scores;
    const uint8_t *types;
    REALM_TRY(gguf_get_array(gguf, "tokenizer.ggml.tokens", GGUF_STRING, &tokens, error));
    if (tokens->n_items == 0 || tokens->n_items > MAX_TOKENS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tokenizer.ggml.tokens has %llu tokens; 1 to %u can be read",
                               (unsigned long long)tokens->n_items,
                               MAX_TOKENS);
    }
    const uint32_t n = (uint32_t)tokens->n_items;
    REALM_TRY(take_arrays(vocab, n, error));
    vocab->n_tokens = n;
    REALM_TRY(find_numbers(gguf, "tokenizer.ggml.scores", GGUF_F32, n, &scores, error));
    REALM_TRY(find_numbers(gguf, "tokenizer.ggml.token_type", GGUF_I32, n, &types, error));
    for (token_id t = 0; t < n; t++) {
        const struct bytes text = tokens->strings[t];
        char *const copy = arena_string(&vocab->arena, (const char *)text.data, text.length);
        if (copy == NULL) {
            return realm_error_out_of_memory(error, text.length, "vocabulary");
        }
        vocab->texts[t] = (struct bytes){.data = (const uint8_t *)copy, .length = text.length};
        if (scores != NULL) {
            memcpy(&vocab->scores[t], scores + (size_t)t * 4, 4);
        }
        int32_t type = TOKEN_NORMAL;
        if (types != NULL) {
            memcpy(&type, types + (size_t)t * 4, 4);
        }
        vocab->types[t] = type >= TOKEN_NORMAL && type <= TOKEN_BYTE ? (uint8_t)type : TOKEN_NORMAL;
        REALM_TRY(set_bytes(vocab, t, byte_level, error));
    }
    return REALM_OK;
}

static void index_tokens(struct vocab *vocab, bool byte_level)
{
    for (size_t i = 0; i < 256; i++) {
        vocab->byte_tokens[i] = TOKEN_NONE;
    }
    for (token_id t = 0; t < vocab->n_tokens; t++) {
        const struct bytes bytes = vocab->bytes[t];
        const uint8_t type = vocab->types[t];
        const bool is_byte = type == TOKEN_BYTE || (byte_level && type == TOKEN_NORMAL);
        if (is_byte && bytes.length == 1 && vocab->byte_tokens[bytes.data[0]] == TOKEN_NONE) {
            vocab->byte_tokens[bytes.data[0]] = t;
        }
        if ((type == TOKEN_NORMAL || type == TOKEN_USER_DEFINED || type == TOKEN_UNUSED) &&
            bytes.length > 0) {
            put_token(vocab, t);
        }
    }
}

realm_status
vocab_init(struct vocab *vocab, const struct gguf *gguf, bool byte_level, struct realm_error *error)
{
    arena_init(&vocab->arena, ALLOC_MODEL, 0);
    REALM_TRY(read_tokens(vocab, gguf, byte_level, error));
    index_tokens(vocab, byte_level);
    REALM_TRY(read_optional_id(vocab, gguf, "tokenizer.ggml.bos_token_id", &vocab->bos, error));
    REALM_TRY(read_optional_id(vocab, gguf, "tokenizer.ggml.eos_token_id", &vocab->eos, error));
    REALM_TRY(
        read_optional_id(vocab, gguf, "tokenizer.ggml.unknown_token_id", &vocab->unknown, error));
    REALM_TRY(read_optional_bool(
        gguf, "tokenizer.ggml.add_bos_token", !byte_level, &vocab->add_bos, error));
    REALM_TRY(
        read_optional_bool(gguf, "tokenizer.ggml.add_eos_token", false, &vocab->add_eos, error));
    return read_optional_bool(
        gguf, "tokenizer.ggml.add_space_prefix", !byte_level, &vocab->add_space_prefix, error);
}

void vocab_deinit(struct vocab *vocab)
{
    arena_deinit(&vocab->arena);
}
