/* The n-th I/O call or allocation fails while a tenant's adapter is pushed in place of an older
 * one, or removed: the call says so, and what is listed, loaded and on disk is what was before. */
#define _GNU_SOURCE

#include "base/alloc.h"
#include "server/adapter_room.h"
#include "support/test_support.h"
#include "support/tiny_adapter.h"
#include "support/tiny_engine.h"

#include <dirent.h>
#include <errno.h>

#define MAX_CALLS 3000

struct fixture {
    struct tiny_engine tiny;
    struct temp_folder folder;
    struct account *account;
    struct adapter_owner owner;
    struct adapter_room *room;
    char *files[2]; /* two adapters, of other numbers */
    size_t n_bytes;
};

static void open_room(struct fixture *f)
{
    struct realm_error error;
    assert_int_equal(adapter_room_open(f->tiny.engine, f->folder.path, &f->room, &error), REALM_OK);
}

static int set_up(void **state)
{
    struct fixture *const f = alloc_zeroed(ALLOC_TEST, 1, sizeof *f);
    struct file_map map;
    assert_non_null(f);
    tiny_engine_open(&f->tiny,
                     &(struct engine_options){.n_threads = 1},
                     &(struct engine_model_options){.context_length = 64});
    temp_folder_make(&f->folder);
    f->account = tiny_account(3, &(struct account_options){.label = "tenant"});
    f->owner = (struct adapter_owner){.tenant = 7, .account = f->account};
    tiny_adapter_map(&map);
    f->n_bytes = map.bytes.length;
    for (uint32_t i = 0; i < 2; i++) {
        f->files[i] = alloc_string(ALLOC_TEST, (const char *)map.bytes.data, f->n_bytes);
        f->files[i][f->n_bytes - 4] ^= (char)i; /* the last digits of a number */
    }
    file_map_close(&map);
    open_room(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    adapter_room_close(f->room);
    tiny_engine_close(&f->tiny);
    account_release(f->account);
    temp_folder_remove(&f->folder);
    alloc_free(f->files[0]);
    alloc_free(f->files[1]);
    alloc_free(f);
    return 0;
}

static realm_status push(struct fixture *f, uint32_t which, struct adapter_item *out)
{
    struct realm_error error = {.status = REALM_OK};
    const struct bytes bytes = {.data = (const uint8_t *)f->files[which], .length = f->n_bytes};
    const realm_status status =
        adapter_room_push(f->room, &f->owner, f->tiny.model, "style", bytes, out, &error);
    assert_int_equal(error.status, status);
    return status;
}

struct seen {
    uint32_t n;
    struct adapter_item item; /* without its model */
};

static void see(void *context, const struct adapter_item *item)
{
    struct seen *const seen = context;
    seen->n++;
    seen->item = *item;
}

static struct seen look(struct fixture *f)
{
    struct seen seen = {.n = 0};
    struct realm_error error;
    assert_int_equal(adapter_room_each(f->room, &f->owner, see, &seen, &error), REALM_OK);
    return seen;
}

static uint32_t n_files(const struct fixture *f)
{
    char path[TEST_PATH_BYTES];
    uint32_t n = 0;
    DIR *const stream = opendir(temp_folder_path(&f->folder, "t7", path));
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        n += entry->d_name[0] != '.';
    }
    assert_int_equal(closedir(stream), 0);
    return n;
}

/* One adapter of that hash is listed, and found in the engine if it says so. */
static void expect(struct fixture *f, const struct adapter_item *item)
{
    const struct seen seen = look(f);
    assert_int_equal(seen.n, 1);
    assert_string_equal(seen.item.sha256, item->sha256);
    struct engine_adapter *const found =
        engine_adapter_find(f->tiny.engine, f->tiny.model, f->account, "style");
    assert_int_equal(found != NULL, seen.item.loaded);
    engine_adapter_release(found);
    assert_int_equal(n_files(f), 2); /* it and the index */
}

/* As after a restart: what is on disk is all that counts. */
static void reopen(struct fixture *f)
{
    adapter_room_close(f->room);
    open_room(f);
}

static void fail_nothing(void)
{
    file_fail_after(UINT64_MAX, 0);
    alloc_fail_after(UINT64_MAX);
}

static void fail_file(uint64_t n)
{
    file_fail_after(n, ENOSPC);
}

/* Replaces until nothing fails; each failure leaves the older one. */
static void replace_with(struct fixture *f, void (*fail_after)(uint64_t n), realm_status wanted)
{
    struct adapter_item older;
    struct adapter_item newer;
    assert_int_equal(push(f, 0, &older), REALM_OK);
    realm_status status = wanted;
    uint64_t n = 0;
    for (; status != REALM_OK && n < MAX_CALLS; n++) {
        fail_after(n);
        status = push(f, 1, &newer);
        fail_nothing();
        if (status != REALM_OK) {
            assert_int_equal(status, wanted);
            expect(f, &older);
            reopen(f);
            expect(f, &older);
            assert_true(look(f).item.loaded);
        }
    }
    assert_int_equal(status, REALM_OK);
    assert_true(n > 5);
    expect(f, &newer);
    reopen(f);
    expect(f, &newer);
}

static void a_push_that_cannot_be_written_leaves_the_older_one(void **state)
{
    replace_with(*state, fail_file, REALM_IO);
}

static void a_push_that_finds_no_memory_leaves_the_older_one(void **state)
{
    replace_with(*state, alloc_fail_after, REALM_OUT_OF_MEMORY);
}

static void a_removal_that_cannot_be_written_leaves_it(void **state)
{
    struct fixture *const f = *state;
    struct adapter_item item;
    struct realm_error error;
    assert_int_equal(push(f, 0, &item), REALM_OK);
    realm_status status = REALM_IO;
    uint64_t n = 0;
    for (; status != REALM_OK && n < MAX_CALLS; n++) {
        file_fail_after(n, EIO);
        status = adapter_room_remove(f->room, &f->owner, "style", &error);
        fail_nothing();
        if (status != REALM_OK) {
            assert_int_equal(status, REALM_IO);
            expect(f, &item);
            assert_true(look(f).item.loaded);
        }
    }
    assert_int_equal(status, REALM_OK);
    assert_int_equal(look(f).n, 0);
    assert_null(engine_adapter_find(f->tiny.engine, f->tiny.model, f->account, "style"));
    assert_int_equal(n_files(f), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_push_that_cannot_be_written_leaves_the_older_one),
        TEST(a_push_that_finds_no_memory_leaves_the_older_one),
        TEST(a_removal_that_cannot_be_written_leaves_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
