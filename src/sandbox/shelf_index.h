/* A shelf as it is inside, and its files. */
#ifndef REALM_SANDBOX_SHELF_INDEX_H
#define REALM_SANDBOX_SHELF_INDEX_H

#include "base/thread.h"
#include "sandbox/shelf.h"

#define SHELF_PATH_BYTES 4096u

struct shelf_program {
    struct shelf_program *next; /* by name */
    char name[SHELF_NAME_BYTES];
    uint32_t active;
    uint32_t last; /* highest version there was */
    struct shelf_version *versions;
    uint32_t n_versions;
    uint32_t capacity;
    struct program *loaded; /* the active version; NULL: it could not be, and is tried again */
    struct run_log *log;
};

struct shelf {
    struct shelf *next; /* room->lock */
    struct shelf_room *room;
    char id[SHELF_ID_BYTES];
    char label[SHELF_LABEL_BYTES];         /* room->lock; "": another tenant has it now */
    struct sandbox_tenant *_Atomic guests; /* NULL until there is a program; set once */
    struct mutex lock;                     /* from here on */
    bool opened;
    struct sandbox_limits limits;
    struct shelf_program *programs;
    char chosen[SHELF_NAME_BYTES]; /* the default program, or "" */
};

/* A program without versions, put in its place; NULL: out of memory. */
struct shelf_program *shelf_insert(struct shelf *shelf, const char *name);
struct shelf_program *shelf_find(const struct shelf *shelf, const char *name);
void shelf_program_destroy(struct shelf_program *program);
REALM_MUST_CHECK realm_status shelf_append_version(struct shelf_program *program,
                                                   const struct shelf_version *version,
                                                   struct realm_error *error);

/* folder: the tenant's.  A folder that is not there is an empty shelf.  INVALID_FORMAT: the file is
 * damaged, with the line. */
REALM_MUST_CHECK realm_status shelf_index_read(struct shelf *shelf,
                                               const char *folder,
                                               struct realm_error *error);
REALM_MUST_CHECK realm_status shelf_index_write(const struct shelf *shelf,
                                                const char *folder,
                                                struct realm_error *error);

REALM_MUST_CHECK realm_status shelf_module_hash(struct bytes module,
                                                char out[SHELF_SHA256_BYTES],
                                                struct realm_error *error);
REALM_MUST_CHECK realm_status shelf_module_write(const char *folder,
                                                 const char *sha256,
                                                 struct bytes module,
                                                 struct realm_error *error);
/* INVALID_FORMAT: the file is not what was written.  *out by alloc_free. */
REALM_MUST_CHECK realm_status shelf_module_read(const char *folder,
                                                const struct shelf_version *version,
                                                char **out,
                                                struct realm_error *error);
void shelf_module_remove(const char *folder, const char *sha256);

#endif
