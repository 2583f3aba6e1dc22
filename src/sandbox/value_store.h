/* What a tenant's programs keep: values by key, in memory and in a log on disk.
 *
 * File "<folder>/values/<tenant>.log": records {key length u32, value length u32 (UINT32_MAX:
 * deleted), checksum u64, key, value}, little-endian, appended in order.  A record cut by a
 * crash ends the reading; the file is rewritten when most of it is dead.  Any thread. */
#ifndef REALM_SANDBOX_VALUE_STORE_H
#define REALM_SANDBOX_VALUE_STORE_H

#include "base/bytes.h"
#include "base/map.h"
#include "base/strbuf.h"
#include "base/thread.h"

#define STORE_MAX_KEY_BYTES   256u
#define STORE_MAX_VALUE_BYTES 65536u

struct value_store {
    struct mutex lock;
    struct map *values;  /* key -> value */
    uint64_t held_bytes; /* keys and values */
    uint64_t log_bytes;  /* of the file */
    char *path;          /* NULL: kept in memory only */
    int fd;
};

/* folder NULL: nothing survives. INVALID_FORMAT, IO. */
REALM_MUST_CHECK realm_status value_store_open(struct value_store *store,
                                               const char *folder,
                                               const char *tenant,
                                               struct realm_error *error);
void value_store_close(struct value_store *store);

/* NOT_FOUND.  out: appended. */
REALM_MUST_CHECK realm_status value_store_get(struct value_store *store,
                                              struct bytes key,
                                              struct strbuf *out,
                                              struct realm_error *error);
/* QUOTA_EXCEEDED: max_bytes would be held. */
REALM_MUST_CHECK realm_status value_store_set(struct value_store *store,
                                              struct bytes key,
                                              struct bytes value,
                                              uint64_t max_bytes,
                                              struct realm_error *error);
REALM_MUST_CHECK realm_status value_store_delete(struct value_store *store,
                                                 struct bytes key,
                                                 struct realm_error *error);
/* JSON array of the keys that begin with prefix, without their first `skip` bytes, sorted, at most
 * max_keys. */
REALM_MUST_CHECK realm_status value_store_list(struct value_store *store,
                                               struct bytes prefix,
                                               size_t skip,
                                               uint32_t max_keys,
                                               struct strbuf *out,
                                               struct realm_error *error);
uint64_t value_store_held_bytes(struct value_store *store);

#endif
