#include "cli/args.h"

#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAME    64u
#define NEAR_ENOUGH 3u
#define HELP_COLUMN 30

const struct arg_option *
args_find(const struct arg_option *options, const char *name, size_t n_bytes)
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

const char *args_nearest(const struct arg_option *options, const char *name)
{
    const char *nearest = NULL;
    /* Half a short name may be wrong, then it is another name. */
    uint32_t nearest_distance = (uint32_t)(strlen(name) + 1) / 2 + 1;
    nearest_distance = nearest_distance > NEAR_ENOUGH + 1 ? NEAR_ENOUGH + 1 : nearest_distance;
    for (const struct arg_option *o = options; o->name != NULL; o++) {
        const uint32_t distance = text_distance(name, o->name);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = o->name;
        }
    }
    return nearest;
}

static realm_status
refuse_unknown(const struct arg_command *command, const char *given, struct realm_error *error)
{
    char bare[MAX_NAME];
    const char *const name = given + strspn(given, "-");
    (void)snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "="), name);
    const char *const nearest = args_nearest(command->options, bare);
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
    const bool is_number = end != text;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (*end == units[i].letter || *end == units[i].letter + ('a' - 'A')) {
            factor = units[i].factor;
            end++;
            end += *end == 'i';
            end += *end == 'B' || *end == 'b';
            break;
        }
    }
    if (!is_number || *end != '\0' || errno != 0 || !(number >= 0) ||
        number * (double)factor >= 0x1p63) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "\"%s\" is no size; write it like 512M or 2G", text);
    }
    *out = (uint64_t)(number * (double)factor);
    return REALM_OK;
}

static realm_status refuse_number(const struct arg_option *option,
                                  const char *who,
                                  const char *text,
                                  struct realm_error *error)
{
    const char *const kind = option->kind == ARG_FLOAT ? "number" : "whole number";
    if (option->low == 0 && option->high == 0) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s is \"%.40s\" and must be a %s", who, text, kind);
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%s is \"%.40s\" and must be a %s between %.12g and %.12g",
                           who,
                           text,
                           kind,
                           option->low,
                           option->high);
}

/* Digits only: no sign, no exponent, no "0x". */
static realm_status parse_whole(const struct arg_option *option,
                                const char *who,
                                const char *text,
                                uint64_t *out,
                                struct realm_error *error)
{
    const bool any = option->low == 0 && option->high == 0;
    const uint64_t most = option->kind == ARG_U32 ? UINT32_MAX : UINT64_MAX;
    errno = 0;
    const uint64_t number = strtoull(text, NULL, 10);
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' || errno != 0 ||
        number > most ||
        (!any && ((double)number < option->low || (double)number > option->high))) {
        return refuse_number(option, who, text, error);
    }
    *out = number;
    return REALM_OK;
}

static realm_status parse_float(const struct arg_option *option,
                                const char *who,
                                const char *text,
                                float *out,
                                struct realm_error *error)
{
    const bool any = option->low == 0 && option->high == 0;
    char *end;
    errno = 0;
    const float number = strtof(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(number) ||
        (!any && ((double)number < option->low || (double)number > option->high))) {
        return refuse_number(option, who, text, error);
    }
    *out = number;
    return REALM_OK;
}

/* Which of the words between the placeholder's bars. */
static realm_status parse_choice(const struct arg_option *option,
                                 const char *who,
                                 const char *text,
                                 uint32_t *out,
                                 struct realm_error *error)
{
    uint32_t index = 0;
    for (const char *word = option->placeholder; *word != '\0'; index++) {
        const size_t n = strcspn(word, "|");
        if (strlen(text) == n && strncmp(word, text, n) == 0) {
            *out = index;
            return REALM_OK;
        }
        word += n + (word[n] == '|');
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%s is \"%.40s\" and must be one of %s",
                           who,
                           text,
                           option->placeholder);
}

static realm_status
parse_flag(const char *who, const char *text, bool *out, struct realm_error *error)
{
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s is \"%.40s\" and must be true or false", who, text);
    }
    *out = text[0] == 't';
    return REALM_OK;
}

realm_status args_set(const struct arg_option *option,
                      const char *who,
                      const char *text,
                      struct realm_error *error)
{
    uint64_t number = 0;
    switch (option->kind) {
    case ARG_FLAG:
        return parse_flag(who, text, option->value, error);
    case ARG_TEXT:
        *(const char **)option->value = text;
        return REALM_OK;
    case ARG_SIZE: {
        const realm_status status = args_parse_size(text, option->value, error);
        return status == REALM_OK ? status : realm_error_prefix(error, status, "%s", who);
    }
    case ARG_U32:
        REALM_TRY(parse_whole(option, who, text, &number, error));
        *(uint32_t *)option->value = (uint32_t)number;
        return REALM_OK;
    case ARG_U64:
        return parse_whole(option, who, text, option->value, error);
    case ARG_FLOAT:
        return parse_float(option, who, text, option->value, error);
    case ARG_CHOICE:
        return parse_choice(option, who, text, option->value, error);
    case ARG_LIST:
        break;
    }
    struct arg_list *const list = option->value;
    if (list->n == ARG_LIST_MAX) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s is given more than %u times", who, ARG_LIST_MAX);
    }
    list->items[list->n++] = text;
    return REALM_OK;
}

/* The option that argv's `given` names, and its value where they are one word. */
static const struct arg_option *
find_option(const struct arg_command *command, const char *given, const char **value)
{
    *value = NULL;
    if (given[1] != '-') {
        *value = given[2] != '\0' ? given + 2 : NULL;
        return find_letter(command->options, given[1]);
    }
    const char *const equals = strchr(given, '=');
    const size_t n = equals != NULL ? (size_t)(equals - given) - 2 : strlen(given) - 2;
    *value = equals != NULL ? equals + 1 : NULL;
    return args_find(command->options, given + 2, n);
}

static bool is_option(const char *given)
{
    return given[0] == '-' && given[1] != '\0';
}

/* --help counts wherever an option may stand, whatever else is wrong. */
static bool wants_help(const struct arg_command *command, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
        const char *value = NULL;
        const struct arg_option *const option =
            is_option(argv[i]) ? find_option(command, argv[i], &value) : NULL;
        i += option != NULL && option->kind != ARG_FLAG && value == NULL;
    }
    return false;
}

/* One option at argv[*i]; moves *i over its value. */
static realm_status parse_option(
    const struct arg_command *command, int argc, char **argv, int *i, struct realm_error *error)
{
    const char *value;
    const struct arg_option *const option = find_option(command, argv[*i], &value);
    if (option == NULL) {
        return refuse_unknown(command, argv[*i], error);
    }
    if (option->kind == ARG_FLAG && value == NULL) {
        value = "true";
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
    if (command->given != NULL) {
        command->given[option - command->options] = true;
    }
    char who[MAX_NAME + 2];
    (void)snprintf(who, sizeof who, "--%s", option->name);
    return args_set(option, who, value, error);
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
    *help = wants_help(command, argc, argv);
    if (*help) {
        return REALM_OK;
    }
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && is_option(argv[i])) {
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
