/* GGUF files in memory, made value by value and tensor by tensor, so that a test can spoil any of
 * them; and tiny whole models of each architecture.  Nothing is checked here: a spoilt file is what
 * is wanted.  Weights are small random numbers, the same on every run. */
#ifndef REALM_TEST_SUPPORT_TINY_MODEL_H
#define REALM_TEST_SUPPORT_TINY_MODEL_H

#include "base/strbuf.h"
#include "gguf/gguf.h"

#define TINY_MAX_VALUES  64
#define TINY_MAX_TENSORS 128
#define TINY_MAX_ITEMS   16

struct tiny_value {
    char key[80];
    enum gguf_value_type type;
    enum gguf_value_type item_type;    /* of an array */
    uint32_t n_items;                  /* of an array; at most TINY_MAX_ITEMS */
    uint64_t integers[TINY_MAX_ITEMS]; /* [0] of a scalar; bits of a float */
    char text[64];                     /* of a string, and of each item of an array of strings */
};

struct tiny_tensor {
    char name[80];
    uint32_t type;
    uint32_t n_dims;
    uint64_t shape[GGUF_MAX_DIMS];
};

struct tiny_file {
    struct tiny_value values[TINY_MAX_VALUES];
    uint32_t n_values;
    struct tiny_tensor tensors[TINY_MAX_TENSORS];
    uint32_t n_tensors;
};

/* Each replaces a value of the same key; the result is the file's. */
struct tiny_value *tiny_put_u32(struct tiny_file *file, const char *key, uint32_t value);
struct tiny_value *tiny_put_f32(struct tiny_file *file, const char *key, float value);
struct tiny_value *tiny_put_bool(struct tiny_file *file, const char *key, bool value);
struct tiny_value *tiny_put_text(struct tiny_file *file, const char *key, const char *text);
/* item_type: an integer type or GGUF_BOOL. */
struct tiny_value *tiny_put_array(struct tiny_file *file,
                                  const char *key,
                                  enum gguf_value_type item_type,
                                  const uint64_t *items,
                                  uint32_t n_items);
void tiny_drop(struct tiny_file *file, const char *key);

/* rows 0: a vector. */
struct tiny_tensor *tiny_add_tensor(
    struct tiny_file *file, const char *name, uint32_t type, uint64_t rows, uint64_t columns);
/* NULL: there is none. */
struct tiny_tensor *tiny_find_tensor(struct tiny_file *file, const char *name);
void tiny_drop_tensor(struct tiny_file *file, const char *name);

/* A model of `architecture` ("llama", "gemma3", "qwen2", "qwen3", "phi3") that opens: 64 columns, 4
 * heads of 16 with 2 KV heads, 96 FFN columns, 80 tokens, untied output but for gemma3; 7 layers of
 * gemma3 and 2 of the others.  type: of its matrices; one with blocks of 256 gets 256 columns,
 * heads of 64 and 512 FFN columns. */
void tiny_model(struct tiny_file *file, const char *architecture, uint32_t type);

/* The file's bytes into an empty buffer; offsets and sizes follow from what the tensors say, as far
 * as their type is known and they stay below 256 KiB. */
void tiny_write(const struct tiny_file *file, struct strbuf *out);

#endif
