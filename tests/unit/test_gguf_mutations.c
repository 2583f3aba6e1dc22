/* Bad input at length: a file cut at 1,000 places, and bytes of its header changed at 10,000. Each
 * variant opens or is refused quickly; what opens is walked from end to end. */
#include "base/clock.h"
#include "gguf/gguf.h"
#include "support/cmocka_all.h"
#include "support/gguf_support.h"
#include "support/test_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_CUTS     1000
#define N_FLIPS    10000
#define SLOWEST_NS 1000000000u
/* Beyond the file's own size; the views of strings are within a factor of two of their bytes. */
#define MEMORY_BOUND ((uint64_t)1 << 20)

static struct temp_folder folder;
static struct file_map small_model;

static int make_model(void **state)
{
    (void)state;
    char path[TEST_PATH_BYTES];
    temp_folder_make(&folder);
    (void)temp_folder_path(&folder, "model.gguf", path);
    return write_small_model(path, 400, NULL) == REALM_OK &&
                   file_map_open(path, &small_model, NULL) == REALM_OK
               ? 0
               : -1;
}

static int remove_model(void **state)
{
    (void)state;
    file_map_close(&small_model);
    temp_folder_remove(&folder);
    return 0;
}

/* True: it opened.  Whatever happens is quick, bounded, and leaves nothing behind. */
static bool try_open(struct bytes bytes)
{
    struct gguf *gguf;
    struct realm_error error = {.message = ""};
    const uint64_t start_ns = clock_monotonic_ns();
    const realm_status status = gguf_open_bytes(bytes, &gguf, &error);
    if (status == REALM_OK) {
        assert_true(alloc_held_bytes(ALLOC_MODEL) < 2 * (uint64_t)bytes.length + MEMORY_BOUND);
        assert_int_not_equal(gguf_walk(gguf), 0);
        gguf_close(gguf);
    } else {
        assert_true(status == REALM_INVALID_FORMAT || status == REALM_UNSUPPORTED ||
                    status ==
                        REALM_INVALID_ARGUMENT); /* split.no of a part that is not the first */
        assert_int_equal(error.status, status);
        assert_true(strlen(error.message) > 10);
    }
    assert_true(clock_monotonic_ns() - start_ns < SLOWEST_NS);
    assert_int_equal(alloc_held_bytes(ALLOC_MODEL), 0);
    return status == REALM_OK;
}

/* A copy of exactly n bytes, so that a read behind them is seen by the sanitizer. */
static uint8_t *copy_of(const uint8_t *data, size_t n_bytes)
{
    uint8_t *copy = alloc_bytes(ALLOC_TEST, n_bytes);
    assert_non_null(copy);
    if (n_bytes > 0) {
        memcpy(copy, data, n_bytes);
    }
    return copy;
}

/* Where the tensors' bytes begin. */
static size_t header_bytes(struct bytes model)
{
    struct gguf *gguf;
    assert_int_equal(gguf_open_bytes(model, &gguf, NULL), REALM_OK);
    size_t first = model.length;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const size_t place = (size_t)(gguf_tensor_at(gguf, i)->data.data - model.data);
        first = place < first ? place : first;
    }
    gguf_close(gguf);
    return first;
}

static void a_cut_file_is_refused_wherever_it_is_cut(void **state)
{
    (void)state;
    const struct bytes whole = small_model.bytes;
    assert_true(try_open(whole));
    for (size_t i = 0; i < N_CUTS; i++) {
        const size_t length = (whole.length - 64) * i / N_CUTS;
        uint8_t *copy = copy_of(whole.data, length);
        assert_false(try_open((struct bytes){copy, length}));
        alloc_free(copy);
    }
}

static void every_byte_of_the_first_kilobyte_can_be_anything(void **state)
{
    (void)state;
    uint8_t *copy = copy_of(small_model.bytes.data, small_model.bytes.length);
    static const uint8_t values[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
    for (size_t i = 0; i < 1024; i++) {
        const uint8_t before = copy[i];
        for (size_t v = 0; v < sizeof(values); v++) {
            copy[i] = values[v];
            (void)try_open((struct bytes){copy, small_model.bytes.length});
        }
        copy[i] = before;
    }
    alloc_free(copy);
}

static void changed_headers_open_or_are_refused(void **state)
{
    (void)state;
    struct test_random random;
    test_random_init(&random, "changed_headers_open_or_are_refused");
    const struct bytes whole = small_model.bytes;
    const size_t n_header = header_bytes(whole);
    uint8_t *copy = copy_of(whole.data, whole.length);
    size_t n_opened = 0;
    for (size_t i = 0; i < N_FLIPS; i++) {
        const size_t n_changes = 1 + (size_t)test_random_below(&random, 3);
        size_t places[3];
        for (size_t c = 0; c < n_changes; c++) {
            places[c] = (size_t)test_random_below(&random, n_header);
            copy[places[c]] ^= (uint8_t)(1u << test_random_below(&random, 8));
        }
        n_opened += try_open((struct bytes){copy, whole.length});
        for (size_t c = 0; c < n_changes; c++) {
            copy[places[c]] = whole.data[places[c]];
        }
    }
    alloc_free(copy);
    assert_true(n_opened > 0 && n_opened < N_FLIPS); /* both ways were taken */
}

/* The same with a real model, when it was fetched: only its header is there, so that none opens,
 * but the refusals come from all over it. */
static void a_real_header_is_refused_when_spoilt(void **state)
{
    (void)state;
    const char *const path = getenv("REALM_MODEL_SMOLLM2");
    struct file_map map;
    if (path == NULL) {
        assert_null(getenv("REALM_REQUIRE_MODELS"));
        print_message("REALM_MODEL_SMOLLM2 is not set: not tested\n");
        skip();
    }
    assert_int_equal(file_map_open(path, &map, NULL), REALM_OK);
    const size_t n_header = header_bytes(map.bytes);
    struct test_random random;
    test_random_init(&random, "a_real_header_is_refused_when_spoilt");
    uint8_t *copy = copy_of(map.bytes.data, n_header);
    for (size_t i = 0; i < 100; i++) {
        assert_false(try_open((struct bytes){copy, (size_t)test_random_below(&random, n_header)}));
        const size_t place = (size_t)test_random_below(&random, i % 2 == 0 ? 4096 : n_header);
        copy[place] ^= (uint8_t)(1u << test_random_below(&random, 8));
        assert_false(try_open((struct bytes){copy, n_header}));
        copy[place] = map.bytes.data[place];
    }
    alloc_free(copy);
    file_map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_file_is_refused_wherever_it_is_cut),
        cmocka_unit_test(every_byte_of_the_first_kilobyte_can_be_anything),
        cmocka_unit_test(changed_headers_open_or_are_refused),
        cmocka_unit_test(a_real_header_is_refused_when_spoilt),
    };
    return cmocka_run_group_tests(tests, make_model, remove_model);
}
