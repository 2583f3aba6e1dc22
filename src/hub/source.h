/* What a person writes for a model, taken apart: a repository of a hub, or an address. */
#ifndef REALM_HUB_SOURCE_H
#define REALM_HUB_SOURCE_H

#include "base/status.h"
#include "base/strbuf.h"

#define SOURCE_NAME_BYTES 128u
#define SOURCE_PATH_BYTES 512u
#define SOURCE_URL_BYTES  2048u

/* A hub: how its addresses are made. */
struct hub_site {
    const char *scheme;    /* "hf", in front of OWNER/REPO */
    const char *base_url;  /* without a slash at the end */
    const char *list_path; /* of base, owner, repo, revision: the list of files as JSON */
    const char *file_path; /* of base, owner, repo, revision, then the file's path follows */
    const char *revision;  /* when none is given */
    const char *quant;     /* what is taken of a repository when nothing is asked for */
};

struct source {
    const struct hub_site *site; /* NULL: an address */
    char owner[SOURCE_NAME_BYTES];
    char repo[SOURCE_NAME_BYTES];
    char revision[SOURCE_NAME_BYTES];
    char wanted[SOURCE_PATH_BYTES]; /* file or quant; "": whatever is best */
    char url[SOURCE_URL_BYTES];     /* of an address */
    char file[SOURCE_PATH_BYTES];   /* of an address: the name of its file */
};

/* "hf:...", "https://..." or a catalogue's name.  INVALID_ARGUMENT says what is wrong with it. */
REALM_MUST_CHECK realm_status source_parse(const char *text,
                                           struct source *out,
                                           struct realm_error *error);

/* The address of the list of a repository's files, and of one of them.  base_url: instead of the
 * site's own, or NULL.  INVALID_ARGUMENT: too long. */
REALM_MUST_CHECK realm_status source_list_url(const struct source *source,
                                              const char *base_url,
                                              char out[SOURCE_URL_BYTES],
                                              struct realm_error *error);
REALM_MUST_CHECK realm_status source_file_url(const struct source *source,
                                              const char *base_url,
                                              const char *path,
                                              char out[SOURCE_URL_BYTES],
                                              struct realm_error *error);

/* A path below a folder: no "..", no empty part, no control character. */
bool source_is_good_path(const char *path);

/* For a name that ends like "-00001-of-00003.gguf": 3, and 1 in *part. Otherwise 1. */
uint32_t source_n_parts(const char *file, uint32_t *part);
/* The same name with another part's number, into out (as long as file). */
void source_part_name(const char *file, uint32_t part, char *out);

#endif
