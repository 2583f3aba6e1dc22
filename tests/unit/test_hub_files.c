/* The cache's folder, and downloads on disk before they are whole. */
#include "base/file.h"
#include "hub/checksum.h"
#include "hub/hub.h"
#include "hub/part_file.h"
#include "support/cmocka_all.h"
#include "support/test_support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct temp_folder folder;
static struct realm_error error;

static int make_folder(void **state)
{
    (void)state;
    temp_folder_make(&folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    file_fail_after(UINT64_MAX, 0);
    temp_folder_remove(&folder);
    return 0;
}

static void put(const char *name, const char *text)
{
    char path[TEST_PATH_BYTES];
    temp_folder_path(&folder, name, path);
    char *const slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(file_make_folder(path, 0755, &error), REALM_OK);
    *slash = '/';
    test_write_file(path, text, strlen(text));
}

static bool note(void *context, const struct hub_model *model)
{
    char *const text = context;
    const size_t n = strlen(text);
    (void)snprintf(text + n,
                   512 - n,
                   "%s:%llu:%u ",
                   model->name,
                   (unsigned long long)model->bytes,
                   model->n_parts);
    return true;
}

static const char *find(const char *name)
{
    static char path[HUB_PATH_BYTES];
    const realm_status status = hub_find(folder.path, name, path, &error);
    return status == REALM_OK ? strrchr(path, '/') + 1 : realm_status_name(status);
}

static void models_are_listed_by_name_with_their_parts_together(void **state)
{
    (void)state;
    char text[512] = "";
    assert_int_equal(hub_list(folder.path, note, text, &error), REALM_OK);
    assert_string_equal(text, "");
    put("models/zeta.gguf", "12345");
    put("models/acme/repo/alpha-00002-of-00002.GGUF", "222");
    put("models/acme/repo/alpha-00001-of-00002.GGUF", "1");
    put("models/acme/other/alpha.gguf", "333");
    put("models/beta.gguf.part", "no");
    put("models/.hidden.gguf", "no");
    put("models/notes.txt", "no");
    put("models/a/b/c/d/deep.gguf", "no");
    assert_int_equal(hub_list(folder.path, note, text, &error), REALM_OK);
    assert_string_equal(text, "alpha:3:1 alpha:4:2 zeta:5:1 ");
}

static void a_model_is_found_by_name_beginning_or_catalogue(void **state)
{
    (void)state;
    put("models/SmolLM2-135M-Instruct.Q4_1.gguf", "x");
    put("models/acme/repo/tiny-Q8_0.gguf", "x");
    put("models/acme/repo/tiny-Q4_0.gguf", "x");
    put("models/acme/repo/big-00002-of-00002.gguf", "x");
    put("models/acme/repo/big-00001-of-00002.gguf", "x");
    assert_string_equal(find("smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_string_equal(find("smollm2-135m-instruct.q4_1"), "SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_string_equal(find("SmolLM2-135M"), "SmolLM2-135M-Instruct.Q4_1.gguf");
    assert_string_equal(find("tiny-q8_0"), "tiny-Q8_0.gguf");
    assert_string_equal(find("big"), "big-00001-of-00002.gguf");
    assert_string_equal(find("tiny"), "invalid_argument");
    assert_non_null(strstr(error.message, "tiny-Q4_0"));
    assert_non_null(strstr(error.message, "tiny-Q8_0"));
    assert_string_equal(find("other"), "not_found");
    assert_non_null(strstr(error.message, "tiny-Q8_0"));
    assert_string_equal(find("qwen3-0.6b"), "not_found");
    assert_non_null(strstr(error.message, "realm models pull qwen3-0.6b"));
}

/* --- part files --- */

static bool go_on(void *context)
{
    (void)context;
    return true;
}

static struct part_file open_part(const char *url)
{
    char target[TEST_PATH_BYTES];
    struct part_file part;
    temp_folder_path(&folder, "m.gguf", target);
    assert_int_equal(part_file_open(target, url, go_on, NULL, &part, &error), REALM_OK);
    return part;
}

static void bytes_of_the_same_version_are_resumed(void **state)
{
    (void)state;
    struct part_file part = open_part("https://h/m.gguf");
    assert_int_equal(part.bytes, 0);
    assert_int_equal(part_file_restart(&part, "\"etag\"", &error), REALM_OK);
    assert_int_equal(part_file_append(&part, "GGUF", 4, &error), REALM_OK);
    part_file_close(&part);

    part = open_part("https://h/other.gguf");
    assert_int_equal(part.bytes, 4);
    assert_string_equal(part.validator, "");
    part_file_close(&part);

    part = open_part("https://h/m.gguf");
    assert_string_equal(part.validator, "\"etag\"");
    assert_int_equal(part_file_append(&part, "more", 4, &error), REALM_OK);
    assert_int_equal(part_file_finish(&part, &error), REALM_OK);
    assert_true(file_exists(part.target));
    assert_false(file_exists(part.path));
    assert_false(file_exists(part.from_path));
}

static void a_full_disk_keeps_what_is_there(void **state)
{
    (void)state;
    struct part_file part = open_part("https://h/m.gguf");
    assert_int_equal(part_file_restart(&part, "\"etag\"", &error), REALM_OK);
    assert_int_equal(part_file_append(&part, "GGUF", 4, &error), REALM_OK);
    file_fail_after(0, ENOSPC);
    assert_int_equal(part_file_append(&part, "more", 4, &error), REALM_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(error.message, "no space"));
    file_fail_after(UINT64_MAX, 0);
    part_file_close(&part);
    part = open_part("https://h/m.gguf");
    assert_int_equal(part.bytes, 4);
    assert_int_equal(part_file_check_space(&part, UINT64_MAX, &error), REALM_RESOURCE_EXHAUSTED);
    assert_int_equal(part_file_check_space(&part, 0, &error), REALM_OK);
    part_file_discard(&part);
    assert_false(file_exists(part.path));
}

static void every_failing_call_is_an_error(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        struct part_file part = {.descriptor = -1};
        char target[TEST_PATH_BYTES];
        temp_folder_path(&folder, "m.gguf", target);
        file_fail_after(n, EIO);
        realm_status status = part_file_open(target, "https://h/m", go_on, NULL, &part, &error);
        if (status == REALM_OK) {
            status = part_file_restart(&part, "\"e\"", &error);
        }
        if (status == REALM_OK) {
            status = part_file_append(&part, "GGUF", 4, &error);
        }
        if (status == REALM_OK) {
            status = part_file_finish(&part, &error);
        }
        part_file_close(&part);
        file_fail_after(UINT64_MAX, 0);
        failed = status != REALM_OK;
        assert_true(failed ? status == REALM_IO && !file_exists(target) : file_exists(target));
        assert_true(n < 100);
    }
}

static void checksums_are_those_of_the_standard(void **state)
{
    (void)state;
    char text[65];
    const struct bytes abc = {.data = (const uint8_t *)"abc", .length = 3};
    assert_int_equal(checksum_sha256(abc, text, &error), REALM_OK);
    assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(checksum_is_sha256(text));
    text[0] = 'g';
    assert_false(checksum_is_sha256(text));
    assert_false(checksum_is_sha256("abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            models_are_listed_by_name_with_their_parts_together, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(
            a_model_is_found_by_name_beginning_or_catalogue, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(
            bytes_of_the_same_version_are_resumed, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(
            a_full_disk_keeps_what_is_there, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(every_failing_call_is_an_error, make_folder, remove_folder),
        cmocka_unit_test(checksums_are_those_of_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
