/* What the numbers of a KV cache are stored as; chosen when a model is loaded, the same for all its
 * layers.  Sums are F32 whatever the storage. */
#ifndef REALM_BACKEND_KV_TYPE_H
#define REALM_BACKEND_KV_TYPE_H

enum kv_type {
    KV_F16,  /* 2 bytes a number */
    KV_BF16, /* 2 bytes: the range of F32, fewer digits */
    KV_Q8_0, /* 8 bits, and an F16 scale for 32 columns of a token: 1.06 bytes */
    KV_N_TYPES
};

/* For options: the names in that order, and what the option is for. */
#define KV_TYPE_NAMES "f16|bf16|q8_0"
#define KV_TYPE_HELP  "numbers of the KV cache; q8_0 takes half the memory (f16)"

#endif
