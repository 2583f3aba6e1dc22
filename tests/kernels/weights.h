/* Random weights in the file's blocks, for the tests of packing and of matmul. */
#ifndef REALM_TESTS_KERNELS_WEIGHTS_H
#define REALM_TESTS_KERNELS_WEIGHTS_H

#include "gguf/tensor_type.h"
#include "kernels/kernels_test.h"

enum weight_pattern {
    WEIGHT_RANDOM,
    WEIGHT_ALL_ONES,  /* every bit of every number and part scale set */
    WEIGHT_ALL_ZEROS, /* every bit of every number and part scale clear */
    WEIGHT_8_BIT_LOW, /* 8-bit numbers all -128 */
    WEIGHT_N_PATTERNS
};

/* A weight in the file's form and packed. */
struct test_weight {
    enum tensor_type type;
    enum tile_layout layout;
    uint32_t rows;
    uint32_t columns;
    uint32_t n_tiles;
    size_t row_bytes;
    size_t tile_bytes;
    struct guarded source;
    struct guarded tiles;
};

/* The types that can be multiplied by; WEIGHT_N_TYPES of them. */
extern const enum tensor_type weight_types[];
#define WEIGHT_N_TYPES 15u

/* Packed in two calls, the later tiles first. */
struct test_weight test_weight_make(struct kernel_test *test,
                                    enum tensor_type type,
                                    uint32_t rows,
                                    uint32_t columns,
                                    enum weight_pattern pattern);
/* Fails the test where packing wrote outside the tiles. */
void test_weight_free(struct kernel_test *test, struct test_weight *weight);

#endif
