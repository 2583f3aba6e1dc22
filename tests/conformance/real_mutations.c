/* A real model's file cut at 1,000 places, and bytes of its header changed at 10,000: each variant
 * is refused with a reason, or loads; quickly, and with no more memory than the file has bytes.
 * Sanitizers see the same of small models (tests/unit/test_gguf_mutations.c,
 * test_model_bad_files.c).
 */
#include "base/alloc.h"
#include "base/log.h"
#include "gguf/gguf.h"
#include "model/model.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"
#include "tokenizer/tokenizer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define N_CUTS       1000u
#define N_FLIPS      10000u
#define SLOWEST_NS   1000000000u
#define MEMORY_BOUND ((uint64_t)64 << 20) /* beyond the file's size */

/* Of this thread's processor time: other work on the machine does not count. */
static uint64_t spent_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The file, private: changes are ours alone. */
static struct {
    uint8_t *data;
    size_t length;
} file;

static int map_model(void **state)
{
    (void)state;
    const char *const path = getenv("REALM_MODEL_SMOLLM2");
    if (path == NULL) {
        return getenv("REALM_REQUIRE_MODELS") != NULL ? -1 : 0;
    }
    struct stat status;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return -1;
    }
    file.length = (size_t)status.st_size;
    file.data = mmap(NULL, file.length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    return file.data == MAP_FAILED ? -1 : 0;
}

static int unmap_model(void **state)
{
    (void)state;
    return file.data != NULL ? munmap(file.data, file.length) : 0;
}

static uint64_t held_bytes(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ALLOC_N_PURPOSES; i++) {
        sum += alloc_held_bytes((enum alloc_purpose)i);
    }
    return sum;
}

static bool refused(realm_status status, const struct realm_error *error)
{
    if (status == REALM_OK) {
        return false;
    }
    assert_int_equal(error->status, status);
    assert_true(strlen(error->message) > 10);
    return true;
}

/* True: a model, and if asked for its tokenizer, were made of the first n bytes. */
static bool try_load(size_t n_bytes, bool with_tokenizer)
{
    struct realm_error error = {.message = ""};
    struct model *model = NULL;
    struct tokenizer *tokenizer = NULL;
    const uint64_t start_ns = spent_ns();
    const uint64_t before = held_bytes();
    bool loads = !refused(
        model_open_bytes((struct bytes){file.data, n_bytes}, NULL, &model, &error), &error);
    if (loads) {
        loads = !with_tokenizer ||
                !refused(tokenizer_create(model_gguf(model), &tokenizer, &error), &error);
        assert_true(held_bytes() - before < n_bytes + MEMORY_BOUND);
        tokenizer_destroy(tokenizer);
        model_close(model);
    }
    assert_true(spent_ns() - start_ns < SLOWEST_NS);
    assert_int_equal(held_bytes(), before);
    return loads;
}

static size_t header_bytes(void)
{
    struct gguf *gguf;
    assert_int_equal(gguf_open_bytes((struct bytes){file.data, file.length}, &gguf, NULL),
                     REALM_OK);
    size_t first = file.length;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const size_t place = (size_t)(gguf_tensor_at(gguf, i)->data.data - file.data);
        first = place < first ? place : first;
    }
    gguf_close(gguf);
    return first;
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    if (file.data == NULL) {
        skip();
    }
    assert_true(try_load(file.length, true));
    /* As many cuts in the header as behind it. */
    const size_t n_header = header_bytes();
    const size_t n_data = file.length - n_header;
    for (size_t i = 0; i < N_CUTS / 2; i++) {
        assert_false(try_load(n_header * i / (N_CUTS / 2), true));
        assert_false(try_load(n_header + n_data * i / (N_CUTS / 2), true));
    }
}

static void every_changed_header_loads_or_is_refused(void **state)
{
    (void)state;
    if (file.data == NULL) {
        skip();
    }
    struct test_random random;
    test_random_init(&random, "every_changed_header_loads_or_is_refused");
    const size_t n_header = header_bytes();
    uint32_t n_loaded = 0;
    for (uint32_t i = 0; i < N_FLIPS; i++) {
        /* The head's keys and the tensors' places are small beside the vocabulary. */
        const size_t reach = i % 4 == 0 ? 4096 : n_header;
        const size_t place = i % 4 == 1 ? n_header - 1 - (size_t)test_random_below(&random, 16384)
                                        : (size_t)test_random_below(&random, reach);
        const uint8_t byte = file.data[place];
        file.data[place] = (uint8_t)(byte ^ (1u << test_random_below(&random, 8)));
        /* A tokenizer takes ten times as long as the rest. */
        n_loaded += try_load(file.length, i % 16 == 2);
        file.data[place] = byte;
    }
    print_message("%u of %u changed headers load\n", n_loaded, N_FLIPS);
    assert_true(n_loaded > 0 && n_loaded < N_FLIPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_changed_header_loads_or_is_refused),
    };
    log_configure(LOG_ERROR, LOG_FORMAT_AUTO); /* a spoilt vocabulary warns, each time */
    return cmocka_run_group_tests(tests, map_model, unmap_model);
}
