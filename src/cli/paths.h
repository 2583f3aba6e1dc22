/* Where the program keeps things, and which file a model's name means. */
#ifndef REALM_CLI_PATHS_H
#define REALM_CLI_PATHS_H

#include "hub/hub.h"

#define PATHS_BYTES HUB_PATH_BYTES

/* Model files: $REALM_CACHE_DIR, else $XDG_CACHE_HOME/realm, else ~/.cache/realm.
 * INVALID_ARGUMENT: none of the variables is set, or the path is too long. */
REALM_MUST_CHECK realm_status paths_cache_folder(char out[PATHS_BYTES], struct realm_error *error);
/* Keys and history: $REALM_DATA_DIR, else $XDG_DATA_HOME/realm, else ~/.local/share/realm. */
REALM_MUST_CHECK realm_status paths_data_folder(char out[PATHS_BYTES], struct realm_error *error);

/* Settings of realm serve: $XDG_CONFIG_HOME/realm/realm.yaml, else ~/.config/realm/realm.yaml.
 * False: neither variable is set, or there is no such file. */
bool paths_find_config(char out[PATHS_BYTES]);

/* Who runs the command, for the audit log: "cli:NAME", or "cli:uid 1000".  Static. */
const char *paths_actor(void);

/* What -m takes: a path, or the name of a model in the cache or the catalogue.  NULL: the default
 * model.  NOT_FOUND tells how to get it. */
REALM_MUST_CHECK realm_status paths_find_model(const char *reference,
                                               char out[PATHS_BYTES],
                                               struct realm_error *error);
/* NAME=PATH, or a path or cached name alone, which is served under its own name: the name, and what
 * paths_find_model takes.  INVALID_ARGUMENT: no name before the sign, or too long a one. */
REALM_MUST_CHECK realm_status paths_split_model(const char *argument,
                                                char *name,
                                                size_t n_name,
                                                const char **reference,
                                                struct realm_error *error);
/* The name a path is served under: the file's, without folder and ".gguf". */
void paths_model_name(const char *path, char *out, size_t n_out);

#endif
