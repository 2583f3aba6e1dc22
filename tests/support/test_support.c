#define _GNU_SOURCE /* nftw, mkdtemp */

#include "support/test_support.h"

#include "base/clock.h"
#include "base/random.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000u

static void give_up(const char *doing, const char *what)
{
    (void)fprintf(stderr, "test support: cannot %s %s: %s\n", doing, what, strerror(errno));
    exit(2);
}

void temp_folder_make(struct temp_folder *folder)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || *parent == '\0') {
        parent = "/tmp";
    }
    const int length = snprintf(folder->path, sizeof(folder->path), "%s/realm-test-XXXXXX", parent);
    if (length < 0 || (size_t)length >= sizeof(folder->path) || mkdtemp(folder->path) == NULL) {
        give_up("make a folder in", parent);
    }
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void temp_folder_remove(const struct temp_folder *folder)
{
    if (nftw(folder->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0) {
        give_up("remove", folder->path);
    }
}

const char *
temp_folder_path(const struct temp_folder *folder, const char *name, char out[TEST_PATH_BYTES])
{
    const int length = snprintf(out, TEST_PATH_BYTES, "%s/%s", folder->path, name);
    if (length < 0 || length >= TEST_PATH_BYTES) {
        give_up("name", name);
    }
    return out;
}

void test_write_file(const char *path, const void *data, size_t n_bytes)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, n_bytes, file) != n_bytes || fclose(file) != 0) {
        give_up("write", path);
    }
}

void test_random_init(struct test_random *random, const char *test_name)
{
    const char *chosen = getenv("REALM_TEST_SEED");
    uint64_t seed = 0;
    if (chosen != NULL) {
        seed = strtoull(chosen, NULL, 0);
    } else if (random_bytes(&seed, sizeof(seed), NULL) != REALM_OK) {
        give_up("draw a seed for", test_name);
    }
    random->state = seed;
    (void)printf("%s: REALM_TEST_SEED=0x%016llx\n", test_name, (unsigned long long)seed);
    (void)fflush(stdout);
}

/* SplitMix64 (Steele, Lea & Flood 2014). */
uint64_t test_random_u64(struct test_random *random)
{
    random->state += 0x9E3779B97F4A7C15u;
    uint64_t z = random->state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
    return test_random_u64(random) % limit;
}

bool test_poll(bool (*is_true)(void *context), void *context, uint32_t deadline_ms)
{
    const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)deadline_ms * NS_PER_MS;
    while (!is_true(context)) {
        if (clock_monotonic_ns() >= end_ns) {
            return false;
        }
        const struct timespec pause = {.tv_nsec = NS_PER_MS};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}
