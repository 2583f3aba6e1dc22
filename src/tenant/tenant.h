/* Who may use the server: the keys in the data folder.
 *
 * Today there is one tenant; its keys lie hashed in DATA/keys.json, and the first key, made when
 * there is none, is shown once in DATA/first_key.txt (readable by the owner only).  Immutable after
 * tenant_registry_open: any thread may read. */
#ifndef REALM_TENANT_TENANT_H
#define REALM_TENANT_TENANT_H

#include "tenant/key.h"

struct tenant_registry;

/* data_dir: made if it is not there.  extra_key: accepted as well, stored nowhere; NULL: none.
 * *first_key (terminated, "" when none was made): the key that was made now, for the person who
 * started the server. INVALID_FORMAT: keys.json cannot be read. */
REALM_MUST_CHECK realm_status tenant_registry_open(const char *data_dir,
                                                   const char *extra_key,
                                                   char first_key[KEY_TEXT_LENGTH + 1],
                                                   struct tenant_registry **out,
                                                   struct realm_error *error);
void tenant_registry_close(struct tenant_registry *registry);

/* Whether a presented key is known; *id gets what logs may show of it (also of unknown ones). */
bool tenant_registry_accepts(const struct tenant_registry *registry,
                             const char *key,
                             size_t n_bytes,
                             char id[KEY_ID_LENGTH + 1]);

#endif
