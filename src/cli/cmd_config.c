/* realm config: check, show and write the settings of realm serve. */
#include "base/file.h"
#include "cli/paths.h"
#include "cli/serve_options.h"
#include "cli/subcommands.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES   128u
#define MAX_ORIGIN_BYTES 1024u
#define COMMENT_COLUMN   36

/* --- values as YAML -----------------------------------------------------------------------------
 */

/* In single quotes, where nothing but they themselves is special. */
static int print_text(const char *text)
{
    int n = printf("'");
    for (; *text != '\0'; text++) {
        n += printf(*text == '\'' ? "''" : "%c", *text);
    }
    return n + printf("'");
}

static int print_choice(const struct arg_option *option)
{
    const char *word = option->placeholder;
    for (uint32_t i = *(const uint32_t *)option->value; i > 0; i--) {
        word += strcspn(word, "|") + 1;
    }
    return printf("%.*s", (int)strcspn(word, "|"), word);
}

static int print_list(const struct arg_list *list)
{
    int n = printf("[");
    for (uint32_t i = 0; i < list->n; i++) {
        n += i > 0 ? printf(", ") : 0;
        n += print_text(list->items[i]);
    }
    return n + printf("]");
}

/* Bytes printed. */
static int print_value(const struct arg_option *option)
{
    switch (option->kind) {
    case ARG_FLAG:
        return printf("%s", *(const bool *)option->value ? "true" : "false");
    case ARG_TEXT:
        return print_text(*(const char *const *)option->value);
    case ARG_U32:
        return printf("%u", *(const uint32_t *)option->value);
    case ARG_U64:
    case ARG_SIZE:
        return printf("%llu", (unsigned long long)*(const uint64_t *)option->value);
    case ARG_FLOAT:
        return printf("%.6g", (double)*(const float *)option->value);
    case ARG_CHOICE:
        return print_choice(option);
    case ARG_LIST:
        break;
    }
    return print_list(option->value);
}

/* Whether there is a value to print; otherwise the help says what happens. */
static bool has_value(const struct arg_option *option)
{
    switch (option->kind) {
    case ARG_TEXT:
        return *(const char *const *)option->value != NULL;
    case ARG_U32: /* 0 out of range: nobody has set it */
        return *(const uint32_t *)option->value != 0 || (option->low <= 0 && option->high > 0);
    case ARG_U64:
    case ARG_SIZE:
        return *(const uint64_t *)option->value != 0;
    case ARG_LIST:
        return ((const struct arg_list *)option->value)->n > 0;
    default:
        return true;
    }
}

/* --- the commands -------------------------------------------------------------------------------
 */

static void check_models(struct config *config)
{
    const struct arg_list *const models = &serve_options()->models;
    for (uint32_t i = 0; i < models->n; i++) {
        struct realm_error error;
        char name[MAX_NAME_BYTES];
        char path[PATHS_BYTES];
        const char *reference;
        realm_status status =
            paths_split_model(models->items[i], name, sizeof name, &reference, &error);
        if (status == REALM_OK) {
            status = paths_find_model(reference, path, &error);
        }
        if (status != REALM_OK) {
            config_add_problem(config, "model", "%s", error.message);
        } else if (!file_exists(path)) {
            config_add_problem(config, "model", "there is no file %.200s", path);
        }
    }
}

static void check_file(struct config *config, const char *option, const char *path)
{
    if (path != NULL && !file_exists(path)) {
        config_add_problem(config, option, "%s: there is no file %.200s", option, path);
    }
}

/* What the settings mean together, and whether what they name is there. */
static void check_meaning(struct config *config)
{
    const struct serve_options *const serve = serve_options();
    check_models(config);
    check_file(config, "tls-cert", serve->tls_certificate);
    check_file(config, "tls-key", serve->tls_key);
    if ((serve->tls_certificate != NULL) != (serve->tls_key != NULL)) {
        config_add_problem(config,
                           serve->tls_key != NULL ? "tls-key" : "tls-cert",
                           "tls-cert and tls-key go together; %s is missing",
                           serve->tls_key != NULL ? "tls-cert" : "tls-key");
    }
}

static void print_problems(const struct config *config)
{
    for (uint32_t i = 0; i < config->n_problems && i < CONFIG_MAX_PROBLEMS; i++) {
        (void)fprintf(stderr, "%s\n", config->problems[i]);
    }
}

static realm_status report(const struct config *config, struct realm_error *error)
{
    uint32_t n_settings = 0;
    for (uint32_t i = 0; i < CONFIG_MAX_OPTIONS; i++) {
        n_settings += config->origins[i].layer != CONFIG_DEFAULT;
    }
    print_problems(config);
    if (config->n_problems > 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%u problem%s",
                               config->n_problems,
                               config->n_problems > 1 ? "s" : "");
    }
    printf("%s: %u setting%s, no problem\n",
           config->path != NULL ? config->path : "no file",
           n_settings,
           n_settings == 1 ? "" : "s");
    return REALM_OK;
}

static void print_settings(const struct config *config)
{
    char origin[MAX_ORIGIN_BYTES];
    for (const struct arg_option *o = config->options; o->name != NULL; o++) {
        if (o->value == &serve_options()->config) {
            continue;
        }
        if (!has_value(o)) {
            printf("# %s: %s\n", o->name, o->help);
            continue;
        }
        config_describe_origin(config, o, origin, sizeof origin);
        int n = printf("%s: ", o->name);
        n += print_value(o);
        printf("%*s# %s\n", n < COMMENT_COLUMN ? COMMENT_COLUMN - n : 1, "", origin);
    }
}

/* The work of check and show: what realm serve would be told.  then: what is done with it. */
static realm_status read_then(struct arg_command *command,
                              int argc,
                              char **argv,
                              realm_status (*then)(struct config *config,
                                                   struct realm_error *error),
                              struct realm_error *error)
{
    struct arg_operands operands;
    struct config config;
    bool help;
    config_init(&config, serve_options_table());
    realm_status status = serve_options_read(command, argc, argv, &operands, &help, &config, error);
    if (status == REALM_OK && help) {
        args_print_help(command);
    } else if (status == REALM_OK) {
        status = then(&config, error);
    }
    config_deinit(&config);
    return status;
}

static realm_status check_then_report(struct config *config, struct realm_error *error)
{
    check_meaning(config);
    return report(config, error);
}

static realm_status show(struct config *config, struct realm_error *error)
{
    REALM_TRY(config_refuse_problems(config, error));
    print_settings(config);
    return REALM_OK;
}

static realm_status config_check(int argc, char **argv, struct realm_error *error)
{
    struct arg_command command = {
        .usage = "realm config check [FILE] [options of realm serve]",
        .summary = "Looks for mistakes in the settings that realm serve would take, and tells all.",
        .examples = "  realm config check\n"
                    "  realm config check /etc/realm.yaml\n",
        .max_operands = 1,
    };
    return read_then(&command, argc, argv, check_then_report, error);
}

static realm_status config_show(int argc, char **argv, struct realm_error *error)
{
    struct arg_command command = {
        .usage = "realm config show [FILE] [options of realm serve]",
        .summary =
            "Prints the settings that realm serve would take, as YAML, and where each is from.",
        .examples = "  realm config show\n"
                    "  REALM_PORT=9000 realm config show /etc/realm.yaml --threads 8\n",
        .max_operands = 1,
    };
    return read_then(&command, argc, argv, show, error);
}

static realm_status config_example(int argc, char **argv, struct realm_error *error)
{
    const struct arg_option none[] = {{0}};
    const struct arg_command command = {
        .usage = "realm config example",
        .summary = "Prints a file with every setting and its default, all commented out.",
        .examples = "  realm config example > ~/.config/realm/realm.yaml\n",
        .options = none,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    printf("# Settings of realm serve.  Environment variables (kv-memory: REALM_KV_MEMORY) come\n"
           "# before them, options of the command line (--kv-memory) before both.\n");
    for (const struct arg_option *o = serve_options_table(); o->name != NULL; o++) {
        if (o->value == &serve_options()->config) {
            continue;
        }
        printf("\n# %s\n#%s: ", o->help, o->name);
        if (has_value(o)) {
            (void)print_value(o);
        } else {
            printf(o->kind == ARG_LIST ? "[%s]" : "%s", o->placeholder);
        }
        printf("\n");
    }
    return REALM_OK;
}

static const struct command_row subcommands[] = {
    {"check", config_check, "look for mistakes, and tell all of them"},
    {"show", config_show, "what would be in force, and where it is from"},
    {"example", config_example, "a file with every setting and its default"},
    {0},
};

realm_status cmd_config(int argc, char **argv, struct realm_error *error)
{
    const struct subcommands commands = {
        .name = "config",
        .summary = "Check, show and write the settings of realm serve.",
        .rows = subcommands,
        .examples = "  realm config example > realm.yaml\n"
                    "  realm config check realm.yaml\n"
                    "  realm serve --config realm.yaml\n",
    };
    return subcommands_run(&commands, argc, argv, error);
}
