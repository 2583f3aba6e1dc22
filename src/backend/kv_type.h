/* What the numbers of a KV cache are stored as; chosen when a model is loaded, the same for all its
 * layers.  Sums are F32 whatever the storage. */
#ifndef REALM_BACKEND_KV_TYPE_H
#define REALM_BACKEND_KV_TYPE_H

enum kv_type {
    KV_F16,  /* 2 bytes a number */
    KV_BF16, /* 2 bytes: the range of F32, fewer digits */
    KV_Q8_0, /* 8 bits, and an F16 scale for 32 columns of a token: 1.06 bytes */
    /* Keys as Q8_0; values in 4 bits, with an F16 scale and min for 32 columns of a token: 0.84
     * bytes on average. */
    KV_Q8_0_Q4_1,
    KV_N_TYPES
};

/* For options: the names in that order, and what the option is for. */
#define KV_TYPE_NAMES "f16|bf16|q8_0|q8_0_q4_1"
#define KV_TYPE_HELP                                                                               \
    "numbers of the KV cache; q8_0 takes half the memory, with values in q4_1 two fifths (f16)"

#endif
