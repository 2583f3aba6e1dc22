#include "cli/args.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

struct values {
    bool flag;
    const char *text;
    uint32_t u32;
    uint64_t u64;
    float number;
    uint64_t size;
    struct arg_list list;
    uint32_t choice;
};

static struct values values;
static struct arg_operands operands;
static struct realm_error error;
static bool help;

static realm_status parse(const char *words)
{
    const struct arg_option options[] = {
        {"flag", 'f', ARG_FLAG, &values.flag, NULL, "a flag", 0, 0},
        {"text", 't', ARG_TEXT, &values.text, "TEXT", "a text", 0, 0},
        {"threads", 0, ARG_U32, &values.u32, "N", "threads", 1, 16},
        {"seed", 0, ARG_U64, &values.u64, "N", "any number", 0, 0},
        {"penalty", 0, ARG_FLOAT, &values.number, "P", "from -2 to 2", -2, 2},
        {"size", 0, ARG_SIZE, &values.size, "SIZE", "a size", 0, 0},
        {"model", 'm', ARG_LIST, &values.list, "M", "models", 0, 0},
        {"format", 0, ARG_CHOICE, &values.choice, "auto|text|json", "a format", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm test [options] FILE", .options = options, .max_operands = 2};
    static char copy[512];
    char *argv[32] = {"test"};
    int argc = 1;
    (void)snprintf(copy, sizeof copy, "%s", words);
    for (char *word = copy; *word != '\0' && argc < 32;) {
        argv[argc++] = word;
        word += strcspn(word, " ");
        if (*word == ' ') {
            *word++ = '\0';
        }
    }
    values = (struct values){.u32 = 7, .number = 0.5F};
    error.message[0] = '\0';
    return args_parse(&command, argc, argv, &operands, &help, &error);
}

static void options_take_their_value_beside_or_behind(void **state)
{
    (void)state;
    assert_int_equal(parse("--text=a=b --threads 4 -f -tx one -m p --model=q two"), REALM_OK);
    assert_string_equal(values.text, "x");
    assert_int_equal(values.u32, 4);
    assert_true(values.flag);
    assert_int_equal(values.list.n, 2);
    assert_string_equal(values.list.items[0], "p");
    assert_string_equal(values.list.items[1], "q");
    assert_int_equal(operands.n, 2);
    assert_string_equal(operands.items[1], "two");
}

static void absent_options_keep_their_default(void **state)
{
    (void)state;
    assert_int_equal(parse("one"), REALM_OK);
    assert_int_equal(values.u32, 7);
    assert_true(values.number == 0.5F);
    assert_false(values.flag);
}

static void unknown_options_name_the_nearest_known_one(void **state)
{
    (void)state;
    assert_int_equal(parse("--thread 4"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "did you mean --threads?"));
    assert_int_equal(parse("--modle=x"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "did you mean --model?"));
    assert_int_equal(parse("--xyzzy"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "--help lists"));
}

static void numbers_out_of_range_are_refused_with_the_range(void **state)
{
    (void)state;
    static const char *const wrong[] = {"--threads 0",
                                        "--threads 17",
                                        "--threads -1",
                                        "--threads 1e1",
                                        "--threads 0x4",
                                        "--threads 4x",
                                        "--threads=",
                                        "--threads 4294967297",
                                        "--seed 1e3",
                                        "--seed -1",
                                        "--penalty 2.5",
                                        "--penalty nan",
                                        "--penalty -2.001",
                                        "--penalty x",
                                        "--penalty 1e999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(parse(wrong[i]), REALM_INVALID_ARGUMENT);
    }
    assert_int_equal(parse("--threads 17"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "between 1 and 16"));
    assert_int_equal(parse("--penalty -2 --seed 18446744073709551615"), REALM_OK);
    assert_true(values.number == -2.0F);
    assert_true(values.u64 == UINT64_MAX);
}

static void sizes_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } right[] = {{"4096", 4096},
                 {"512M", 512ull << 20},
                 {"2G", 2ull << 30},
                 {"1.5g", 3ull << 29},
                 {"64KiB", 65536},
                 {"1T", 1ull << 40}};
    static const char *const wrong[] = {"", "M", "-1", "1X", "1MM", "1e30G", "1M!", "nan"};
    uint64_t bytes = 0;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_int_equal(args_parse_size(right[i].text, &bytes, &error), REALM_OK);
        assert_true(bytes == right[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(args_parse_size(wrong[i], &bytes, &error), REALM_INVALID_ARGUMENT);
    }
}

static void choices_are_the_placeholders_words(void **state)
{
    (void)state;
    assert_int_equal(parse("--format json"), REALM_OK);
    assert_int_equal(values.choice, 2);
    assert_int_equal(parse("--format js"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "auto|text|json"));
    assert_int_equal(parse("--format text|json"), REALM_INVALID_ARGUMENT);
}

static void flags_take_no_value_and_others_need_one(void **state)
{
    (void)state;
    assert_int_equal(parse("--flag=1"), REALM_INVALID_ARGUMENT);
    assert_int_equal(parse("--text"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "needs a value"));
}

static void help_counts_where_an_option_may_stand_only(void **state)
{
    (void)state;
    assert_int_equal(parse("--unknown --help"), REALM_OK);
    assert_true(help);
    assert_int_equal(parse("--text --help"), REALM_OK);
    assert_false(help);
    assert_string_equal(values.text, "--help");
    assert_int_equal(parse("-- --help"), REALM_OK);
    assert_false(help);
    assert_string_equal(operands.items[0], "--help");
}

static void operands_are_counted(void **state)
{
    (void)state;
    assert_int_equal(parse("one two three"), REALM_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "\"three\""));
    assert_int_equal(parse("- one"), REALM_OK);
    assert_string_equal(operands.items[0], "-");
}

static void a_list_has_a_ceiling(void **state)
{
    (void)state;
    struct arg_list list = {.n = ARG_LIST_MAX};
    const struct arg_option options[] = {{"m", 0, ARG_LIST, &list, "M", "", 0, 0}, {0}};
    const struct arg_command command = {.usage = "", .options = options};
    char *argv[] = {"test", "--m", "x"};
    assert_int_equal(args_parse(&command, 3, argv, &operands, &help, &error),
                     REALM_INVALID_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_take_their_value_beside_or_behind),
        cmocka_unit_test(absent_options_keep_their_default),
        cmocka_unit_test(unknown_options_name_the_nearest_known_one),
        cmocka_unit_test(numbers_out_of_range_are_refused_with_the_range),
        cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(choices_are_the_placeholders_words),
        cmocka_unit_test(flags_take_no_value_and_others_need_one),
        cmocka_unit_test(help_counts_where_an_option_may_stand_only),
        cmocka_unit_test(operands_are_counted),
        cmocka_unit_test(a_list_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
