/* For tests of what reads GGUF files: files made byte by byte, a small model file made by the
 * writer, and a walk over everything that an opened file promises. */
#ifndef REALM_TESTS_SUPPORT_GGUF_SUPPORT_H
#define REALM_TESTS_SUPPORT_GGUF_SUPPORT_H

#include "base/strbuf.h"
#include "gguf/gguf.h"

/* Little-endian numbers appended to text. */
void put_u8(struct strbuf *out, uint8_t value);
void put_u16(struct strbuf *out, uint16_t value);
void put_u32(struct strbuf *out, uint32_t value);
void put_u64(struct strbuf *out, uint64_t value);
void put_f32(struct strbuf *out, float value);
void put_f64(struct strbuf *out, double value);
/* Length, then the bytes. */
void put_string(struct strbuf *out, const char *text);
/* "GGUF", version and the two counts. */
void put_header(struct strbuf *out, uint32_t version, uint64_t n_tensors, uint64_t n_values);
/* Key and type; the value is to follow. */
void put_key(struct strbuf *out, const char *key, uint32_t type);
void put_key_u32(struct strbuf *out, const char *key, uint32_t value);
/* A directory entry. */
void put_tensor(struct strbuf *out,
                const char *name,
                uint32_t n_dims,
                const uint64_t *shape,
                uint32_t type,
                uint64_t offset);
/* Zero bytes up to a multiple of alignment, then n_bytes more that count up. */
void put_data(struct strbuf *out, size_t alignment, size_t n_bytes);

struct bytes strbuf_bytes(const struct strbuf *text);

/* A file like a small llama's: every kind of value, a vocabulary of n_tokens with scores, types and
 * merges, tensors of several types.  Made by the writer at `path`. */
realm_status write_small_model(const char *path, uint32_t n_tokens, struct realm_error *error);

/* Reads every value, string and tensor byte of an opened file and looks each up by its name; the
 * result depends on all of them.  0: something that gguf.h promises does not hold. */
uint64_t gguf_walk(const struct gguf *gguf);

#endif
