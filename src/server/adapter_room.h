/* Tenants' LoRA adapters: kept on disk, and loaded into the engine under the tenant's account.
 *
 * On disk, FOLDER/t<tenant>/index names them, and <SHA-256>.adapter beside it holds a file.  A file
 * is whole before the index tells of it, and the index is replaced at once, so that a crash leaves
 * all as it was before or after a change.
 *
 * A tenant's adapters are loaded when it first asks for one (or lists them, or runs a program)
 * after the start, and stay loaded: whoever finds one in the engine need not wait for a disk.
 * Prepare threads; a tenant's changes and its first call wait for each other, its other calls for
 * nothing, and nobody for another tenant's. */
#ifndef REALM_SERVER_ADAPTER_ROOM_H
#define REALM_SERVER_ADAPTER_ROOM_H

#include "engine/adapters.h"

#define ADAPTER_MAX_FILE_BYTES   ((uint64_t)256 << 20)
#define ADAPTER_MAX_TENANT_BYTES ((uint64_t)512 << 20) /* of all files of a tenant */
#define ADAPTER_MAX_OF_TENANT    16u
#define ADAPTER_SHA256_BYTES     65u

struct adapter_room;

/* folder: made when it is needed.  The engine outlives the room. */
REALM_MUST_CHECK realm_status adapter_room_open(struct engine *engine,
                                                const char *folder,
                                                struct adapter_room **out,
                                                struct realm_error *error);
/* NULL is fine.  What is loaded stays with the engine. */
void adapter_room_close(struct adapter_room *room);

/* Whose they are.  account: of the tenant, or a part of it. */
struct adapter_owner {
    int64_t tenant;
    const struct account *account;
};

struct adapter_item {
    char name[ENGINE_ADAPTER_NAME_BYTES];
    char *model; /* its name */
    uint64_t n_bytes;
    int64_t created_s;
    char sha256[ADAPTER_SHA256_BYTES];
    bool loaded; /* false: the model is not, or the file cannot be used (the log says why) */
};

/* Has the tenant's adapters loaded.  IO, INVALID_FORMAT: the index cannot be read. */
REALM_MUST_CHECK realm_status adapter_room_load(struct adapter_room *room,
                                                const struct adapter_owner *owner,
                                                struct realm_error *error);
/* The same, and calls `visit` for each, by name, with the tenant's held: it must not call the room.
 */
REALM_MUST_CHECK realm_status adapter_room_each(struct adapter_room *room,
                                                const struct adapter_owner *owner,
                                                void (*visit)(void *context,
                                                              const struct adapter_item *item),
                                                void *context,
                                                struct realm_error *error);
/* Loads a file as an adapter of the model and keeps it under the name, in place of an older one.
 * name: 1-63 letters, digits, '-', '_' or '.', begins with a letter or digit.  bytes: see
 * engine_adapter_load.  out: without `model`.
 * Errors of engine_adapter_load; INVALID_ARGUMENT: the name; RESOURCE_EXHAUSTED: more than
 * ADAPTER_MAX_OF_TENANT, or bytes than ADAPTER_MAX_TENANT_BYTES; IO. */
REALM_MUST_CHECK realm_status adapter_room_push(struct adapter_room *room,
                                                const struct adapter_owner *owner,
                                                struct engine_model *model,
                                                const char *name,
                                                struct bytes bytes,
                                                struct adapter_item *out,
                                                struct realm_error *error);
/* What runs with it goes on.  NOT_FOUND. */
REALM_MUST_CHECK realm_status adapter_room_remove(struct adapter_room *room,
                                                  const struct adapter_owner *owner,
                                                  const char *name,
                                                  struct realm_error *error);

#endif
