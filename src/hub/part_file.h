/* A download on disk before it is whole: "<target>.part", and beside it "<target>.part.from", which
 * says of which address and version its bytes are.  Locked while open, so that two processes do not
 * write one file. */
#ifndef REALM_HUB_PART_FILE_H
#define REALM_HUB_PART_FILE_H

#include "hub/http.h"

#define PART_PATH_BYTES 4352u /* a path and the endings */

struct part_file {
    char target[PART_PATH_BYTES];
    char path[PART_PATH_BYTES];
    char from_path[PART_PATH_BYTES];
    int descriptor; /* -1: closed */
    uint64_t bytes; /* there */
    char url[SOURCE_URL_BYTES];
    char validator[HTTP_VALIDATOR_BYTES]; /* "": what is there cannot be resumed */
};

/* Opens it, with what an earlier download of the same url left, if that can be resumed.  Waits
 * while another process has it; `tick` is asked several times a second then, false: CANCELLED. */
REALM_MUST_CHECK realm_status part_file_open(const char *target,
                                             const char *url,
                                             bool (*tick)(void *context),
                                             void *context,
                                             struct part_file *out,
                                             struct realm_error *error);
/* Closes it; the bytes stay for the next time. */
void part_file_close(struct part_file *part);

/* Begins anew: of this version from now on. */
REALM_MUST_CHECK realm_status part_file_restart(struct part_file *part,
                                                const char *validator,
                                                struct realm_error *error);
/* RESOURCE_EXHAUSTED: the disk is full; what is there stays. */
REALM_MUST_CHECK realm_status part_file_append(struct part_file *part,
                                               const void *data,
                                               size_t n_bytes,
                                               struct realm_error *error);
/* RESOURCE_EXHAUSTED: n_bytes more do not fit on the disk. */
REALM_MUST_CHECK realm_status part_file_check_space(const struct part_file *part,
                                                    uint64_t n_bytes,
                                                    struct realm_error *error);
/* The file gets its name; *part is closed. */
REALM_MUST_CHECK realm_status part_file_finish(struct part_file *part, struct realm_error *error);
/* Removes it; *part is closed. */
void part_file_discard(struct part_file *part);

#endif
