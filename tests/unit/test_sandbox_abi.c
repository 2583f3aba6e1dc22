/* The ABI's table, its header, its page and the SDKs tell of the same calls. */
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

/* C programs include the header itself. */
static void every_call_stands_in_the_sdks(void **state)
{
    (void)state;
    char *rust = read_whole("guests/sdk-rust/src/abi.rs");
    char *go = read_whole("guests/sdk-go/abi.go");
    uint32_t n = 0;
    for (; linker_row(n) != NULL; n++) {
        const char *name = linker_row(n)->name;
        char words[128];
        (void)snprintf(words, sizeof words, "    pub fn %s(", name);
        if (count(rust, words) != 1) {
            fail_msg("guests/sdk-rust/src/abi.rs does not have %s", name);
        }
        (void)snprintf(words, sizeof words, "//go:wasmimport realm_v1 %s\n", name);
        if (count(go, words) != 1) {
            fail_msg("guests/sdk-go/abi.go does not have %s", name);
        }
    }
    assert_int_equal(count(rust, "    pub fn "), n);
    assert_int_equal(count(go, "//go:wasmimport"), n);
    alloc_free(rust);
    alloc_free(go);
}

int main(int argc, char **argv)
{
    if (harness_is_compiler(argc, argv)) {
        return sandbox_compiler_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_stands_in_table_header_and_page),
        cmocka_unit_test(every_call_stands_in_the_sdks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
