#include "tenant/limits.h"

#include <stdio.h>
#include <string.h>

static const struct limit_row rows[] = {
#define LIMIT(name, most, keys, help)                                                              \
    {#name, most, keys, help, "no limit", offsetof(struct limits, name)},
#define PROGRAM_LIMIT(name, field, most, help)                                                     \
    {#name, most, false, help, "the server's", offsetof(struct limits, name)},
#include "tenant/limits.def"
#undef LIMIT
};

struct program_limits limits_of_programs(const struct limits *limits)
{
    return (struct program_limits){
#define LIMIT(name, most, keys, help)
#define PROGRAM_LIMIT(name, field, most, help) .field = limits->name,
#include "tenant/limits.def"
#undef LIMIT
    };
}

const struct limit_row *limits_row(size_t index)
{
    return &rows[index];
}

uint64_t limits_get(const struct limits *limits, size_t index)
{
    uint64_t value;
    memcpy(&value, (const char *)limits + rows[index].offset, sizeof value);
    return value;
}

uint64_t limits_in_force(const struct limits *limits, size_t index)
{
    const uint64_t value = limits_get(limits, index);
    return value == 0 && strcmp(rows[index].name, "weight") == 0 ? 1 : value;
}

void limits_set(struct limits *limits, size_t index, uint64_t value)
{
    memcpy((char *)limits + rows[index].offset, &value, sizeof value);
}

realm_status limits_check(const struct limits *limits, bool of_key, struct realm_error *error)
{
    for (size_t i = 0; i < N_LIMITS; i++) {
        const uint64_t value = limits_get(limits, i);
        if (value > rows[i].most) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "%s is %llu and may be at most %llu",
                                   rows[i].name,
                                   (unsigned long long)value,
                                   (unsigned long long)rows[i].most);
        }
        if (of_key && !rows[i].of_keys && value != 0) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "%s is a limit of tenants; a key has none of its own",
                                   rows[i].name);
        }
    }
    if (of_key && limits->priority > 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "a key's priority is low or normal: none goes before its tenant");
    }
    return REALM_OK;
}

realm_status limits_set_models(struct limits *limits, const char *models, struct realm_error *error)
{
    const char *const list = strcmp(models, "all") == 0 ? "" : models;
    const size_t n = strlen(list);
    if (n >= sizeof limits->models) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "the list of models has %zu bytes and may have %zu",
                               n,
                               sizeof limits->models - 1);
    }
    if (n > 0 && (list[0] == ',' || list[n - 1] == ',' || strstr(list, ",,") != NULL)) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "models \"%.100s\": an empty name between commas", list);
    }
    (void)snprintf(limits->models, sizeof limits->models, "%s", list);
    return REALM_OK;
}

bool limits_allow_model(const char *models, const char *model)
{
    const size_t n_model = strlen(model);
    if (models[0] == '\0') {
        return true;
    }
    for (const char *at = models; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        if (n == n_model && memcmp(at, model, n) == 0) {
            return true;
        }
        at += n + (at[n] == ',');
    }
    return false;
}
