/* What tests of all folders share: a folder that vanishes, random numbers with a printed seed,
 * waiting with a deadline.  Failures end the test program with a message; cmocka is not needed
 * here. */
#ifndef REALM_TESTS_SUPPORT_TEST_SUPPORT_H
#define REALM_TESTS_SUPPORT_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEST_PATH_BYTES 512

/* A fresh folder under TMPDIR. */
struct temp_folder {
    char path[TEST_PATH_BYTES / 2];
};

void temp_folder_make(struct temp_folder *folder);
/* With all that is in it. */
void temp_folder_remove(const struct temp_folder *folder);
/* "<folder>/<name>" in the caller's buffer, which it returns. */
const char *
temp_folder_path(const struct temp_folder *folder, const char *name, char out[TEST_PATH_BYTES]);

/* Writes a whole file. */
void test_write_file(const char *path, const void *data, size_t n_bytes);

/* Random numbers for property tests: REALM_TEST_SEED, or a new seed; printed either way, so that a
 * failure can be had again. */
struct test_random {
    uint64_t state;
};

void test_random_init(struct test_random *random, const char *test_name);
uint64_t test_random_u64(struct test_random *random);
/* 0 .. limit-1; limit > 0. */
uint64_t test_random_below(struct test_random *random, uint64_t limit);

/* Asks again and again until it is true; false: deadline_ms went by. */
bool test_poll(bool (*is_true)(void *context), void *context, uint32_t deadline_ms);

#endif
