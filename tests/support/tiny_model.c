#include "support/tiny_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALIGNMENT        32u
#define MAX_TENSOR_BYTES (1u << 18)

static struct tiny_value *put(struct tiny_file *file, const char *key, enum gguf_value_type type)
{
    tiny_drop(file, key);
    struct tiny_value *const value = &file->values[file->n_values];
    file->n_values += file->n_values + 1 < TINY_MAX_VALUES;
    *value = (struct tiny_value){.type = type};
    (void)snprintf(value->key, sizeof value->key, "%s", key);
    return value;
}

struct tiny_value *tiny_put_u32(struct tiny_file *file, const char *key, uint32_t value)
{
    struct tiny_value *const v = put(file, key, GGUF_U32);
    v->integers[0] = value;
    return v;
}

struct tiny_value *tiny_put_f32(struct tiny_file *file, const char *key, float value)
{
    struct tiny_value *const v = put(file, key, GGUF_F32);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    v->integers[0] = bits;
    return v;
}

struct tiny_value *tiny_put_bool(struct tiny_file *file, const char *key, bool value)
{
    struct tiny_value *const v = put(file, key, GGUF_BOOL);
    v->integers[0] = value;
    return v;
}

struct tiny_value *tiny_put_text(struct tiny_file *file, const char *key, const char *text)
{
    struct tiny_value *const v = put(file, key, GGUF_STRING);
    (void)snprintf(v->text, sizeof v->text, "%s", text);
    return v;
}

struct tiny_value *tiny_put_array(struct tiny_file *file,
                                  const char *key,
                                  enum gguf_value_type item_type,
                                  const uint64_t *items,
                                  uint32_t n_items)
{
    struct tiny_value *const v = put(file, key, GGUF_ARRAY);
    v->item_type = item_type;
    v->n_items = n_items < TINY_MAX_ITEMS ? n_items : TINY_MAX_ITEMS;
    memcpy(v->integers, items, v->n_items * sizeof *items);
    return v;
}

void tiny_drop(struct tiny_file *file, const char *key)
{
    for (uint32_t i = 0; i < file->n_values; i++) {
        if (strcmp(file->values[i].key, key) == 0) {
            file->n_values--;
            memmove(&file->values[i],
                    &file->values[i + 1],
                    (file->n_values - i) * sizeof file->values[0]);
            return;
        }
    }
}

struct tiny_tensor *tiny_add_tensor(
    struct tiny_file *file, const char *name, uint32_t type, uint64_t rows, uint64_t columns)
{
    struct tiny_tensor *const t = &file->tensors[file->n_tensors];
    file->n_tensors += file->n_tensors + 1 < TINY_MAX_TENSORS;
    *t = (struct tiny_tensor){
        .type = type,
        .n_dims = rows == 0 ? 1 : 2,
        .shape = {columns, rows == 0 ? 1 : rows, 1, 1},
    };
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

struct tiny_tensor *tiny_find_tensor(struct tiny_file *file, const char *name)
{
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) {
            return &file->tensors[i];
        }
    }
    return NULL;
}

void tiny_drop_tensor(struct tiny_file *file, const char *name)
{
    struct tiny_tensor *const t = tiny_find_tensor(file, name);
    if (t != NULL) {
        file->n_tensors--;
        memmove(t, t + 1, (size_t)(&file->tensors[file->n_tensors] - t) * sizeof *t);
    }
}

/* --- bytes --------------------------------------------------------------------------------------
 */

static void write_number(struct strbuf *out, uint64_t value, uint32_t n_bytes)
{
    for (uint32_t i = 0; i < n_bytes; i++) {
        strbuf_append_char(out, (char)(value >> (8 * i) & 0xFF));
    }
}

static void write_text(struct strbuf *out, const char *text)
{
    write_number(out, strlen(text), 8);
    strbuf_append_text(out, text);
}

static uint32_t scalar_bytes(enum gguf_value_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64:
        return 8;
    default:
        return 4;
    }
}

static void write_value(const struct tiny_value *value, struct strbuf *out)
{
    write_text(out, value->key);
    write_number(out, value->type, 4);
    if (value->type == GGUF_STRING) {
        write_text(out, value->text);
        return;
    }
    if (value->type != GGUF_ARRAY) {
        write_number(out, value->integers[0], scalar_bytes(value->type));
        return;
    }
    write_number(out, value->item_type, 4);
    write_number(out, value->n_items, 8);
    for (uint32_t i = 0; i < value->n_items; i++) {
        if (value->item_type == GGUF_STRING) {
            write_text(out, value->text);
        } else {
            write_number(out, value->integers[i], scalar_bytes(value->item_type));
        }
    }
}

/* Bytes of a tensor in the file; 0 where that cannot be said. */
static uint64_t tensor_bytes(const struct tiny_tensor *tensor)
{
    uint64_t n_elements = 1;
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        if (tensor->shape[i] == 0 || n_elements > MAX_TENSOR_BYTES ||
            tensor->shape[i] > MAX_TENSOR_BYTES) {
            return 0;
        }
        n_elements *= tensor->shape[i];
    }
    uint64_t n_bytes;
    const bool known = tensor_type_find(tensor->type) != NULL &&
                       tensor_type_row_bytes((enum tensor_type)tensor->type, n_elements, &n_bytes);
    return known && n_bytes <= MAX_TENSOR_BYTES ? n_bytes : 0;
}

static void pad(struct strbuf *out)
{
    while (out->length % ALIGNMENT != 0) {
        strbuf_append_char(out, 0);
    }
}

/* F32 gets numbers around 0; blocks get bytes whose half-precision scales are small. */
static uint32_t next_word(const struct tiny_tensor *tensor, uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    uint32_t word = *state & 0x1F1F1F1Fu;
    if (tensor->type == TENSOR_F32) {
        float number = (float)(int32_t)*state * (0.2f / 2147483648.0f);
        if (strncmp(tensor->name, "rope_", 5) == 0) {
            number = 1.0f + fabsf(number);
        }
        memcpy(&word, &number, sizeof word);
    }
    return word;
}

static void write_weights(const struct tiny_tensor *tensor, uint64_t n_bytes, struct strbuf *out)
{
    uint32_t state = 2463534242u;
    for (const char *c = tensor->name; *c != 0; c++) {
        state = (state ^ (uint8_t)*c) * 16777619u;
    }
    state |= 1;
    while (n_bytes > 0) {
        uint32_t words[256];
        for (uint32_t i = 0; i < 256; i++) {
            words[i] = next_word(tensor, &state);
        }
        const size_t part = n_bytes < sizeof words ? (size_t)n_bytes : sizeof words;
        strbuf_append(out, (const char *)words, part);
        n_bytes -= part;
    }
}

void tiny_write(const struct tiny_file *file, struct strbuf *out)
{
    strbuf_append_text(out, "GGUF");
    write_number(out, 3, 4);
    write_number(out, file->n_tensors, 8);
    write_number(out, file->n_values, 8);
    for (uint32_t i = 0; i < file->n_values; i++) {
        write_value(&file->values[i], out);
    }
    uint64_t offset = 0;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const struct tiny_tensor *const t = &file->tensors[i];
        write_text(out, t->name);
        write_number(out, t->n_dims, 4);
        for (uint32_t d = 0; d < t->n_dims; d++) {
            write_number(out, d < GGUF_MAX_DIMS ? t->shape[d] : 1, 8);
        }
        write_number(out, t->type, 4);
        write_number(out, offset, 8);
        offset += (tensor_bytes(t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    pad(out);
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        write_weights(&file->tensors[i], tensor_bytes(&file->tensors[i]), out);
        pad(out);
    }
}

/* --- models -------------------------------------------------------------------------------------
 */

#define N_HEADS    4u
#define N_KV_HEADS 2u
#define VOCABULARY 80u

/* Rows must be whole blocks. */
struct widths {
    uint32_t width;
    uint32_t head;
    uint32_t ffn;
};

static struct widths widths_for(uint32_t type)
{
    const struct tensor_type_info *const info = tensor_type_find(type);
    if (info != NULL && info->block_length > 32) {
        return (struct widths){.width = 256, .head = 64, .ffn = 512};
    }
    return (struct widths){.width = 64, .head = 16, .ffn = 96};
}

static void
put_number(struct tiny_file *file, const char *architecture, const char *key, uint32_t n)
{
    char name[80];
    (void)snprintf(name, sizeof name, "%s.%s", architecture, key);
    tiny_put_u32(file, name, n);
}

static void put_float(struct tiny_file *file, const char *architecture, const char *key, float x)
{
    char name[80];
    (void)snprintf(name, sizeof name, "%s.%s", architecture, key);
    tiny_put_f32(file, name, x);
}

static void add(struct tiny_file *file,
                uint32_t layer,
                const char *role,
                uint32_t type,
                uint64_t rows,
                uint64_t columns)
{
    char name[80];
    (void)snprintf(name, sizeof name, "blk.%u.%s", layer, role);
    tiny_add_tensor(file, name, type, rows, columns);
}

static void
add_layer(struct tiny_file *file, uint32_t layer, const char *architecture, uint32_t type)
{
    const struct widths w = widths_for(type);
    const uint64_t q = (uint64_t)N_HEADS * w.head;
    const uint64_t kv = (uint64_t)N_KV_HEADS * w.head;
    const bool gemma3 = strcmp(architecture, "gemma3") == 0;
    const bool phi3 = strcmp(architecture, "phi3") == 0;
    add(file, layer, "attn_norm.weight", TENSOR_F32, 0, w.width);
    add(file, layer, "ffn_norm.weight", TENSOR_F32, 0, w.width);
    add(file, layer, "attn_output.weight", type, w.width, q);
    add(file, layer, "ffn_down.weight", type, w.width, w.ffn);
    if (phi3) {
        add(file, layer, "attn_qkv.weight", type, q + 2 * kv, w.width);
        add(file, layer, "ffn_up.weight", type, (uint64_t)2 * w.ffn, w.width);
        return;
    }
    add(file, layer, "attn_q.weight", type, q, w.width);
    add(file, layer, "attn_k.weight", type, kv, w.width);
    add(file, layer, "attn_v.weight", type, kv, w.width);
    add(file, layer, "ffn_gate.weight", type, w.ffn, w.width);
    add(file, layer, "ffn_up.weight", type, w.ffn, w.width);
    if (gemma3 || strcmp(architecture, "qwen3") == 0) {
        add(file, layer, "attn_q_norm.weight", TENSOR_F32, 0, w.head);
        add(file, layer, "attn_k_norm.weight", TENSOR_F32, 0, w.head);
    }
    if (gemma3) {
        add(file, layer, "post_attention_norm.weight", TENSOR_F32, 0, w.width);
        add(file, layer, "post_ffw_norm.weight", TENSOR_F32, 0, w.width);
    }
    if (strcmp(architecture, "qwen2") == 0) {
        add(file, layer, "attn_q.bias", TENSOR_F32, 0, q);
        add(file, layer, "attn_k.bias", TENSOR_F32, 0, kv);
        add(file, layer, "attn_v.bias", TENSOR_F32, 0, kv);
    }
}

void tiny_model(struct tiny_file *file, const char *architecture, uint32_t type)
{
    const bool gemma3 = strcmp(architecture, "gemma3") == 0;
    const uint32_t n_layers = gemma3 ? 7 : 2;
    const struct widths w = widths_for(type);
    *file = (struct tiny_file){.n_values = 0};
    tiny_put_text(file, "general.architecture", architecture);
    tiny_put_text(file, "general.name", "Tiny");
    put_number(file, architecture, "block_count", n_layers);
    put_number(file, architecture, "context_length", 256);
    put_number(file, architecture, "embedding_length", w.width);
    put_number(file, architecture, "feed_forward_length", w.ffn);
    put_number(file, architecture, "attention.head_count", N_HEADS);
    put_number(file, architecture, "attention.head_count_kv", N_KV_HEADS);
    put_float(file, architecture, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_float(file, architecture, "rope.freq_base", 20000.0f);
    put_number(file, architecture, "rope.dimension_count", w.head);
    if (gemma3) {
        put_number(file, architecture, "attention.sliding_window", 8);
        put_number(file, architecture, "attention.key_length", w.head);
        put_number(file, architecture, "attention.value_length", w.head);
    }
    tiny_add_tensor(file, "token_embd.weight", type, VOCABULARY, w.width);
    for (uint32_t layer = 0; layer < n_layers; layer++) {
        add_layer(file, layer, architecture, type);
    }
    tiny_add_tensor(file, "output_norm.weight", TENSOR_F32, 0, w.width);
    if (!gemma3) {
        tiny_add_tensor(file, "output.weight", type, VOCABULARY, w.width);
    }
}
