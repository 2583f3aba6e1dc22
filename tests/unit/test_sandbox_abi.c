/* The ABI's table, its header and its page tell of the same calls. */
#include "guests/harness.h"
#include "sandbox/linker.h"

static char *read_whole(const char *path)
{
    char whole[TEST_PATH_BYTES];
    char *text;
    size_t n_bytes;
    struct realm_error error;
    (void)snprintf(whole, sizeof whole, "%s/../%s", REALM_TEST_DATA, path);
    if (file_read(whole, (size_t)1 << 20, &text, &n_bytes, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
    return text;
}

static uint32_t count(const char *text, const char *word)
{
    uint32_t n = 0;
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        n++;
    }
    return n;
}

static void every_call_stands_in_table_header_and_page(void **state)
{
    (void)state;
    char *header = read_whole("include/realm_guest.h");
    char *page = read_whole("docs/formats/guest-abi.md");
    uint32_t n = 0;
    for (; linker_row(n) != NULL; n++) {
        const struct abi_row *row = linker_row(n);
        char words[128];
        (void)snprintf(words, sizeof words, "REALM_IMPORT(%s)\n", row->name);
        assert_int_equal(count(header, words), 1);
        (void)snprintf(words, sizeof words, "#### `%s`\n", row->name);
        if (count(page, words) != 1) {
            fail_msg("docs/formats/guest-abi.md does not tell of %s", row->name);
        }
        const char *section = strstr(page, words);
        const char *end = strstr(section + 1, "####");
        (void)snprintf(
            words, sizeof words, "%sCosts %u fuel.", row->waits ? "Waits. " : "", row->fuel);
        const char *told = strstr(section, words);
        if (told == NULL || (end != NULL && told > end)) {
            fail_msg("the page does not say \"%s\" of %s", words, row->name);
        }
    }
    assert_int_equal(count(header, "\nREALM_IMPORT("), n);
    assert_int_equal(count(page, "\n#### "), n);
    alloc_free(header);
    alloc_free(page);
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_stands_in_table_header_and_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
