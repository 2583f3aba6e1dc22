#include "sandbox/shelf.h"

#include "base/clock.h"
#include "base/log.h"
#include "sandbox/shelf_index.h"
#include "sandbox/state.h"

#include <stdatomic.h>
#include <stdio.h>

struct shelf_room {
    struct sandbox *sandbox;
    char *folder;
    struct mutex lock; /* held for moments only; never with a shelf's */
    struct shelf *shelves;
};

/* --- the room ----------------------------------------------------------------------------------
 */

realm_status shelf_room_open(struct sandbox *sandbox,
                             const char *folder,
                             struct shelf_room **out,
                             struct realm_error *error)
{
    *out = NULL;
    struct shelf_room *const room = alloc_zeroed(ALLOC_GUEST, 1, sizeof *room);
    if (room == NULL) {
        return realm_error_out_of_memory(error, sizeof *room, "the programs");
    }
    room->sandbox = sandbox;
    room->folder = alloc_string(ALLOC_GUEST, folder, strlen(folder));
    if (room->folder == NULL) {
        alloc_free(room);
        return realm_error_out_of_memory(error, strlen(folder), "the programs' folder");
    }
    mutex_init(&room->lock);
    *out = room;
    return REALM_OK;
}

static void drop_programs(struct shelf *shelf)
{
    struct shelf_program *next;
    for (struct shelf_program *p = shelf->programs; p != NULL; p = next) {
        next = p->next;
        shelf_program_destroy(p);
    }
    shelf->programs = NULL;
}

static void shelf_destroy(struct shelf *shelf)
{
    drop_programs(shelf);
    sandbox_tenant_release(atomic_load(&shelf->guests));
    mutex_deinit(&shelf->lock);
    alloc_free(shelf);
}

void shelf_room_close(struct shelf_room *room)
{
    if (room == NULL) {
        return;
    }
    struct shelf *next;
    for (struct shelf *s = room->shelves; s != NULL; s = next) {
        next = s->next;
        shelf_destroy(s);
    }
    mutex_deinit(&room->lock);
    alloc_free(room->folder);
    alloc_free(room);
}

void shelf_room_each(struct shelf_room *room,
                     void (*visit)(void *context,
                                   const char *label,
                                   const struct sandbox_stats *stats),
                     void *context)
{
    mutex_lock(&room->lock);
    for (struct shelf *s = room->shelves; s != NULL; s = s->next) {
        struct sandbox_tenant *const guests = atomic_load(&s->guests);
        if (guests != NULL && s->label[0] != '\0') {
            struct sandbox_stats stats;
            sandbox_tenant_stats(guests, &stats);
            visit(context, s->label, &stats);
        }
    }
    mutex_unlock(&room->lock);
}

/* --- opening a shelf ---------------------------------------------------------------------------
 */

static realm_status
folder_of(const struct shelf *shelf, char out[SHELF_PATH_BYTES], struct realm_error *error)
{
    const int n = snprintf(out, SHELF_PATH_BYTES, "%s/%s", shelf->room->folder, shelf->id);
    return n > 0 && (size_t)n < SHELF_PATH_BYTES
               ? REALM_OK
               : realm_error_set(
                     error, REALM_INVALID_ARGUMENT, "the path of the programs is too long");
}

/* The sandbox's view of the tenant, made with its first program. */
static realm_status enter_sandbox(struct shelf *shelf, struct realm_error *error)
{
    if (atomic_load(&shelf->guests) != NULL) {
        return REALM_OK;
    }
    struct sandbox_tenant *guests;
    REALM_TRY(
        sandbox_tenant_acquire(shelf->room->sandbox, shelf->id, &shelf->limits, &guests, error));
    atomic_store(&shelf->guests, guests);
    return REALM_OK;
}

static const struct shelf_version *find_version(const struct shelf_program *program,
                                                uint32_t number)
{
    for (uint32_t i = 0; i < program->n_versions; i++) {
        if (program->versions[i].number == number) {
            return &program->versions[i];
        }
    }
    return NULL;
}

static realm_status
no_version(const struct shelf_program *program, uint32_t number, struct realm_error *error)
{
    return realm_error_set(
        error,
        REALM_NOT_FOUND,
        "program %s has no version %u; the last one is %u",
        program->name,
        number,
        program->n_versions > 0 ? program->versions[program->n_versions - 1].number : 0);
}

static realm_status load_version(struct shelf *shelf,
                                 const struct shelf_program *program,
                                 uint32_t number,
                                 struct program **out,
                                 struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    char *text;
    const struct shelf_version *const version = find_version(program, number);
    if (version == NULL) {
        return no_version(program, number, error);
    }
    REALM_TRY(folder_of(shelf, folder, error));
    REALM_TRY(shelf_module_read(folder, version, &text, error));
    const struct bytes module = {.data = (const uint8_t *)text, .length = (size_t)version->n_bytes};
    const realm_status status = program_load(
        shelf->room->sandbox, atomic_load(&shelf->guests), program->name, module, out, error);
    alloc_free(text);
    return status;
}

/* Has the active version ready, and callable by the tenant's other programs. */
static realm_status
load_active(struct shelf *shelf, struct shelf_program *program, struct realm_error *error)
{
    if (program->loaded != NULL) {
        return REALM_OK;
    }
    REALM_TRY(load_version(shelf, program, program->active, &program->loaded, error));
    const realm_status status =
        sandbox_tenant_publish(atomic_load(&shelf->guests), program->loaded, error);
    if (status != REALM_OK) {
        program_release(program->loaded);
        program->loaded = NULL;
    }
    return status;
}

static realm_status read_shelf(struct shelf *shelf, struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    REALM_TRY(folder_of(shelf, folder, error));
    realm_status status = shelf_index_read(shelf, folder, error);
    if (status == REALM_OK && shelf->programs != NULL) {
        status = enter_sandbox(shelf, error);
    }
    if (status != REALM_OK) {
        drop_programs(shelf);
        return status;
    }
    for (struct shelf_program *p = shelf->programs; p != NULL; p = p->next) {
        struct realm_error trouble;
        if (load_active(shelf, p, &trouble) != REALM_OK) {
            log_warn("program_not_loaded",
                     LOG_TEXT("tenant", shelf->id),
                     LOG_TEXT("program", p->name),
                     LOG_TEXT("error", trouble.message));
        }
    }
    shelf->opened = true;
    return REALM_OK;
}

/* A new entry; room->lock is held.  NULL: out of memory. */
static struct shelf *add_shelf(struct shelf_room *room, const struct shelf_owner *owner)
{
    struct shelf *const shelf = alloc_zeroed(ALLOC_GUEST, 1, sizeof *shelf);
    if (shelf == NULL) {
        return NULL;
    }
    for (struct shelf *s = room->shelves; s != NULL; s = s->next) {
        if (strcmp(s->label, owner->label) == 0) {
            s->label[0] = '\0'; /* of a tenant that is gone: two series of one name */
        }
    }
    shelf->room = room;
    (void)snprintf(shelf->id, sizeof shelf->id, "%s", owner->id);
    (void)snprintf(shelf->label, sizeof shelf->label, "%s", owner->label);
    mutex_init(&shelf->lock);
    shelf->next = room->shelves;
    room->shelves = shelf;
    return shelf;
}

/* The entry of an id, made if it is new; NULL: out of memory. */
static struct shelf *find_shelf(struct shelf_room *room, const struct shelf_owner *owner)
{
    mutex_lock(&room->lock);
    struct shelf *shelf = room->shelves;
    while (shelf != NULL && strcmp(shelf->id, owner->id) != 0) {
        shelf = shelf->next;
    }
    if (shelf == NULL) {
        shelf = add_shelf(room, owner);
    }
    mutex_unlock(&room->lock);
    return shelf;
}

realm_status shelf_open(struct shelf_room *room,
                        const struct shelf_owner *owner,
                        const struct sandbox_limits *limits,
                        struct shelf **out,
                        struct realm_error *error)
{
    *out = NULL;
    struct shelf *const shelf = find_shelf(room, owner);
    if (shelf == NULL) {
        return realm_error_out_of_memory(error, sizeof *shelf, "a tenant's programs");
    }
    mutex_lock(&shelf->lock);
    shelf->limits = limits_complete(limits);
    struct sandbox_tenant *const guests = atomic_load(&shelf->guests);
    if (guests != NULL) {
        sandbox_tenant_set_limits(guests, &shelf->limits);
    }
    const realm_status status = shelf->opened ? REALM_OK : read_shelf(shelf, error);
    mutex_unlock(&shelf->lock);
    if (status == REALM_OK) {
        *out = shelf;
    }
    return status;
}

void shelf_each(struct shelf *shelf,
                void (*visit)(void *context, const struct shelf_item *item),
                void *context)
{
    mutex_lock(&shelf->lock);
    for (const struct shelf_program *p = shelf->programs; p != NULL; p = p->next) {
        const struct shelf_item item = {
            .name = p->name,
            .active = p->active,
            .is_default = strcmp(p->name, shelf->chosen) == 0,
            .versions = p->versions,
            .n_versions = p->n_versions,
        };
        visit(context, &item);
    }
    mutex_unlock(&shelf->lock);
}

/* --- changes -----------------------------------------------------------------------------------
 */

static realm_status check_name(const char *name, struct realm_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    const size_t n = strlen(name);
    return n < SHELF_NAME_BYTES && strspn(name, letters) > 0 && strspn(name, all) == n
               ? REALM_OK
               : realm_error_set(error,
                                 REALM_INVALID_ARGUMENT,
                                 "\"%.70s\" is no program's name: 1 to 63 letters, digits, - _ or "
                                 ". that begin with a letter or digit",
                                 name);
}

static realm_status no_program(const char *name, struct realm_error *error)
{
    return realm_error_set(
        error, REALM_NOT_FOUND, "there is no program %.70s; GET /v1/programs lists yours", name);
}

static realm_status
check_room(const struct shelf *shelf, bool is_new, uint64_t n_bytes, struct realm_error *error)
{
    uint64_t n_programs = is_new ? 1 : 0;
    for (const struct shelf_program *p = shelf->programs; p != NULL; p = p->next) {
        n_programs++;
        for (uint32_t i = 0; i < p->n_versions; i++) {
            n_bytes += p->versions[i].n_bytes;
        }
    }
    if (n_programs > shelf->limits.programs) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "limit programs: %llu programs are allowed; remove one first",
                               (unsigned long long)shelf->limits.programs);
    }
    if (n_bytes > shelf->limits.shelf_bytes) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "limit shelf_bytes: all versions together would have %llu bytes, "
                               "%llu are allowed; remove old versions first",
                               (unsigned long long)n_bytes,
                               (unsigned long long)shelf->limits.shelf_bytes);
    }
    return REALM_OK;
}

static void unlink_program(struct shelf *shelf, struct shelf_program *program)
{
    struct shelf_program **at = &shelf->programs;
    while (*at != program) {
        at = &(*at)->next;
    }
    *at = program->next;
    program->next = NULL;
}

/* Removes a module that no version names any more. */
static void remove_unused(const struct shelf *shelf, const char *folder, const char *sha256)
{
    for (const struct shelf_program *p = shelf->programs; p != NULL; p = p->next) {
        for (uint32_t i = 0; i < p->n_versions; i++) {
            if (strcmp(p->versions[i].sha256, sha256) == 0) {
                return;
            }
        }
    }
    shelf_module_remove(folder, sha256);
}

/* Makes `loaded` what runs as the program; the program on the shelf owns it from here on. */
static void
replace_loaded(struct shelf *shelf, struct shelf_program *program, struct program *loaded)
{
    struct realm_error error;
    program_release(program->loaded);
    program->loaded = loaded;
    if (sandbox_tenant_publish(atomic_load(&shelf->guests), loaded, &error) != REALM_OK) {
        log_warn("program_not_published",
                 LOG_TEXT("program", program->name),
                 LOG_TEXT("error", error.message));
    }
}

/* Writes module and index; nothing has changed after an error. */
static realm_status store_version(struct shelf *shelf,
                                  const char *name,
                                  struct bytes module,
                                  bool keep_active,
                                  struct shelf_version *version,
                                  struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    struct shelf_program *program = shelf_find(shelf, name);
    const bool is_new = program == NULL;
    REALM_TRY(check_room(shelf, is_new, module.length, error));
    REALM_TRY(folder_of(shelf, folder, error));
    if (is_new) {
        program = shelf_insert(shelf, name);
    }
    if (program == NULL) {
        return realm_error_out_of_memory(error, sizeof *program, "a program");
    }
    const uint32_t active = program->active;
    version->number = ++program->last;
    realm_status status = shelf_append_version(program, version, error);
    if (status == REALM_OK) {
        program->active = keep_active && !is_new ? active : version->number;
        status = shelf_module_write(folder, version->sha256, module, error);
        if (status == REALM_OK) {
            status = shelf_index_write(shelf, folder, error);
        }
        if (status != REALM_OK) {
            program->n_versions--;
        }
    }
    if (status != REALM_OK) {
        program->active = active;
        program->last--;
        if (is_new) {
            unlink_program(shelf, program);
            shelf_program_destroy(program);
        }
        remove_unused(shelf, folder, version->sha256);
    }
    return status;
}

static realm_status push(struct shelf *shelf,
                         const char *name,
                         struct bytes module,
                         bool keep_active,
                         struct shelf_version *out,
                         struct realm_error *error)
{
    *out = (struct shelf_version){.n_bytes = module.length, .created_s = clock_wall_s()};
    REALM_TRY(check_name(name, error));
    REALM_TRY(shelf_module_hash(module, out->sha256, error));
    mutex_lock(&shelf->lock);
    realm_status status = enter_sandbox(shelf, error);
    if (status == REALM_OK) { /* asked again below; here before the work */
        status = check_room(shelf, shelf_find(shelf, name) == NULL, module.length, error);
    }
    mutex_unlock(&shelf->lock);
    struct program *loaded = NULL;
    if (status == REALM_OK) {
        status = program_load(
            shelf->room->sandbox, atomic_load(&shelf->guests), name, module, &loaded, error);
    }
    if (status != REALM_OK) {
        return status;
    }
    mutex_lock(&shelf->lock);
    status = store_version(shelf, name, module, keep_active, out, error);
    struct shelf_program *const program = shelf_find(shelf, name);
    if (status == REALM_OK && program->active == out->number) {
        replace_loaded(shelf, program, loaded);
    } else {
        program_release(loaded);
    }
    mutex_unlock(&shelf->lock);
    return status;
}

realm_status shelf_push(struct shelf *shelf,
                        const char *name,
                        struct bytes module,
                        bool keep_active,
                        struct shelf_version *out,
                        struct realm_error *error)
{
    const realm_status status = push(shelf, name, module, keep_active, out, error);
    struct sandbox_tenant *const guests = atomic_load(&shelf->guests);
    if (status == REALM_RESOURCE_EXHAUSTED && guests != NULL) {
        const uint32_t limit = limits_named(error->message);
        if (limit < N_LIMITS) {
            tenant_count_breach(guests, (enum limit)limit);
        }
    }
    return status;
}

static realm_status
write_index(const struct shelf *shelf, char folder[SHELF_PATH_BYTES], struct realm_error *error)
{
    REALM_TRY(folder_of(shelf, folder, error));
    return shelf_index_write(shelf, folder, error);
}

static realm_status activate(struct shelf *shelf,
                             struct shelf_program *program,
                             uint32_t version,
                             struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    struct program *loaded;
    REALM_TRY(load_version(shelf, program, version, &loaded, error));
    const uint32_t before = program->active;
    program->active = version;
    const realm_status status = write_index(shelf, folder, error);
    if (status != REALM_OK) {
        program->active = before;
        program_release(loaded);
        return status;
    }
    replace_loaded(shelf, program, loaded);
    return REALM_OK;
}

realm_status
shelf_activate(struct shelf *shelf, const char *name, uint32_t version, struct realm_error *error)
{
    mutex_lock(&shelf->lock);
    struct shelf_program *const program = shelf_find(shelf, name);
    const realm_status status =
        program != NULL ? activate(shelf, program, version, error) : no_program(name, error);
    mutex_unlock(&shelf->lock);
    return status;
}

static realm_status
remove_program(struct shelf *shelf, struct shelf_program *program, struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    char chosen[SHELF_NAME_BYTES];
    memcpy(chosen, shelf->chosen, sizeof chosen);
    struct shelf_program *const behind = program->next;
    struct shelf_program **at = &shelf->programs;
    while (*at != program) {
        at = &(*at)->next;
    }
    *at = behind;
    if (strcmp(chosen, program->name) == 0) {
        shelf->chosen[0] = '\0';
    }
    const realm_status status = write_index(shelf, folder, error);
    if (status != REALM_OK) {
        *at = program;
        memcpy(shelf->chosen, chosen, sizeof chosen);
        return status;
    }
    (void)sandbox_tenant_withdraw(atomic_load(&shelf->guests), program->name);
    for (uint32_t i = 0; i < program->n_versions; i++) {
        remove_unused(shelf, folder, program->versions[i].sha256);
    }
    shelf_program_destroy(program);
    return REALM_OK;
}

static realm_status remove_version(struct shelf *shelf,
                                   struct shelf_program *program,
                                   uint32_t number,
                                   struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    const struct shelf_version *const found = find_version(program, number);
    if (found == NULL) {
        return no_version(program, number, error);
    }
    if (number == program->active) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "version %u of program %s is the active one; activate another first",
                               number,
                               program->name);
    }
    const struct shelf_version version = *found;
    const size_t at = (size_t)(found - program->versions);
    struct shelf_version *const place = &program->versions[at];
    const size_t n_behind = program->n_versions - at - 1;
    memmove(place, place + 1, n_behind * sizeof *place);
    program->n_versions--;
    const realm_status status = write_index(shelf, folder, error);
    if (status != REALM_OK) {
        memmove(place + 1, place, n_behind * sizeof *place);
        *place = version;
        program->n_versions++;
        return status;
    }
    remove_unused(shelf, folder, version.sha256);
    return REALM_OK;
}

realm_status
shelf_remove(struct shelf *shelf, const char *name, uint32_t version, struct realm_error *error)
{
    mutex_lock(&shelf->lock);
    struct shelf_program *const program = shelf_find(shelf, name);
    realm_status status;
    if (program == NULL) {
        status = no_program(name, error);
    } else if (version == 0) {
        status = remove_program(shelf, program, error);
    } else {
        status = remove_version(shelf, program, version, error);
    }
    mutex_unlock(&shelf->lock);
    return status;
}

realm_status shelf_set_default(struct shelf *shelf, const char *name, struct realm_error *error)
{
    char folder[SHELF_PATH_BYTES];
    char before[SHELF_NAME_BYTES];
    mutex_lock(&shelf->lock);
    realm_status status = REALM_OK;
    memcpy(before, shelf->chosen, sizeof before);
    if (name != NULL && shelf_find(shelf, name) == NULL) {
        status = no_program(name, error);
    } else if (strcmp(before, name != NULL ? name : "") != 0) {
        (void)snprintf(shelf->chosen, sizeof shelf->chosen, "%s", name != NULL ? name : "");
        status = write_index(shelf, folder, error);
        if (status != REALM_OK) {
            memcpy(shelf->chosen, before, sizeof before);
        }
    }
    mutex_unlock(&shelf->lock);
    return status;
}

bool shelf_has_default(struct shelf *shelf)
{
    mutex_lock(&shelf->lock);
    const bool has = shelf->chosen[0] != '\0';
    mutex_unlock(&shelf->lock);
    return has;
}

/* --- running -----------------------------------------------------------------------------------
 */

static realm_status take_program(struct shelf *shelf,
                                 struct shelf_program *program,
                                 struct shelf_lease *lease,
                                 struct realm_error *error)
{
    if (lease->version == 0 || lease->version == program->active) {
        REALM_TRY(load_active(shelf, program, error));
        lease->version = program->active;
        lease->program = program->loaded;
        program_acquire(lease->program);
    } else {
        REALM_TRY(load_version(shelf, program, lease->version, &lease->program, error));
    }
    lease->tenant = atomic_load(&shelf->guests);
    lease->log = program->log;
    run_log_retain(lease->log);
    memcpy(lease->name, program->name, sizeof lease->name);
    return REALM_OK;
}

realm_status shelf_take(struct shelf *shelf,
                        const char *name,
                        uint32_t version,
                        struct shelf_lease *out,
                        struct realm_error *error)
{
    *out = (struct shelf_lease){.version = version};
    mutex_lock(&shelf->lock);
    realm_status status;
    if (name == NULL && shelf->chosen[0] == '\0') {
        status = realm_error_set(error, REALM_NOT_FOUND, "the tenant has no default program");
    } else {
        struct shelf_program *const program =
            shelf_find(shelf, name != NULL ? name : shelf->chosen);
        status = program != NULL ? take_program(shelf, program, out, error)
                                 : no_program(name != NULL ? name : shelf->chosen, error);
    }
    mutex_unlock(&shelf->lock);
    return status;
}

void shelf_give_back(struct shelf_lease *lease)
{
    program_release(lease->program);
    run_log_release(lease->log);
    *lease = (struct shelf_lease){.program = NULL};
}
