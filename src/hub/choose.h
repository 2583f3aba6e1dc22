/* Which of a repository's files are meant: from its list (JSON of the hub) and what was asked for.
 * No network in here. */
#ifndef REALM_HUB_CHOOSE_H
#define REALM_HUB_CHOOSE_H

#include "hub/source.h"

#define CHOOSE_HASH_LENGTH 64u

struct repository_file {
    char path[SOURCE_PATH_BYTES];
    uint64_t bytes;                      /* 0: unknown */
    char sha256[CHOOSE_HASH_LENGTH + 1]; /* "": unknown */
};

struct repository {
    struct repository_file *files; /* GGUF files only */
    size_t n;
    size_t capacity;
};

/* json: an array of {"type": "file", "path", "size", "lfs": {"oid", "size"}}; other members and
 * entries are passed over.  INVALID_FORMAT: no such array.  *out ends with repository_deinit in
 * either case. */
REALM_MUST_CHECK realm_status repository_parse(const char *json,
                                               size_t n_bytes,
                                               struct repository *out,
                                               struct realm_error *error);
void repository_deinit(struct repository *repository);
/* By path; NULL: not there. */
const struct repository_file *repository_find(const struct repository *repository,
                                              const char *path);

/* The file, or the first part, that `wanted` means: a path, a file's name, or a quant ("Q8_0") that
 * stands in a name as a word of its own.  "": `fallback` quant if there is one, else the only file.
 * NOT_FOUND: none (the quants there are, are told); INVALID_ARGUMENT: several (they are named). */
REALM_MUST_CHECK realm_status repository_choose(const struct repository *repository,
                                                const char *wanted,
                                                const char *fallback,
                                                const struct repository_file **out,
                                                struct realm_error *error);

#endif
