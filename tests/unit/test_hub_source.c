#include "hub/choose.h"
#include "hub/hub.h"
#include "hub/source.h"
#include "support/cmocka_all.h"

#include <string.h>

static struct source source;
static struct realm_error error;

static void a_repository_is_taken_apart(void **state)
{
    (void)state;
    char url[SOURCE_URL_BYTES];
    assert_int_equal(source_parse("hf:acme/tiny.model-GGUF", &source, &error), REALM_OK);
    assert_string_equal(source.owner, "acme");
    assert_string_equal(source.repo, "tiny.model-GGUF");
    assert_string_equal(source.revision, "main");
    assert_string_equal(source.wanted, "");
    assert_int_equal(source_parse("hf:a/b@v1.0:Q4_K_M", &source, &error), REALM_OK);
    assert_string_equal(source.revision, "v1.0");
    assert_string_equal(source.wanted, "Q4_K_M");
    assert_int_equal(source_list_url(&source, "https://hub.test/", url, &error), REALM_OK);
    assert_string_equal(url, "https://hub.test/api/models/a/b/tree/v1.0?recursive=true");
    assert_int_equal(source_file_url(&source, NULL, "sub/a b%.gguf", url, &error), REALM_OK);
    assert_string_equal(strstr(url, "/a/b/"), "/a/b/resolve/v1.0/sub/a%20b%25.gguf");
    assert_memory_equal(url, "https://", 8);
}

static void an_address_names_its_file(void **state)
{
    (void)state;
    assert_int_equal(source_parse("https://h.test/x/a%20b.GGUF?download=1#f", &source, &error),
                     REALM_OK);
    assert_null(source.site);
    assert_string_equal(source.file, "a b.GGUF");
}

static void what_could_leave_the_cache_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "smollm",
        "hf:",
        "hf:acme",
        "hf:/x",
        "hf:acme/",
        "hf:../x",
        "hf:a/..",
        "hf:a/b@../c",
        "hf:a/b:../c.gguf",
        "hf:a/b:/c.gguf",
        "hf:a/b:",
        "hf:a/b:x//y.gguf",
        "hf:a/b:x\ny.gguf",
        "hf:a b/c",
        "https://h.test",
        "https://h.test/",
        "https://h.test/x.bin",
        "https://h.test/..gguf",
        "https://h.test/.gguf",
        "https://h.test/a%2fb.gguf",
        "https://h.test/a%00b.gguf",
        "https://h.test/a%0ab.gguf",
        "https://h.test/a%5cb.gguf",
        "ftp://h.test/x.gguf",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(source_parse(wrong[i], &source, &error), REALM_INVALID_ARGUMENT);
    }
    static char longest[SOURCE_URL_BYTES + 64];
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "https://h.test/", 15);
    assert_int_equal(source_parse(longest, &source, &error), REALM_INVALID_ARGUMENT);
    memcpy(longest, "hf:a/", 5);
    assert_int_equal(source_parse(longest, &source, &error), REALM_INVALID_ARGUMENT);
}

static void every_entry_of_the_catalogue_is_a_source(void **state)
{
    (void)state;
    size_t n = 0;
    for (; hub_catalogue_at(n) != NULL; n++) {
        const struct hub_catalogue_entry *const entry = hub_catalogue_at(n);
        assert_int_equal(source_parse(entry->name, &source, &error), REALM_OK);
        assert_non_null(source.site);
        assert_ptr_equal(hub_catalogue_find(entry->name), entry);
        assert_true(source.wanted[0] != '\0' && entry->about[0] != '\0');
    }
    assert_true(n > 3);
    assert_null(hub_catalogue_find("nothing"));
}

static void parts_of_a_split_model_are_known_by_name(void **state)
{
    (void)state;
    char name[64];
    uint32_t part;
    assert_int_equal(source_n_parts("m-00002-of-00003.gguf", &part), 3);
    assert_int_equal(part, 2);
    static const char *const single[] = {"m.gguf",
                                         "m-00004-of-00003.gguf",
                                         "m-00000-of-00003.gguf",
                                         "m-0001-of-00003.gguf",
                                         "m-00001-of-99999.gguf",
                                         "-00001-of-00002.gguf"};
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++) {
        assert_int_equal(source_n_parts(single[i], &part), 1);
        assert_int_equal(part, 1);
    }
    source_part_name("m-00002-of-00012.gguf", 11, name);
    assert_string_equal(name, "m-00011-of-00012.gguf");
}

/* --- choosing among a repository's files --- */

static const char listing[] =
    "[{\"type\": \"file\", \"path\": \"README.md\", \"size\": 3},"
    "{\"type\": \"directory\", \"path\": \"x.gguf\"},"
    "{\"type\": \"file\", \"path\": \"../evil-Q8_0.gguf\", \"size\": 3},"
    "{\"type\": \"file\", \"path\": \"mmproj-Q8_0.gguf\", \"size\": 3},"
    "{\"type\": \"file\", \"path\": \"m-Q8_0.gguf\", \"size\": 3, \"lfs\": {\"oid\": "
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"size\": 99}},"
    "{\"type\": \"file\", \"path\": \"m-Q4_K_M.gguf\", \"size\": -5},"
    "{\"type\": \"file\", \"path\": \"m-Q4_K_S.gguf\"},"
    "{\"type\": \"file\", \"path\": \"m-imatrix.gguf\"},"
    "{\"type\": \"file\", \"path\": \"big/m-F16-00001-of-00002.gguf\", \"size\": 7},"
    "{\"type\": \"file\", \"path\": \"big/m-F16-00002-of-00002.gguf\", \"size\": 7},"
    "{\"path\": 7}, 8, null]";

static struct repository repository;

static const char *choose(const char *wanted)
{
    const struct repository_file *file = NULL;
    const realm_status status = repository_choose(&repository, wanted, "Q4_K_M", &file, &error);
    return status == REALM_OK ? file->path : realm_status_name(status);
}

static int read_listing(void **state)
{
    (void)state;
    return repository_parse(listing, sizeof listing - 1, &repository, &error) == REALM_OK ? 0 : -1;
}

static int forget_listing(void **state)
{
    (void)state;
    repository_deinit(&repository);
    return 0;
}

static void a_file_is_chosen_by_quant_name_or_path(void **state)
{
    (void)state;
    assert_string_equal(choose("Q8_0"), "m-Q8_0.gguf");
    assert_string_equal(choose("q4_k_s"), "m-Q4_K_S.gguf");
    assert_string_equal(choose("F16"), "big/m-F16-00001-of-00002.gguf");
    assert_string_equal(choose("m-q8_0.gguf"), "m-Q8_0.gguf");
    assert_string_equal(choose("mmproj-Q8_0.gguf"), "mmproj-Q8_0.gguf");
    assert_string_equal(choose(""), "m-Q4_K_M.gguf");
}

static void what_is_not_there_or_means_several_is_refused(void **state)
{
    (void)state;
    assert_string_equal(choose("Q2_K"), "not_found");
    assert_non_null(strstr(error.message, "m-Q8_0.gguf"));
    assert_string_equal(choose("Q4_K"), "not_found");
    assert_string_equal(choose("m"), "invalid_argument");
    assert_non_null(strstr(error.message, "m-Q8_0.gguf"));
    assert_string_equal(choose("imatrix"), "not_found");
}

static void sizes_and_checksums_are_those_of_the_large_file(void **state)
{
    (void)state;
    const struct repository_file *const file = repository_find(&repository, "m-Q8_0.gguf");
    assert_non_null(file);
    assert_int_equal(file->bytes, 99);
    assert_int_equal(file->sha256[0], 'a');
    assert_int_equal(repository_find(&repository, "m-Q4_K_M.gguf")->bytes, 0);
    assert_null(repository_find(&repository, "../evil-Q8_0.gguf"));
}

static void a_list_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "{}", "[", "[\"\\u0000\"]", "7"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct repository other;
        assert_int_equal(repository_parse(wrong[i], strlen(wrong[i]), &other, &error),
                         REALM_INVALID_FORMAT);
        repository_deinit(&other);
    }
}

static void an_empty_repository_and_an_only_file(void **state)
{
    (void)state;
    static const char only[] = "[{\"path\": \"odd.gguf\"}]";
    const struct repository_file *file = NULL;
    struct repository other;
    assert_int_equal(repository_parse(only, sizeof only - 1, &other, &error), REALM_OK);
    assert_int_equal(repository_choose(&other, "", "Q4_K_M", &file, &error), REALM_OK);
    assert_string_equal(file->path, "odd.gguf");
    repository_deinit(&other);
    assert_int_equal(repository_parse("[]", 2, &other, &error), REALM_OK);
    assert_int_equal(repository_choose(&other, "", "Q4_K_M", &file, &error), REALM_NOT_FOUND);
    repository_deinit(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repository_is_taken_apart),
        cmocka_unit_test(an_address_names_its_file),
        cmocka_unit_test(what_could_leave_the_cache_is_refused),
        cmocka_unit_test(every_entry_of_the_catalogue_is_a_source),
        cmocka_unit_test(parts_of_a_split_model_are_known_by_name),
        cmocka_unit_test(a_file_is_chosen_by_quant_name_or_path),
        cmocka_unit_test(what_is_not_there_or_means_several_is_refused),
        cmocka_unit_test(sizes_and_checksums_are_those_of_the_large_file),
        cmocka_unit_test(a_list_that_is_none_is_refused),
        cmocka_unit_test(an_empty_repository_and_an_only_file),
    };
    return cmocka_run_group_tests(tests, read_listing, forget_listing);
}
