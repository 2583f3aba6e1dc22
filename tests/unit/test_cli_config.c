/* Settings by file, environment and command line: who comes first, and what is told of mistakes. */
#include "cli/config.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct values {
    const char *file;
    bool flag;
    const char *host;
    uint32_t port;
    uint64_t kv_memory;
    struct arg_list models;
    uint32_t format;
};

static struct values values;
static const struct arg_option options[] = {
    {"config", 0, ARG_TEXT, &values.file, "FILE", "the file", 0, 0},
    {"flag", 0, ARG_FLAG, &values.flag, NULL, "a flag", 0, 0},
    {"host", 0, ARG_TEXT, &values.host, "H", "a text", 0, 0},
    {"port", 0, ARG_U32, &values.port, "P", "a number", 1, 65535},
    {"kv-memory", 0, ARG_SIZE, &values.kv_memory, "SIZE", "a size", 0, 0},
    {"model", 0, ARG_LIST, &values.models, "NAME=PATH", "models", 0, 0},
    {"format", 0, ARG_CHOICE, &values.format, "auto|text|json", "a format", 0, 0},
    {0},
};
enum { FLAG = 1, HOST, PORT, KV_MEMORY, MODEL };

static struct config config;

static int start(void **state)
{
    (void)state;
    values = (struct values){.host = "default", .port = 80};
    config_init(&config, options);
    return 0;
}

static int end(void **state)
{
    (void)state;
    config_deinit(&config);
    return 0;
}

static void take(const char *text)
{
    struct realm_error error;
    assert_int_equal(config_take_text(&config, "realm.yaml", text, strlen(text), "config", &error),
                     REALM_OK);
}

static void every_kind_of_option_is_a_key(void **state)
{
    (void)state;
    take("# a comment\nflag: true\nhost: \"::1\"\nport: 8080\nkv-memory: 2G\nformat: json\n"
         "model:\n  - small\n  - big=/models/big.gguf\n");
    assert_int_equal(config.n_problems, 0);
    assert_true(values.flag);
    assert_string_equal(values.host, "::1");
    assert_int_equal(values.port, 8080);
    assert_int_equal(values.kv_memory, 2ull << 30);
    assert_int_equal(values.format, 2);
    assert_int_equal(values.models.n, 2);
    assert_string_equal(values.models.items[1], "big=/models/big.gguf");
    assert_int_equal(config.origins[PORT].layer, CONFIG_FILE);
    assert_int_equal(config.origins[PORT].line, 4);
    assert_int_equal(config.origins[PORT].column, 7);
}

static void lists_of_pairs_may_be_mappings(void **state)
{
    (void)state;
    take("model: {small: /a.gguf, big: /b.gguf}\n");
    assert_int_equal(config.n_problems, 0);
    assert_int_equal(values.models.n, 2);
    assert_string_equal(values.models.items[0], "small=/a.gguf");
    assert_string_equal(values.models.items[1], "big=/b.gguf");
}

static void a_single_value_is_a_list_of_one(void **state)
{
    (void)state;
    take("model: small\n");
    assert_int_equal(values.models.n, 1);
    assert_string_equal(values.models.items[0], "small");
}

static void an_empty_file_sets_nothing(void **state)
{
    (void)state;
    take("");
    take("# only a comment\n");
    take("---\n");
    take("{}\n");
    assert_int_equal(values.port, 80);
    assert_int_equal(config.origins[PORT].layer, CONFIG_DEFAULT);
    /* A document that is there and holds null is no mapping. */
    assert_int_equal(config.n_problems, 1);
    assert_non_null(strstr(config.problems[0], "the file must be settings"));
}

static void the_command_line_comes_first_then_the_environment(void **state)
{
    (void)state;
    static const struct config_alias aliases[] = {{"host", "OTHER_HOST"}, {0}};
    const bool given[CONFIG_MAX_OPTIONS] = {[PORT] = true};
    (void)setenv("REALM_PORT", "1", 1);
    (void)setenv("REALM_KV_MEMORY", "1M", 1);
    (void)setenv("REALM_MODEL", "a=1,b=2", 1);
    (void)setenv("REALM_FLAG", "", 1); /* as if it were not set */
    (void)setenv("OTHER_HOST", "elsewhere", 1);
    values.port = 9;
    config_take_arguments(&config, given);
    config_take_environment(&config, aliases);
    take("port: 2\nkv-memory: 2M\nmodel: [c=3]\nflag: true\nhost: here\n");
    (void)unsetenv("REALM_PORT");
    (void)unsetenv("REALM_KV_MEMORY");
    (void)unsetenv("REALM_MODEL");
    (void)unsetenv("REALM_FLAG");
    (void)unsetenv("OTHER_HOST");
    assert_int_equal(config.n_problems, 0);
    assert_int_equal(values.port, 9);
    assert_int_equal(values.kv_memory, 1ull << 20);
    assert_int_equal(values.models.n, 2);
    assert_string_equal(values.models.items[1], "b=2");
    assert_true(values.flag);
    assert_string_equal(values.host, "elsewhere");
    char origin[64];
    config_describe_origin(&config, &options[PORT], origin, sizeof origin);
    assert_string_equal(origin, "--port");
    config_describe_origin(&config, &options[KV_MEMORY], origin, sizeof origin);
    assert_string_equal(origin, "REALM_KV_MEMORY");
    config_describe_origin(&config, &options[HOST], origin, sizeof origin);
    assert_string_equal(origin, "OTHER_HOST");
    config_describe_origin(&config, &options[FLAG], origin, sizeof origin);
    assert_string_equal(origin, "realm.yaml:4:7");
}

static void a_bad_variable_is_named(void **state)
{
    (void)state;
    static const struct config_alias none[] = {{0}};
    (void)setenv("REALM_PORT", "tcp://10.0.0.1:80", 1);
    config_take_environment(&config, none);
    (void)unsetenv("REALM_PORT");
    assert_int_equal(config.n_problems, 1);
    assert_string_equal(config.problems[0],
                        "REALM_PORT is \"tcp://10.0.0.1:80\" and must be a whole number between 1 "
                        "and 65535");
}

static void mistakes_are_told_with_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem; /* a part of it */
    } cases[] = {
        {"prot: 1\n", "realm.yaml:1:1: unknown key \"prot\"; did you mean \"port\"?"},
        {"entirely: 1\n", "unknown key \"entirely\"; \"realm config example\" lists the keys"},
        {"port: 0\n", "realm.yaml:1:7: port is \"0\" and must be a whole number between 1 and"},
        {"flag: yes\n", "flag is \"yes\" and must be true or false"},
        {"format: xml\n", "format is \"xml\" and must be one of auto|text|json"},
        {"kv-memory: lots\n", "kv-memory: \"lots\" is no size"},
        {"host:\n", "host has no value"},
        {"host: ~\n", "host has no value"},
        {"host: [a]\n", "host takes a single value here"},
        {"host: {a: b}\n", "host takes a single value here"},
        {"model: [[a]]\n", "realm.yaml:1:9: model takes a single value here"},
        {"port: 1\nhost: a\nport: 2\n", "realm.yaml:3:1: port stands in line 1 already"},
        {"config: other.yaml\n", "config cannot stand in the file that it names"},
        {"host: &a b\n", "anchors and tags are not used here"},
        {"host: !!str b\n", "anchors and tags are not used here"},
        {"model: [*a]\n", "write the value itself instead of an alias"},
        {"host: \"a\\0b\"\n", "there is a zero byte in the value"},
        {"- port\n", "the file must be settings, a line each"},
        {"port: 1\n---\nport: 2\n", "a second document"},
        {"\thost: a\n", "cannot start any token"},
        {"host: 'a\n", "realm.yaml:2:1: while scanning a quoted scalar"},
        {"host: \xff\n", "the file must be UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)end(NULL);
        (void)start(NULL);
        take(cases[i].text);
        assert_int_equal(config.n_problems, 1);
        if (strstr(config.problems[0], cases[i].problem) == NULL) {
            fail_msg("%s: \"%s\"", cases[i].text, config.problems[0]);
        }
    }
}

static void all_mistakes_are_told_at_once(void **state)
{
    (void)state;
    struct realm_error error;
    assert_int_equal(config_refuse_problems(&config, &error), REALM_OK);
    take("prot: [1, {a: [2]}]\nport: x\nhost: right\n? {a: b}\n: c\nflag: 1\n");
    assert_int_equal(config.n_problems, 4);
    assert_string_equal(values.host, "right");
    assert_int_equal(config_refuse_problems(&config, &error), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "unknown key \"prot\""));
    assert_non_null(strstr(error.message, "(and 3 more: \"realm config check\" shows all)"));
}

static void many_mistakes_are_counted_and_the_first_ones_kept(void **state)
{
    (void)state;
    char text[8192] = "";
    size_t n = 0;
    for (uint32_t i = 0; i < 3 * CONFIG_MAX_PROBLEMS; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "unheard-%u: 1\n", i);
    }
    take(text);
    assert_int_equal(config.n_problems, 3 * CONFIG_MAX_PROBLEMS);
    assert_non_null(config.problems[CONFIG_MAX_PROBLEMS - 1]);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    struct realm_error error;
    assert_int_equal(config_take_file(&config, "/there/is/none.yaml", "config", &error),
                     REALM_NOT_FOUND);
    assert_non_null(strstr(error.message, "/there/is/none.yaml"));
    assert_int_not_equal(config_take_file(&config, "/", "config", &error), REALM_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_kind_of_option_is_a_key, start, end),
        cmocka_unit_test_setup_teardown(lists_of_pairs_may_be_mappings, start, end),
        cmocka_unit_test_setup_teardown(a_single_value_is_a_list_of_one, start, end),
        cmocka_unit_test_setup_teardown(an_empty_file_sets_nothing, start, end),
        cmocka_unit_test_setup_teardown(
            the_command_line_comes_first_then_the_environment, start, end),
        cmocka_unit_test_setup_teardown(a_bad_variable_is_named, start, end),
        cmocka_unit_test_setup_teardown(mistakes_are_told_with_their_place, start, end),
        cmocka_unit_test_setup_teardown(all_mistakes_are_told_at_once, start, end),
        cmocka_unit_test_setup_teardown(
            many_mistakes_are_counted_and_the_first_ones_kept, start, end),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_is_an_error, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
