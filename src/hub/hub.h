/* Where models come from and where they lie: a folder of GGUF files in the user's cache, the
 * catalogue of short names, and downloads from a hub or any HTTPS address.
 *
 * Nothing is kept between calls but the files.  Any thread; two processes may fetch the same file:
 * the second waits for the first. */
#ifndef REALM_HUB_HUB_H
#define REALM_HUB_HUB_H

#include "base/status.h"

#define HUB_PATH_BYTES 4096u

/* --- the catalogue -----------------------------------------------------------------------------
 */

struct hub_catalogue_entry {
    const char *name;   /* "smollm2" */
    const char *source; /* "hf:OWNER/REPO:QUANT" */
    const char *prefix; /* how its files' names begin, in any letter case */
    const char *about;
};

/* NULL at the end. */
const struct hub_catalogue_entry *hub_catalogue_at(size_t index);
/* By name, any letter case; NULL: unknown. */
const struct hub_catalogue_entry *hub_catalogue_find(const char *name);

/* --- the cache: CACHE/models and the folders in it
 * ------------------------------------------------
 */

/* A whole model; the parts of a split one together. */
struct hub_model {
    const char *path; /* the first part */
    const char *name; /* the file's name without folder, ".gguf" and part number */
    uint64_t bytes;   /* all parts */
    uint32_t n_parts; /* found */
    int64_t modified_s;
};

/* Calls `each` for every model, by name; false from it ends the walk.  A folder that is not there
 * has no models. */
REALM_MUST_CHECK realm_status hub_list(const char *cache_folder,
                                       bool (*each)(void *context, const struct hub_model *model),
                                       void *context,
                                       struct realm_error *error);

/* The path of a model by a catalogue's name, a model's name, or the beginning of one.
 * NOT_FOUND tells how to get it or which names there are; INVALID_ARGUMENT: more than one begins
 * so.
 */
REALM_MUST_CHECK realm_status hub_find(const char *cache_folder,
                                       const char *name,
                                       char out[HUB_PATH_BYTES],
                                       struct realm_error *error);

/* --- fetching ----------------------------------------------------------------------------------
 */

struct hub_progress {
    const char *file; /* its name */
    uint32_t part;    /* of a split model, from 1 */
    uint32_t n_parts;
    uint64_t bytes_done;
    uint64_t bytes_total; /* 0: unknown */
    uint32_t retry;       /* how many times it was begun again */
    const char *trouble;  /* why, while waiting to begin again; else NULL */
};

/* False: stop; the result is then CANCELLED and what came so far is kept for the next time. */
typedef bool (*hub_progress_function)(void *context, const struct hub_progress *progress);

/* Zero means default in every field but the first. */
struct hub_options {
    const char *cache_folder;
    const char *base_url; /* instead of the hub's own address; http only to this machine */
    const char *token;    /* sent to the hub, and to nobody it redirects to */
    const char *sha256;   /* 64 hex digits the (only) file must have */
    bool force;           /* fetch also what is there already */
    uint32_t max_retries; /* of one file, in a row without a byte gained; 0: 5 */
    uint32_t retry_ms;    /* before the first retry, doubled each time; 0: 500 */
    uint32_t stall_s;     /* without a byte counts as broken; 0: 30 */
    hub_progress_function progress; /* NULL: none */
    void *progress_context;
};

/* Fetches a model into the cache; *out: its path (the first part).
 * source: "hf:OWNER/REPO[@REVISION][:FILE or QUANT]", "https://.../FILE.gguf" or a catalogue's
 * name. Resumes what an earlier call left, checks size and SHA-256 where the hub or the caller tell
 * them, and gives the file its name only when it is whole. INVALID_ARGUMENT: the source; NOT_FOUND:
 * repository, file or address; PERMISSION_DENIED: it wants a token; INVALID_FORMAT: wrong checksum,
 * or no GGUF file; RESOURCE_EXHAUSTED: no space; UNAVAILABLE: the network; CANCELLED. */
REALM_MUST_CHECK realm_status hub_pull(const struct hub_options *options,
                                       const char *source,
                                       char out[HUB_PATH_BYTES],
                                       struct realm_error *error);

#endif
