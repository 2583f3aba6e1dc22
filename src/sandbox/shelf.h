/* Where tenants' programs lie: a shelf a tenant, with the versions of each program, of which one is
 * active.
 *
 * On disk, FOLDER/<tenant>/index names programs and versions, and <SHA-256>.wasm beside it holds a
 * module.  A module is whole before the index tells of it, and the index is replaced at once, so
 * that a crash leaves the shelf as it was before or after a change.
 *
 * A shelf is opened when its tenant is first asked for, and stays in memory; active programs are
 * compiled (or taken from the sandbox's compiled code) then.  Any thread but one that must not
 * block; a tenant's calls wait for each other, never for another tenant's. */
#ifndef REALM_SANDBOX_SHELF_H
#define REALM_SANDBOX_SHELF_H

#include "sandbox/run_log.h"
#include "sandbox/sandbox.h"

#define SHELF_NAME_BYTES   64u
#define SHELF_ID_BYTES     65u
#define SHELF_LABEL_BYTES  64u
#define SHELF_SHA256_BYTES 65u

struct shelf_room; /* all tenants' shelves */
struct shelf;

/* folder: made when it is needed.  The sandbox outlives the room. */
REALM_MUST_CHECK realm_status shelf_room_open(struct sandbox *sandbox,
                                              const char *folder,
                                              struct shelf_room **out,
                                              struct realm_error *error);
/* All leases must have ended.  NULL is fine. */
void shelf_room_close(struct shelf_room *room);

/* Whose shelf it is. */
struct shelf_owner {
    const char *id;    /* as sandbox_tenant_acquire wants it; never another tenant's later */
    const char *label; /* of metrics */
};

/* The shelf of a tenant, the room's; opened when it is new.  limits: see sandbox_tenant_acquire. */
REALM_MUST_CHECK realm_status shelf_open(struct shelf_room *room,
                                         const struct shelf_owner *owner,
                                         const struct sandbox_limits *limits,
                                         struct shelf **out,
                                         struct realm_error *error);

/* Calls `visit` for every tenant that has run or pushed a program since the start, in no order;
 * never waits for a shelf. */
void shelf_room_each(struct shelf_room *room,
                     void (*visit)(void *context,
                                   const char *label,
                                   const struct sandbox_stats *stats),
                     void *context);

/* --- what lies there ---------------------------------------------------------------------------
 */

struct shelf_version {
    uint32_t number; /* from 1; never given twice to programs of one name while one is there */
    uint64_t n_bytes;
    int64_t created_s;
    char sha256[SHELF_SHA256_BYTES];
};

struct shelf_item {
    const char *name;
    uint32_t active;
    bool is_default;
    const struct shelf_version *versions; /* by number */
    uint32_t n_versions;
};

/* Calls `visit` for every program, by name, with the shelf held: it must not call the shelf. */
void shelf_each(struct shelf *shelf,
                void (*visit)(void *context, const struct shelf_item *item),
                void *context);

/* --- changes: on disk when the call returns ----------------------------------------------------
 */

/* Compiles a module and makes it the next version of a program; it becomes the active one unless
 * `keep_active`.  Other calls for the shelf go on while it compiles.
 * name: 1-63 letters, digits, '-', '_' or '.', begins with a letter or digit.
 * Errors of program_load; INVALID_ARGUMENT: the name; RESOURCE_EXHAUSTED: limit programs or
 * shelf_bytes. */
REALM_MUST_CHECK realm_status shelf_push(struct shelf *shelf,
                                         const char *name,
                                         struct bytes module,
                                         bool keep_active,
                                         struct shelf_version *out,
                                         struct realm_error *error);
/* NOT_FOUND: no such program or version. */
REALM_MUST_CHECK realm_status shelf_activate(struct shelf *shelf,
                                             const char *name,
                                             uint32_t version,
                                             struct realm_error *error);
/* version 0: the program with all versions.  INVALID_ARGUMENT: the version is the active one.  What
 * runs goes on. */
REALM_MUST_CHECK realm_status shelf_remove(struct shelf *shelf,
                                           const char *name,
                                           uint32_t version,
                                           struct realm_error *error);
/* The program through which the tenant's chat requests run; NULL: none. */
REALM_MUST_CHECK realm_status shelf_set_default(struct shelf *shelf,
                                                const char *name,
                                                struct realm_error *error);

bool shelf_has_default(struct shelf *shelf);

/* --- running -----------------------------------------------------------------------------------
 */

/* What a run needs; ends with shelf_give_back. */
struct shelf_lease {
    struct sandbox_tenant *tenant; /* the shelf's */
    struct program *program;
    struct run_log *log;
    uint32_t version;
    char name[SHELF_NAME_BYTES];
};

/* A version of a program, ready to run; version 0: the active one; name NULL: the default program
 * (NOT_FOUND: there is none). */
REALM_MUST_CHECK realm_status shelf_take(struct shelf *shelf,
                                         const char *name,
                                         uint32_t version,
                                         struct shelf_lease *out,
                                         struct realm_error *error);
void shelf_give_back(struct shelf_lease *lease);

#endif
