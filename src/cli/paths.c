#include "cli/paths.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static realm_status folder_from(const char *own_variable,
                                const char *xdg_variable,
                                const char *below_home,
                                char out[PATHS_BYTES],
                                struct realm_error *error)
{
    const char *const own = getenv(own_variable);
    const char *const xdg = getenv(xdg_variable);
    const char *const home = getenv("HOME");
    int n = 0;
    if (own != NULL && own[0] != '\0') {
        n = snprintf(out, PATHS_BYTES, "%s", own);
    } else if (xdg != NULL && xdg[0] == '/') { /* the standard: relative ones do not count */
        n = snprintf(out, PATHS_BYTES, "%s/realm", xdg);
    } else if (home != NULL && home[0] != '\0') {
        n = snprintf(out, PATHS_BYTES, "%s/%s/realm", home, below_home);
    } else {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "no folder to keep files in: set HOME or %s",
                               own_variable);
    }
    if (n < 0 || n >= (int)PATHS_BYTES) {
        return realm_error_set(
            error, REALM_INVALID_ARGUMENT, "%s: the path is too long", own_variable);
    }
    return REALM_OK;
}

realm_status paths_cache_folder(char out[PATHS_BYTES], struct realm_error *error)
{
    return folder_from("REALM_CACHE_DIR", "XDG_CACHE_HOME", ".cache", out, error);
}

realm_status paths_data_folder(char out[PATHS_BYTES], struct realm_error *error)
{
    return folder_from("REALM_DATA_DIR", "XDG_DATA_HOME", ".local/share", out, error);
}

bool paths_find_config(char out[PATHS_BYTES])
{
    struct realm_error error;
    char folder[PATHS_BYTES];
    if (folder_from("", "XDG_CONFIG_HOME", ".config", folder, &error) != REALM_OK) {
        return false;
    }
    const int n = snprintf(out, PATHS_BYTES, "%s/realm.yaml", folder);
    return n >= 0 && n < (int)PATHS_BYTES && file_exists(out);
}

realm_status
paths_find_model(const char *reference, char out[PATHS_BYTES], struct realm_error *error)
{
    char cache[PATHS_BYTES];
    if (reference == NULL) {
        reference = hub_catalogue_at(0)->name;
    } else if (file_exists(reference) || strchr(reference, '/') != NULL) {
        const int n = snprintf(out, PATHS_BYTES, "%s", reference);
        return n >= 0 && n < (int)PATHS_BYTES
                   ? REALM_OK
                   : realm_error_set(error, REALM_INVALID_ARGUMENT, "-m: the path is too long");
    }
    REALM_TRY(paths_cache_folder(cache, error));
    return hub_find(cache, reference, out, error);
}

realm_status paths_split_model(const char *argument,
                               char *name,
                               size_t n_name,
                               const char **reference,
                               struct realm_error *error)
{
    const char *const equals = strchr(argument, '=');
    *reference = argument;
    if (equals == NULL || file_exists(argument)) {
        paths_model_name(argument, name, n_name);
        return REALM_OK;
    }
    const size_t n = (size_t)(equals - argument);
    if (n == 0 || n >= n_name) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "model %.80s: the name before = must have 1 to %zu bytes",
                               argument,
                               n_name - 1);
    }
    memcpy(name, argument, n);
    name[n] = '\0';
    *reference = equals + 1;
    return REALM_OK;
}

void paths_model_name(const char *path, char *out, size_t n_out)
{
    const char *const slash = strrchr(path, '/');
    const char *const file = slash != NULL ? slash + 1 : path;
    const size_t n = strlen(file);
    const bool gguf = n > 5 && strcasecmp(file + n - 5, ".gguf") == 0;
    (void)snprintf(out, n_out, "%.*s", (int)(gguf ? n - 5 : n), file);
}

const char *paths_actor(void)
{
    static char actor[64];
    const char *const user = getenv("SUDO_USER") != NULL ? getenv("SUDO_USER") : getenv("USER");
    if (user != NULL && user[0] != '\0') {
        (void)snprintf(actor, sizeof actor, "cli:%.40s", user);
    } else {
        (void)snprintf(actor, sizeof actor, "cli:uid %lu", (unsigned long)getuid());
    }
    return actor;
}
