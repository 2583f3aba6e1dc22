#include "cli/config.h"

#include "base/file.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define MAX_PROBLEM_BYTES 1024u
#define MAX_VARIABLE      80u
#define MAX_TEXTS_BYTES   ((size_t)8 * CONFIG_MAX_BYTES)

static uint32_t index_of(const struct config *config, const struct arg_option *option)
{
    return (uint32_t)(option - config->options);
}

void config_init(struct config *config, const struct arg_option *options)
{
    *config = (struct config){.options = options};
    arena_init(&config->texts, ALLOC_BASE, MAX_TEXTS_BYTES);
}

void config_deinit(struct config *config)
{
    arena_deinit(&config->texts);
}

/* --- problems -----------------------------------------------------------------------------------
 */

/* place: where, or "". */
__attribute__((format(printf, 3, 0))) static void
add_problem(struct config *config, const char *place, const char *format, va_list arguments)
{
    char text[MAX_PROBLEM_BYTES];
    const int n = snprintf(text, sizeof text, "%s%s", place, place[0] != '\0' ? ": " : "");
    if (n >= 0 && n < (int)sizeof text) {
        (void)vsnprintf(text + n, sizeof text - (size_t)n, format, arguments);
    }
    if (config->n_problems < CONFIG_MAX_PROBLEMS) {
        const char *const kept = arena_string(&config->texts, text, strlen(text));
        config->problems[config->n_problems] = kept != NULL ? kept : "out of memory";
    }
    config->n_problems++;
}

void config_describe_origin(const struct config *config,
                            const struct arg_option *option,
                            char *out,
                            size_t n_out)
{
    const struct config_origin *const origin = &config->origins[index_of(config, option)];
    switch (origin->layer) {
    case CONFIG_FILE:
        (void)snprintf(out, n_out, "%s:%u:%u", config->path, origin->line, origin->column);
        break;
    case CONFIG_ENVIRONMENT:
        (void)snprintf(out, n_out, "%s", origin->variable);
        break;
    case CONFIG_COMMAND_LINE:
        (void)snprintf(out, n_out, "--%s", option->name);
        break;
    case CONFIG_DEFAULT:
        (void)snprintf(out, n_out, "default");
        break;
    }
}

void config_add_problem(struct config *config, const char *option, const char *format, ...)
{
    char place[MAX_PROBLEM_BYTES] = "";
    const struct arg_option *const found = args_find(config->options, option, strlen(option));
    if (found != NULL) {
        config_describe_origin(config, found, place, sizeof place);
    }
    va_list arguments;
    va_start(arguments, format);
    add_problem(config, place, format, arguments);
    va_end(arguments);
}

realm_status config_refuse_problems(const struct config *config, struct realm_error *error)
{
    if (config->n_problems == 0) {
        return REALM_OK;
    }
    if (config->n_problems == 1) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "%s", config->problems[0]);
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "%s (and %u more: \"realm config check\" shows all)",
                           config->problems[0],
                           config->n_problems - 1);
}

/* --- the command line and the environment ------------------------------------------------------
 */

void config_take_arguments(struct config *config, const bool *given)
{
    for (uint32_t i = 0; i < CONFIG_MAX_OPTIONS && config->options[i].name != NULL; i++) {
        if (given[i]) {
            config->origins[i].layer = CONFIG_COMMAND_LINE;
        }
    }
}

/* "kv-memory" is REALM_KV_MEMORY. */
static const char *variable_of(struct config *config, const struct arg_option *option)
{
    char name[MAX_VARIABLE];
    (void)snprintf(name, sizeof name, "REALM_%s", option->name);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == '-') {
            *c = '_';
        } else {
            *c = (char)toupper((unsigned char)*c);
        }
    }
    return arena_string(&config->texts, name, strlen(name));
}

static void
set_from_variable(struct config *config, const struct arg_option *option, const char *variable)
{
    struct config_origin *const origin = &config->origins[index_of(config, option)];
    const char *value = variable != NULL ? getenv(variable) : NULL;
    if (value == NULL || value[0] == '\0' || origin->layer != CONFIG_DEFAULT) {
        return;
    }
    *origin = (struct config_origin){.layer = CONFIG_ENVIRONMENT, .variable = variable};
    while (value != NULL) {
        const char *const comma = option->kind == ARG_LIST ? strchr(value, ',') : NULL;
        const size_t n = comma != NULL ? (size_t)(comma - value) : strlen(value);
        const char *const text = arena_string(&config->texts, value, n);
        struct realm_error error = {.message = "out of memory"};
        if (text == NULL || args_set(option, variable, text, &error) != REALM_OK) {
            config_add_problem(config, "", "%s", error.message);
            return;
        }
        value = comma != NULL ? comma + 1 : NULL;
    }
}

void config_take_environment(struct config *config, const struct config_alias *aliases)
{
    for (const struct arg_option *o = config->options; o->name != NULL; o++) {
        set_from_variable(config, o, variable_of(config, o));
    }
    for (; aliases->option != NULL; aliases++) {
        const struct arg_option *const option =
            args_find(config->options, aliases->option, strlen(aliases->option));
        if (option != NULL) {
            set_from_variable(config, option, aliases->variable);
        }
    }
}

/* --- the file -----------------------------------------------------------------------------------
 */

struct reader {
    struct config *config;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    const char *own;
    uint32_t first_lines[CONFIG_MAX_OPTIONS]; /* where an option stands; 0: not yet */
};

__attribute__((format(printf, 3, 4))) static void
add_at(struct reader *reader, yaml_mark_t mark, const char *format, ...)
{
    char place[MAX_PROBLEM_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)snprintf(
        place, sizeof place, "%s:%zu:%zu", reader->config->path, mark.line + 1, mark.column + 1);
    add_problem(reader->config, place, format, arguments);
    va_end(arguments);
}

static void drop_event(struct reader *reader)
{
    if (reader->has_event) {
        yaml_event_delete(&reader->event);
        reader->has_event = false;
    }
}

/* False: the text is no YAML from here on, which is told. */
static bool next_event(struct reader *reader)
{
    drop_event(reader);
    reader->has_event = yaml_parser_parse(&reader->parser, &reader->event) == 1;
    const yaml_parser_t *const parser = &reader->parser;
    if (reader->has_event) {
        return true;
    }
    if (parser->error == YAML_MEMORY_ERROR) {
        add_at(reader, parser->mark, "out of memory");
    } else if (parser->error == YAML_READER_ERROR) {
        add_at(reader,
               parser->mark,
               "%s at byte %zu: the file must be UTF-8 text",
               parser->problem,
               parser->problem_offset);
    } else {
        add_at(reader,
               parser->problem_mark,
               "%s%s%s",
               parser->context != NULL ? parser->context : "",
               parser->context != NULL ? ": " : "",
               parser->problem);
    }
    return false;
}

/* Passes over the node that the current event begins. */
static bool skip_node(struct reader *reader)
{
    for (uint32_t depth = 0;;) {
        switch (reader->event.type) {
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
            depth++;
            break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            depth--;
            break;
        default:
            break;
        }
        if (depth == 0) {
            return true;
        }
        if (!next_event(reader)) {
            return false;
        }
    }
}

static bool is_null(const yaml_event_t *event)
{
    const char *const text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* The current event's text, kept; NULL: it is no plain value, which is told. */
static const char *scalar_of(struct reader *reader, const char *who)
{
    const yaml_event_t *const event = &reader->event;
    if (event->type == YAML_ALIAS_EVENT) {
        add_at(reader, event->start_mark, "%s: write the value itself instead of an alias", who);
        return NULL;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        add_at(reader, event->start_mark, "%s takes a single value here", who);
        return NULL;
    }
    const char *const text = (const char *)event->data.scalar.value;
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        add_at(reader, event->start_mark, "%s: anchors and tags are not used here", who);
        return NULL;
    }
    if (is_null(event)) {
        add_at(reader, event->start_mark, "%s has no value: give one, or take the key out", who);
        return NULL;
    }
    if (strlen(text) != event->data.scalar.length) {
        add_at(reader, event->start_mark, "%s: there is a zero byte in the value", who);
        return NULL;
    }
    return arena_string(&reader->config->texts, text, event->data.scalar.length);
}

/* Sets the option, if nobody has who comes before the file. */
static void set_from_file(struct reader *reader,
                          const struct arg_option *option,
                          const char *text,
                          yaml_mark_t mark)
{
    struct config_origin *const origin = &reader->config->origins[index_of(reader->config, option)];
    struct realm_error error;
    if (text == NULL || origin->layer > CONFIG_FILE) {
        return;
    }
    if (origin->layer == CONFIG_DEFAULT) {
        *origin = (struct config_origin){.layer = CONFIG_FILE,
                                         .line = (uint32_t)mark.line + 1,
                                         .column = (uint32_t)mark.column + 1};
    }
    if (args_set(option, option->name, text, &error) != REALM_OK) {
        add_at(reader, mark, "%s", error.message);
    }
}

static void take_scalar(struct reader *reader, const struct arg_option *option)
{
    const yaml_mark_t mark = reader->event.start_mark;
    set_from_file(reader, option, scalar_of(reader, option->name), mark);
}

static bool take_sequence(struct reader *reader, const struct arg_option *option)
{
    while (next_event(reader)) {
        if (reader->event.type == YAML_SEQUENCE_END_EVENT) {
            return true;
        }
        take_scalar(reader, option);
        if (!skip_node(reader)) {
            return false;
        }
    }
    return false;
}

/* Items NAME=VALUE, written as a mapping. */
static bool take_pairs(struct reader *reader, const struct arg_option *option)
{
    while (next_event(reader)) {
        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        const yaml_mark_t mark = reader->event.start_mark;
        const char *const name = scalar_of(reader, option->name);
        if (!skip_node(reader) || !next_event(reader)) {
            return false;
        }
        const char *const value = scalar_of(reader, option->name);
        const size_t n = name != NULL && value != NULL ? strlen(name) + strlen(value) + 2 : 0;
        char *const pair = n > 0 ? arena_alloc(&reader->config->texts, n) : NULL;
        if (pair != NULL) {
            (void)snprintf(pair, n, "%s=%s", name, value);
        }
        set_from_file(reader, option, pair, mark);
        if (!skip_node(reader)) {
            return false;
        }
    }
    return false;
}

static bool take_value(struct reader *reader, const struct arg_option *option)
{
    const bool is_list = option->kind == ARG_LIST;
    const bool has_pairs = is_list && strchr(option->placeholder, '=') != NULL;
    if (is_list && reader->event.type == YAML_SEQUENCE_START_EVENT) {
        return take_sequence(reader, option);
    }
    if (has_pairs && reader->event.type == YAML_MAPPING_START_EVENT) {
        return take_pairs(reader, option);
    }
    take_scalar(reader, option);
    return skip_node(reader);
}

static void refuse_key(struct reader *reader, const char *key, yaml_mark_t mark)
{
    const char *const nearest = args_nearest(reader->config->options, key);
    if (nearest != NULL) {
        add_at(reader, mark, "unknown key \"%.40s\"; did you mean \"%s\"?", key, nearest);
    } else {
        add_at(reader, mark, "unknown key \"%.40s\"; \"realm config example\" lists the keys", key);
    }
}

/* The option of the current event's key; NULL: it has none, which is told. */
static const struct arg_option *take_key(struct reader *reader)
{
    const yaml_mark_t mark = reader->event.start_mark;
    const char *const key = scalar_of(reader, "a key");
    if (key == NULL) {
        return NULL;
    }
    const struct arg_option *const option = args_find(reader->config->options, key, strlen(key));
    if (option == NULL) {
        refuse_key(reader, key, mark);
        return NULL;
    }
    if (strcmp(key, reader->own) == 0) {
        add_at(reader, mark, "%s cannot stand in the file that it names", key);
        return NULL;
    }
    uint32_t *const first_line = &reader->first_lines[index_of(reader->config, option)];
    if (*first_line != 0) {
        add_at(reader, mark, "%s stands in line %u already", key, *first_line);
        return NULL;
    }
    *first_line = (uint32_t)mark.line + 1;
    return option;
}

static bool take_settings(struct reader *reader)
{
    while (next_event(reader)) {
        if (reader->event.type == YAML_MAPPING_END_EVENT) {
            return true;
        }
        const struct arg_option *const option = take_key(reader);
        if (!skip_node(reader) || !next_event(reader)) {
            return false;
        }
        if (option != NULL ? !take_value(reader, option) : !skip_node(reader)) {
            return false;
        }
    }
    return false;
}

static bool take_start(struct reader *reader, yaml_event_type_t type)
{
    return next_event(reader) && reader->event.type == type;
}

/* One document, which is one mapping; or nothing at all. */
static void take_document(struct reader *reader)
{
    if (!take_start(reader, YAML_STREAM_START_EVENT) ||
        !take_start(reader, YAML_DOCUMENT_START_EVENT) || !next_event(reader)) {
        return;
    }
    if (reader->event.type != YAML_MAPPING_START_EVENT) {
        add_at(reader,
               reader->event.start_mark,
               "the file must be settings, a line each, such as \"port: 8080\"");
        return;
    }
    if (take_settings(reader) && take_start(reader, YAML_DOCUMENT_END_EVENT) &&
        next_event(reader) && reader->event.type != YAML_STREAM_END_EVENT) {
        add_at(reader, reader->event.start_mark, "a second document: the settings must be in one");
    }
}

realm_status config_take_text(struct config *config,
                              const char *name,
                              const char *text,
                              size_t n_bytes,
                              const char *own,
                              struct realm_error *error)
{
    config->path = arena_string(&config->texts, name, strlen(name));
    struct reader reader = {.config = config, .own = own};
    if (config->path == NULL || yaml_parser_initialize(&reader.parser) != 1) {
        return realm_error_out_of_memory(error, n_bytes, "the configuration");
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, n_bytes);
    take_document(&reader);
    drop_event(&reader);
    yaml_parser_delete(&reader.parser);
    return REALM_OK;
}

realm_status config_take_file(struct config *config,
                              const char *path,
                              const char *own,
                              struct realm_error *error)
{
    char *text = NULL;
    size_t n_bytes = 0;
    REALM_TRY(file_read(path, CONFIG_MAX_BYTES, &text, &n_bytes, error));
    const realm_status status = config_take_text(config, path, text, n_bytes, own, error);
    alloc_free(text);
    return status;
}
