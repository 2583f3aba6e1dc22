#include "cli/args.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME    64u
#define NEAR_ENOUGH 3u
#define HELP_COLUMN 30

static const struct arg_option *
find_name(const struct arg_option *options, const char *name, size_t n_bytes)
{
    for (const struct arg_option *o = options; o->name != NULL; o++) {
        if (strlen(o->name) == n_bytes && strncmp(o->name, name, n_bytes) == 0) {
            return o;
        }
    }
    return NULL;
}

static const struct arg_option *find_letter(const struct arg_option *options, char letter)
{
    for (const struct arg_option *o = options; o->name != NULL; o++) {
        if (o->letter != 0 && o->letter == letter) {
            return o;
        }
    }
    return NULL;
}

static realm_status
refuse_unknown(const struct arg_command *command, const char *given, struct realm_error *error)
{
    const char *nearest = NULL;
    uint32_t nearest_distance = NEAR_ENOUGH + 1;
    const char *const bare = given + strspn(given, "-");
    for (const struct arg_option *o = command->options; o->name != NULL; o++) {
        const uint32_t distance = text_distance(bare, o->name);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = o->name;
        }
    }
    if (nearest != NULL) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "unknown option %s; did you mean --%s?", given, nearest);
    }
    return realm_error_set(
        error, REALM_INVALID_ARGUMENT, "unknown option %s; --help lists the options", given);
}

realm_status args_parse_size(const char *text, uint64_t *out, struct realm_error *error)
{
    static const struct {
        char letter;
        uint64_t factor;
    } units[] = {{'K', 1ull << 10}, {'M', 1ull << 20}, {'G', 1ull << 30}, {'T', 1ull << 40}};
    char *end;
    errno = 0;
    const double number = strtod(text, &end);
    uint64_t factor = 1;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (*end == units[i].letter || *end == units[i].letter + ('a' - 'A')) {
            factor = units[i].factor;
            end++;
            end += *end == 'i';
            end += *end == 'B' || *end == 'b';
            break;
        }
    }
    if (end == text || *end != '\0' || errno != 0 || !(number >= 0) ||
        number * (double)factor >= 0x1p63) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "\"%s\" is no size; write it like 512M or 2G", text);
    }
    *out = (uint64_t)(number * (double)factor);
    return REALM_OK;
}

static realm_status parse_number(const struct arg_option *option,
                                 const char *text,
                                 double *out,
                                 struct realm_error *error)
{
    char *end;
    errno = 0;
    const double number = strtod(text, &end);
    const bool whole = option->kind != ARG_FLOAT;
    const double high = option->high != 0 || option->low != 0 ? option->high
                        : option->kind == ARG_U32             ? UINT32_MAX
                                                              : 0x1p63;
    if (end == text || *end != '\0' || errno != 0 || !(number >= option->low) || number > high ||
        (whole && number != (double)(uint64_t)number)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--%s is \"%s\" and must be a%s number between %g and %g",
                               option->name,
                               text,
                               whole ? " whole" : "",
                               option->low,
                               high);
    }
    *out = number;
    return REALM_OK;
}

static realm_status
set_value(const struct arg_option *option, const char *text, struct realm_error *error)
{
    double number = 0;
    switch (option->kind) {
    case ARG_FLAG:
        *(bool *)option->value = true;
        return REALM_OK;
    case ARG_TEXT:
        *(const char **)option->value = text;
        return REALM_OK;
    case ARG_SIZE:
        return args_parse_size(text, option->value, error);
    case ARG_U32:
        REALM_TRY(parse_number(option, text, &number, error));
        *(uint32_t *)option->value = (uint32_t)number;
        return REALM_OK;
    case ARG_U64: {
        REALM_TRY(parse_number(option, text, &number, error));
        *(uint64_t *)option->value = strtoull(text, NULL, 10);
        return REALM_OK;
    }
    case ARG_FLOAT:
        REALM_TRY(parse_number(option, text, &number, error));
        *(float *)option->value = (float)number;
        return REALM_OK;
    case ARG_LIST:
        break;
    }
    struct arg_list *const list = option->value;
    if (list->n == ARG_LIST_MAX) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--%s is given more than %u times",
                               option->name,
                               ARG_LIST_MAX);
    }
    list->items[list->n++] = text;
    return REALM_OK;
}

/* One option at argv[*i]; moves *i over its value. */
static realm_status parse_option(
    const struct arg_command *command, int argc, char **argv, int *i, struct realm_error *error)
{
    const char *const given = argv[*i];
    const struct arg_option *option;
    const char *value = NULL;
    if (given[1] == '-') {
        const char *const equals = strchr(given, '=');
        const size_t n = equals != NULL ? (size_t)(equals - given) - 2 : strlen(given) - 2;
        option = find_name(command->options, given + 2, n);
        value = equals != NULL ? equals + 1 : NULL;
    } else {
        option = find_letter(command->options, given[1]);
        value = given[2] != '\0' ? given + 2 : NULL;
    }
    if (option == NULL) {
        return refuse_unknown(command, given, error);
    }
    if (option->kind == ARG_FLAG) {
        if (value != NULL) {
            return realm_error_set(
                error, REALM_INVALID_ARGUMENT, "--%s takes no value", option->name);
        }
        return set_value(option, NULL, error);
    }
    if (value == NULL) {
        if (*i + 1 >= argc) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "--%s needs a value (%s)",
                                   option->name,
                                   option->placeholder);
        }
        value = argv[++*i];
    }
    return set_value(option, value, error);
}

realm_status args_parse(const struct arg_command *command,
                        int argc,
                        char **argv,
                        struct arg_operands *operands,
                        bool *help,
                        struct realm_error *error)
{
    bool only_operands = false;
    operands->n = 0;
    *help = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
            return REALM_OK;
        }
    }
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            REALM_TRY(parse_option(command, argc, argv, &i, error));
        } else if (operands->n == command->max_operands || operands->n == ARG_LIST_MAX) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "unexpected \"%s\"; usage: %s",
                                   argv[i],
                                   command->usage);
        } else {
            operands->items[operands->n++] = argv[i];
        }
    }
    if (operands->n < command->min_operands) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "too few arguments; usage: %s", command->usage);
    }
    return REALM_OK;
}

void args_print_help(const struct arg_command *command)
{
    printf("%s\n\nUsage: %s\n", command->summary, command->usage);
    if (command->options->name != NULL) {
        printf("\nOptions:\n");
    }
    for (const struct arg_option *o = command->options; o->name != NULL; o++) {
        char left[MAX_NAME];
        const char letter[5] = {'-', o->letter, ',', ' ', '\0'};
        (void)snprintf(left,
                       sizeof left,
                       "%s--%s %s",
                       o->letter != 0 ? letter : "    ",
                       o->name,
                       o->placeholder != NULL ? o->placeholder : "");
        printf("  %-*s %s\n", HELP_COLUMN, left, o->help);
    }
    printf("  %-*s %s\n", HELP_COLUMN, "-h, --help", "show this page");
    if (command->examples != NULL) {
        printf("\nExamples:\n%s", command->examples);
    }
}
