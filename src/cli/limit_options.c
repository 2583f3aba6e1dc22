#include "cli/limit_options.h"

#include <stdio.h>
#include <string.h>

#define KEEP UINT64_MAX /* the option was not given */

static const char priority_names[] = "low|normal|high";
static const char key_priority_names[] = "low|normal"; /* none goes before its tenant */

static const char *priority_name(int32_t priority)
{
    return priority < 0 ? "low" : priority > 0 ? "high" : "normal";
}

static void option_name(const char *limit, char out[LIMIT_OPTIONS_NAME_BYTES])
{
    (void)snprintf(out, LIMIT_OPTIONS_NAME_BYTES, "%s", limit);
    for (char *at = out; *at != '\0'; at++) {
        if (*at == '_') {
            *at = '-';
        }
    }
}

void limit_options_make(struct limit_options *given,
                        bool of_keys,
                        const struct arg_option *rest,
                        struct arg_option table[LIMIT_OPTIONS_MAX])
{
    size_t n = 0;
    given->priority = UINT32_MAX;
    given->models = NULL;
    for (size_t i = 0; i < N_LIMITS; i++) {
        const struct limit_row *const row = limits_row(i);
        given->values[i] = KEEP;
        if (of_keys && !row->of_keys) {
            continue;
        }
        option_name(row->name, given->names[i]);
        table[n++] = (struct arg_option){.name = given->names[i],
                                         .kind = ARG_U64,
                                         .value = &given->values[i],
                                         .placeholder = "N",
                                         .help = row->help,
                                         .high = (double)row->most};
    }
    table[n++] = (struct arg_option){.name = "models",
                                     .kind = ARG_TEXT,
                                     .value = &given->models,
                                     .placeholder = "LIST",
                                     .help = "names of those allowed, with commas; or all"};
    table[n++] = (struct arg_option){.name = "priority",
                                     .kind = ARG_CHOICE,
                                     .value = &given->priority,
                                     .placeholder = of_keys ? key_priority_names : priority_names,
                                     .help = of_keys ? "low: behind others; normal: the tenant's"
                                                     : "higher goes first"};
    while (rest->name != NULL && n + 1 < LIMIT_OPTIONS_MAX) {
        table[n++] = *rest++;
    }
    table[n] = (struct arg_option){.name = NULL};
}

realm_status limit_options_apply(const struct limit_options *given,
                                 struct limits *limits,
                                 struct realm_error *error)
{
    for (size_t i = 0; i < N_LIMITS; i++) {
        if (given->values[i] != KEEP) {
            limits_set(limits, i, given->values[i]);
        }
    }
    if (given->priority != UINT32_MAX) {
        limits->priority = (int32_t)given->priority - 1;
    }
    return given->models != NULL ? limits_set_models(limits, given->models, error) : REALM_OK;
}

void limit_options_put_json(const struct limits *limits, bool of_keys, struct json_out *out)
{
    for (size_t i = 0; i < N_LIMITS; i++) {
        if (!of_keys || limits_row(i)->of_keys) {
            json_out_u64(out, limits_row(i)->name, limits_in_force(limits, i));
        }
    }
    json_out_text(out, "priority", priority_name(limits->priority));
    json_out_text(out, "models", limits->models);
}

void limit_options_print(const struct limits *limits, bool of_keys)
{
    for (size_t i = 0; i < N_LIMITS; i++) {
        const uint64_t value = limits_in_force(limits, i);
        if (limits_get(limits, i) == 0 && of_keys) {
            continue;
        }
        char name[LIMIT_OPTIONS_NAME_BYTES];
        option_name(limits_row(i)->name, name);
        if (value == 0) {
            printf("  %-24s %s\n", name, limits_row(i)->none);
        } else {
            printf("  %-24s %llu\n", name, (unsigned long long)value);
        }
    }
    if (!of_keys || limits->priority != 0) {
        printf("  %-24s %s\n", "priority", priority_name(limits->priority));
    }
    if (!of_keys || limits->models[0] != '\0') {
        printf("  %-24s %s\n", "models", limits->models[0] == '\0' ? "all" : limits->models);
    }
}
