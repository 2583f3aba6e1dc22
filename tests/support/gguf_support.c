#include "support/gguf_support.h"

#include <stdio.h>
#include <string.h>

void put_u8(struct strbuf *out, uint8_t value)
{
    (void)strbuf_append(out, (const char *)&value, 1);
}

void put_u16(struct strbuf *out, uint16_t value)
{
    put_u8(out, (uint8_t)value);
    put_u8(out, (uint8_t)(value >> 8));
}

void put_u32(struct strbuf *out, uint32_t value)
{
    put_u16(out, (uint16_t)value);
    put_u16(out, (uint16_t)(value >> 16));
}

void put_u64(struct strbuf *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out, (uint32_t)(value >> 32));
}

void put_f32(struct strbuf *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_u32(out, bits);
}

void put_f64(struct strbuf *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_u64(out, bits);
}

void put_string(struct strbuf *out, const char *text)
{
    put_u64(out, strlen(text));
    (void)strbuf_append_text(out, text);
}

void put_header(struct strbuf *out, uint32_t version, uint64_t n_tensors, uint64_t n_values)
{
    (void)strbuf_append_text(out, "GGUF");
    put_u32(out, version);
    put_u64(out, n_tensors);
    put_u64(out, n_values);
}

void put_key(struct strbuf *out, const char *key, uint32_t type)
{
    put_string(out, key);
    put_u32(out, type);
}

void put_key_u32(struct strbuf *out, const char *key, uint32_t value)
{
    put_key(out, key, GGUF_U32);
    put_u32(out, value);
}

void put_tensor(struct strbuf *out,
                const char *name,
                uint32_t n_dims,
                const uint64_t *shape,
                uint32_t type,
                uint64_t offset)
{
    put_string(out, name);
    put_u32(out, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) {
        put_u64(out, shape[i]);
    }
    put_u32(out, type);
    put_u64(out, offset);
}

void put_data(struct strbuf *out, size_t alignment, size_t n_bytes)
{
    while (out->length % alignment != 0) {
        put_u8(out, 0);
    }
    for (size_t i = 0; i < n_bytes; i++) {
        put_u8(out, (uint8_t)i);
    }
}

struct bytes strbuf_bytes(const struct strbuf *text)
{
    return (struct bytes){(const uint8_t *)text->text, text->length};
}

static realm_status
put_number(struct gguf_writer *writer, enum gguf_value_type type, struct realm_error *error)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "test.number_%d", (int)type);
    struct gguf_value value = {.key = key, .type = type, .n_items = 1, .scalar.u64 = 1};
    if (type == GGUF_F32 || type == GGUF_F64) {
        value.scalar.f64 = -0.5;
    } else if (type == GGUF_BOOL) {
        value.scalar.boolean = true;
    }
    return gguf_writer_put(writer, &value, error);
}

static realm_status put_words(struct gguf_writer *writer,
                              const char *key,
                              const char *format_of_word,
                              uint32_t n_words,
                              struct realm_error *error)
{
    struct bytes *words = alloc_zeroed(ALLOC_TEST, n_words, sizeof(*words));
    char *text = alloc_bytes(ALLOC_TEST, (size_t)n_words * 16);
    realm_status status = REALM_OUT_OF_MEMORY;
    if (words != NULL && text != NULL) {
        for (uint32_t i = 0; i < n_words; i++) {
            char *word = text + (size_t)i * 16;
            const int length = snprintf(word, 16, "%s%x", format_of_word, i);
            words[i] = (struct bytes){(const uint8_t *)word, (size_t)length};
        }
        const struct gguf_value value = {.key = key,
                                         .type = GGUF_ARRAY,
                                         .item_type = GGUF_STRING,
                                         .n_items = n_words,
                                         .strings = words};
        status = gguf_writer_put(writer, &value, error);
    }
    alloc_free(words);
    alloc_free(text);
    return status;
}

static realm_status put_zeros(struct gguf_writer *writer,
                              const char *key,
                              enum gguf_value_type type,
                              size_t item_bytes,
                              uint32_t n_items,
                              struct realm_error *error)
{
    uint8_t *zeros = alloc_zeroed(ALLOC_TEST, n_items, item_bytes);
    if (zeros == NULL) {
        return REALM_OUT_OF_MEMORY;
    }
    const struct gguf_value value = {.key = key,
                                     .type = GGUF_ARRAY,
                                     .item_type = type,
                                     .n_items = n_items,
                                     .bytes = {zeros, n_items * item_bytes}};
    const realm_status status = gguf_writer_put(writer, &value, error);
    alloc_free(zeros);
    return status;
}

static realm_status
/* NOLINTNEXTLINE(readability-function-size): a list */
put_values(struct gguf_writer *writer, uint32_t n_tokens, struct realm_error *error)
{
    REALM_TRY(gguf_writer_put_string(writer, "general.architecture", "llama", error));
    REALM_TRY(gguf_writer_put_string(writer, "general.name", "Small \xE2\x9C\x93", error));
    REALM_TRY(gguf_writer_put_u32(writer, "llama.block_count", 2, error));
    REALM_TRY(gguf_writer_put_u32(writer, "llama.embedding_length", 256, error));
    REALM_TRY(gguf_writer_put_f32(writer, "llama.rope.freq_base", 10000.0F, error));
    for (int type = 0; type <= GGUF_F64; type++) {
        if (type != GGUF_STRING && type != GGUF_ARRAY) {
            REALM_TRY(put_number(writer, (enum gguf_value_type)type, error));
        }
    }
    REALM_TRY(put_words(writer, "tokenizer.ggml.tokens", "tok", n_tokens, error));
    REALM_TRY(put_words(writer, "tokenizer.ggml.merges", "t ok", n_tokens / 2, error));
    REALM_TRY(put_zeros(writer, "tokenizer.ggml.scores", GGUF_F32, 4, n_tokens, error));
    REALM_TRY(put_zeros(writer, "tokenizer.ggml.token_type", GGUF_I32, 4, n_tokens, error));
    REALM_TRY(put_zeros(writer, "test.flags", GGUF_BOOL, 1, 5, error));
    return put_zeros(writer, "test.nothing", GGUF_U8, 1, 0, error);
}

static const struct small_tensor {
    const char *name;
    enum tensor_type type;
    uint32_t n_dims;
    uint64_t shape[GGUF_MAX_DIMS];
} small_tensors[] = {
    {"token_embd.weight", TENSOR_Q8_0, 2, {256, 3}},
    {"blk.0.attn_norm.weight", TENSOR_F32, 1, {5}},
    {"blk.0.attn_q.weight", TENSOR_Q4_K, 2, {256, 2}},
    {"blk.0.attn_k.weight", TENSOR_Q5_0, 2, {32, 1}},
    {"blk.1.ffn_gate_exps.weight", TENSOR_F16, 3, {3, 2, 2}},
    {"blk.1.odd", TENSOR_I8, 4, {1, 2, 1, 3}},
};
#define N_SMALL_TENSORS (sizeof(small_tensors) / sizeof(small_tensors[0]))

static realm_status fill_small_model(struct gguf_writer *writer,
                                     const char *path,
                                     uint32_t n_tokens,
                                     struct realm_error *error)
{
    REALM_TRY(put_values(writer, n_tokens, error));
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < N_SMALL_TENSORS; i++) {
        const struct small_tensor *tensor = &small_tensors[i];
        REALM_TRY(gguf_writer_add_tensor(
            writer, tensor->name, tensor->type, tensor->n_dims, tensor->shape, error));
        uint64_t row_bytes = 0;
        (void)tensor_type_row_bytes(tensor->type, tensor->shape[0], &row_bytes);
        for (uint32_t d = 1; d < tensor->n_dims; d++) {
            row_bytes *= tensor->shape[d];
        }
        n_bytes += row_bytes;
    }
    REALM_TRY(gguf_writer_begin(writer, path, error));
    for (uint64_t i = 0; i < n_bytes; i++) {
        const uint8_t byte = (uint8_t)(i * 7);
        REALM_TRY(gguf_writer_data(writer, &byte, 1, error));
    }
    return gguf_writer_commit(writer, error);
}

realm_status write_small_model(const char *path, uint32_t n_tokens, struct realm_error *error)
{
    struct gguf_writer *writer;
    REALM_TRY(gguf_writer_create(&writer, error));
    const realm_status status = fill_small_model(writer, path, n_tokens, error);
    gguf_writer_destroy(writer);
    return status;
}

static uint64_t mix(uint64_t sum, const uint8_t *data, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        sum = (sum ^ data[i]) * 0x100000001B3u;
    }
    return sum;
}

static uint64_t walk_value(uint64_t sum, const struct gguf_value *value)
{
    sum = mix(sum, (const uint8_t *)value->key, strlen(value->key)) + (uint64_t)value->type;
    sum = mix(sum, value->bytes.data, value->bytes.length) + value->n_items;
    if (value->type != GGUF_ARRAY) {
        return mix(sum, (const uint8_t *)&value->scalar, 1);
    }
    for (uint64_t i = 0; value->item_type == GGUF_STRING && i < value->n_items; i++) {
        sum = mix(sum, value->strings[i].data, value->strings[i].length);
    }
    return sum;
}

static bool tensor_is_as_promised(const struct gguf *gguf, const struct gguf_tensor *tensor)
{
    uint64_t n_bytes;
    if (gguf_find_tensor(gguf, tensor->name) != tensor || tensor->n_dims == 0 ||
        tensor->n_dims > GGUF_MAX_DIMS ||
        !tensor_type_row_bytes(tensor->type, tensor->shape[0], &n_bytes)) {
        return false;
    }
    for (uint32_t d = 1; d < GGUF_MAX_DIMS; d++) {
        n_bytes *= tensor->shape[d];
    }
    return tensor->shape[0] != 0 && n_bytes != 0 && n_bytes == tensor->data.length;
}

uint64_t gguf_walk(const struct gguf *gguf)
{
    uint64_t sum = 0xCBF29CE484222325u;
    for (size_t i = 0; i < gguf_n_values(gguf); i++) {
        const struct gguf_value *value = gguf_value_at(gguf, i);
        if (gguf_find(gguf, value->key) != value) {
            return 0;
        }
        sum = walk_value(sum, value);
    }
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(gguf, i);
        if (!tensor_is_as_promised(gguf, tensor)) {
            return 0;
        }
        sum = mix(sum, tensor->data.data, tensor->data.length);
    }
    if (gguf_value_at(gguf, gguf_n_values(gguf)) != NULL ||
        gguf_tensor_at(gguf, gguf_n_tensors(gguf)) != NULL) {
        return 0;
    }
    return sum != 0 ? sum : 1;
}
