/* random.h, siphash.h and map.h. */
#include "base/map.h"
#include "base/random.h"
#include "base/siphash.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <stdio.h>
#include <string.h>

/* Random123's kat_vectors, philox4x32 with 10 rounds. */
static void philox_gives_the_published_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint32_t key[2];
        uint32_t expected[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        uint32_t out[4];
        philox_block(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].expected, sizeof(out));
    }
    struct philox philox = {0};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(philox_u32(&philox), vectors[0].expected[i]);
    }
    assert_int_equal(philox.counter, 4);
}

static void philox_numbers_depend_on_seed_and_counter_only(void **state)
{
    (void)state;
    struct philox whole = {.seed = 42};
    uint32_t numbers[40];
    for (size_t i = 0; i < 40; i++) {
        numbers[i] = philox_u32(&whole);
    }
    for (size_t i = 0; i < 40; i++) {
        struct philox from_here = {.seed = 42, .counter = i};
        assert_int_equal(philox_u32(&from_here), numbers[i]);
    }
    struct philox other = {.seed = 43};
    assert_int_not_equal(philox_u32(&other), numbers[0]);
}

static void philox_fractions_lie_in_their_range(void **state)
{
    (void)state;
    struct philox philox = {.seed = 7};
    double sum = 0;
    for (int i = 0; i < 20000; i++) {
        const float f = philox_float(&philox);
        const double d = philox_double(&philox);
        assert_true(f >= 0.0F && f < 1.0F);
        assert_true(d >= 0.0 && d < 1.0);
        sum += (double)f + d;
    }
    assert_true(sum / 40000 > 0.49 && sum / 40000 < 0.51); /* 0.002 is one standard deviation */
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t first[300];
    uint8_t second[300];
    assert_int_equal(random_bytes(first, sizeof(first), NULL), REALM_OK);
    assert_int_equal(random_bytes(second, sizeof(second), NULL), REALM_OK);
    assert_memory_not_equal(first, second, sizeof(first));
    assert_int_equal(random_bytes(first, 0, NULL), REALM_OK);
}

/* The authors' vectors: key 00 01 .. 0f, message 00 01 .. of the row's length. */
static void siphash_gives_the_published_vectors(void **state)
{
    (void)state;
    static const uint8_t expected[][8] = {
        {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72},
        {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74},
        {0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d},
        {0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85},
        {0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf},
        {0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18},
        {0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb},
        {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab},
        {0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93},
    };
    uint8_t key[SIPHASH_KEY_BYTES];
    uint8_t message[16];
    for (size_t i = 0; i < 16; i++) {
        key[i] = (uint8_t)i;
        message[i] = (uint8_t)i;
    }
    for (size_t length = 0; length < sizeof(expected) / 8; length++) {
        const uint64_t hash = siphash_2_4(key, message, length);
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal((uint8_t)(hash >> (8 * i)), expected[length][i]);
        }
    }
    assert_int_equal(siphash_2_4(key, message, 15), 0xa129ca6149be45e5); /* the paper's example */
}

static size_t key_of(uint64_t number, char out[80])
{
    /* Short keys live in the slot, long ones outside it: both kinds, and the edge. */
    static const int widths[] = {1, 24, 25, 70};
    return (size_t)snprintf(out, 80, "%0*llu", widths[number % 4], (unsigned long long)number);
}

static void map_agrees_with_a_plain_array(void **state)
{
    (void)state;
    enum { n_keys = 500 };
    static int values[n_keys];
    const void *expected[n_keys] = {NULL};
    size_t n_expected = 0;
    struct test_random random;
    test_random_init(&random, "map_agrees_with_a_plain_array");
    struct map *map;
    assert_int_equal(map_create(ALLOC_TEST, &map, NULL), REALM_OK);
    for (int i = 0; i < 50000; i++) {
        const size_t number = test_random_below(&random, n_keys);
        char key[80];
        const size_t n_bytes = key_of(number, key);
        if (test_random_below(&random, 2) == 0) {
            void *value = &values[test_random_below(&random, n_keys)];
            assert_true(map_put(map, key, n_bytes, value));
            n_expected += expected[number] == NULL;
            expected[number] = value;
        } else {
            assert_ptr_equal(map_remove(map, key, n_bytes), expected[number]);
            n_expected -= expected[number] != NULL;
            expected[number] = NULL;
        }
        assert_int_equal(map_length(map), n_expected);
        const size_t other = test_random_below(&random, n_keys);
        assert_ptr_equal(map_get(map, key, key_of(other, key)), expected[other]);
    }
    size_t cursor = 0;
    size_t n_seen = 0;
    const void *key;
    size_t n_bytes;
    void *value;
    while (map_next(map, &cursor, &key, &n_bytes, &value)) {
        assert_ptr_equal(map_get(map, key, n_bytes), value);
        n_seen++;
    }
    assert_int_equal(n_seen, n_expected);
    map_destroy(map);
    map_destroy(NULL);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

static void map_takes_any_bytes_as_key(void **state)
{
    (void)state;
    struct map *map;
    int values[3];
    assert_int_equal(map_create(ALLOC_TEST, &map, NULL), REALM_OK);
    assert_null(map_get(map, "", 0));
    assert_null(map_remove(map, "x", 1));
    assert_true(map_put(map, NULL, 0, &values[0]));
    assert_true(map_put(map, "\0", 1, &values[1]));
    assert_true(map_put(map, "\0\0", 2, &values[2]));
    assert_ptr_equal(map_get(map, "", 0), &values[0]);
    assert_ptr_equal(map_get(map, "\0", 1), &values[1]);
    assert_ptr_equal(map_get(map, "\0\0", 2), &values[2]);
    assert_null(map_get(map, "\0\0\0", 3));
    map_destroy(map);
}

static void map_is_unchanged_by_a_failed_put(void **state)
{
    (void)state;
    struct map *map;
    int value;
    static const char long_key[] = "thirty bytes and a few more of key";
    assert_int_equal(map_create(ALLOC_TEST, &map, NULL), REALM_OK);
    for (uint64_t i = 0; i < 100; i++) {
        char key[80];
        const size_t n_bytes = key_of(i, key);
        alloc_fail_after(0);
        const bool put_early = map_put(map, key, n_bytes, &value);
        alloc_fail_after(UINT64_MAX);
        assert_int_equal(map_length(map), i + put_early);
        assert_true(map_put(map, key, n_bytes, &value));
    }
    alloc_fail_after(0);
    assert_false(map_put(map, long_key, sizeof(long_key), &value));
    struct map *none;
    assert_int_equal(map_create(ALLOC_TEST, &none, NULL), REALM_OUT_OF_MEMORY);
    alloc_fail_after(UINT64_MAX);
    assert_null(none);
    assert_null(map_get(map, long_key, sizeof(long_key)));
    map_destroy(map);
    assert_int_equal(alloc_held_bytes(ALLOC_TEST), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_vectors),
        cmocka_unit_test(philox_numbers_depend_on_seed_and_counter_only),
        cmocka_unit_test(philox_fractions_lie_in_their_range),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(siphash_gives_the_published_vectors),
        cmocka_unit_test(map_agrees_with_a_plain_array),
        cmocka_unit_test(map_takes_any_bytes_as_key),
        cmocka_unit_test(map_is_unchanged_by_a_failed_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
