/* The n-th allocation fails while an adapter is loaded: the call says so, what had the name before
 * still has it, and nothing leaks. */
#include "base/alloc.h"
#include "support/tiny_adapter.h"
#include "support/tiny_engine.h"

#define MAX_CALLS 2000

static uint64_t held(void)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < ALLOC_N_PURPOSES; i++) {
        n_bytes += alloc_held_bytes((enum alloc_purpose)i);
    }
    return n_bytes;
}

static void a_load_that_finds_no_memory_leaves_nothing(void **state)
{
    (void)state;
    struct tiny_engine tiny;
    struct file_map map;
    tiny_engine_open(&tiny,
                     &(struct engine_options){.n_threads = 1},
                     &(struct engine_model_options){.context_length = 64});
    tiny_adapter_map(&map);
    tiny_adapter_load(tiny.engine, tiny.model, NULL, "style");
    struct engine_adapter *const older =
        engine_adapter_find(tiny.engine, tiny.model, NULL, "style");
    const uint64_t before = held();
    realm_status status = REALM_OUT_OF_MEMORY;
    uint64_t n = 0;
    for (; status != REALM_OK && n < MAX_CALLS; n++) {
        struct realm_error error = {.status = REALM_OK};
        alloc_fail_after(n);
        status = engine_adapter_load(tiny.engine, tiny.model, NULL, "style", map.bytes, &error);
        alloc_fail_after(UINT64_MAX);
        struct engine_adapter *const found =
            engine_adapter_find(tiny.engine, tiny.model, NULL, "style");
        if (status != REALM_OK) {
            assert_int_equal(status, REALM_OUT_OF_MEMORY);
            assert_int_equal(error.status, status);
            assert_ptr_equal(found, older);
            assert_int_equal(held(), before);
        } else {
            assert_ptr_not_equal(found, older);
        }
        engine_adapter_release(found);
    }
    assert_int_equal(status, REALM_OK);
    assert_true(n > 5);
    engine_adapter_release(older);
    file_map_close(&map);
    tiny_engine_close(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_that_finds_no_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
