#include "tenant/tenant.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

#define MAX_PATH_BYTES 4096u

static const struct {
    const char *name;
    uint32_t scopes;
} scope_names[] = {
    {"inference", SCOPE_INFERENCE},
    {"programs", SCOPE_PROGRAMS},
    {"admin", SCOPE_ADMIN},
    {"metrics", SCOPE_METRICS},
};

#define N_SCOPES (sizeof scope_names / sizeof scope_names[0])

realm_status tenant_scopes_parse(const char *text, uint32_t *out, struct realm_error *error)
{
    *out = 0;
    if (strcmp(text, "all") == 0) {
        *out = SCOPE_ALL;
        return REALM_OK;
    }
    for (const char *at = text; *at != '\0';) {
        const size_t n = strcspn(at, ",");
        uint32_t found = 0;
        for (size_t i = 0; i < N_SCOPES; i++) {
            if (strlen(scope_names[i].name) == n && memcmp(at, scope_names[i].name, n) == 0) {
                found = scope_names[i].scopes;
            }
        }
        if (found == 0) {
            break;
        }
        *out |= found;
        at += n + (at[n] == ',');
        if (*at == '\0') {
            return REALM_OK;
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_ARGUMENT,
                           "scopes \"%.60s\": known are inference, programs, admin and metrics, "
                           "with commas between, or all",
                           text);
}

void tenant_scopes_write(uint32_t scopes, char out[SCOPES_TEXT_BYTES])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_SCOPES; i++) {
        if ((scopes & scope_names[i].scopes) != 0) {
            n += (size_t)snprintf(
                out + n, SCOPES_TEXT_BYTES - n, "%s%s", n > 0 ? "," : "", scope_names[i].name);
        }
    }
}

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

realm_status tenant_name_check(const char *name, struct realm_error *error)
{
    const size_t n = strnlen(name, TENANT_NAME_BYTES);
    bool good = n > 0 && n < TENANT_NAME_BYTES && is_alphanumeric(name[0]);
    for (size_t i = 0; i < n && good; i++) {
        good = is_alphanumeric(name[i]) || strchr("-_.", name[i]) != NULL;
    }
    return good ? REALM_OK
                : realm_error_set(error,
                                  REALM_INVALID_ARGUMENT,
                                  "\"%.70s\" is no name: 1 to 63 letters, digits, - _ or . that "
                                  "begin with a letter or digit",
                                  name);
}

realm_status tenant_store_open(const char *data_dir, struct store **out, struct realm_error *error)
{
    char path[MAX_PATH_BYTES];
    const int n = snprintf(path, sizeof path, "%s/realm.db", data_dir);
    if (n < 0 || (size_t)n >= sizeof path) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "the path of the data folder is too long");
    }
    REALM_TRY(file_make_folder(data_dir, 0700, error));
    return store_open(path, out, error);
}

realm_status tenant_make(struct store *store,
                         const char *actor,
                         struct tenant_record *record,
                         struct realm_error *error)
{
    REALM_TRY(tenant_name_check(record->name, error));
    REALM_TRY(random_bytes(record->domain, sizeof record->domain, error));
    record->created_s = clock_wall_s();
    record->disabled = false;
    return store_add_tenant(store, actor, record, error);
}

/* Secret, id and times of a new key. */
static realm_status
fill_key(struct key_record *record, char text[KEY_TEXT_LENGTH + 1], struct realm_error *error)
{
    REALM_TRY(key_generate(text, error));
    key_hash(text, KEY_TEXT_LENGTH, record->hash);
    key_id(record->hash, record->id);
    record->created_s = clock_wall_s();
    record->disabled = false;
    return REALM_OK;
}

realm_status tenant_make_key(struct store *store,
                             const char *actor,
                             struct key_record *record,
                             char text[KEY_TEXT_LENGTH + 1],
                             struct realm_error *error)
{
    REALM_TRY(fill_key(record, text, error));
    return store_add_key(store, actor, record, error);
}

realm_status tenant_rotate_key(struct store *store,
                               const char *actor,
                               const char *id,
                               uint32_t grace_s,
                               struct key_record *fresh,
                               char text[KEY_TEXT_LENGTH + 1],
                               struct realm_error *error)
{
    struct key_record old;
    const int64_t end_s = clock_wall_s() + grace_s;
    REALM_TRY(store_find_key(store, id, &old, error));
    *fresh = old;
    REALM_TRY(fill_key(fresh, text, error));
    if (old.expires_s == 0 || old.expires_s > end_s) {
        old.expires_s = end_s;
    }
    return store_replace_key(store, actor, &old, fresh, error);
}
