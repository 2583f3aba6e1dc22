#include "base/file.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_BYTES ((size_t)4096)

static _Atomic uint64_t n_calls;
static _Atomic uint64_t failing_call = UINT64_MAX;
static _Atomic int failing_code;

bool file_io_allowed(void)
{
    const uint64_t call = atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed);
    if (call != atomic_load_explicit(&failing_call, memory_order_relaxed)) {
        return true;
    }
    errno = atomic_load_explicit(&failing_code, memory_order_relaxed);
    return false;
}

void file_fail_after(uint64_t n, int code)
{
    uint64_t call;
    if (!checked_add_u64(atomic_load_explicit(&n_calls, memory_order_relaxed), n, &call)) {
        call = UINT64_MAX;
    }
    atomic_store_explicit(&failing_code, code, memory_order_relaxed);
    atomic_store_explicit(&failing_call, call, memory_order_relaxed);
}

/* Remedies for the few codes that a person can do something about. */
static const char *remedy_of(int code)
{
    switch (code) {
    case ENOENT:
        return "no such file or folder";
    case EACCES:
    case EPERM:
        return "permission denied; check the owner and mode of the file and its folders";
    case ENOSPC:
    case EDQUOT:
        return "no space left; free some and try again";
    case EMFILE:
    case ENFILE:
        return "too many open files; raise the limit (ulimit -n)";
    case EROFS:
        return "the file system is read-only";
    case EISDIR:
        return "it is a folder";
    case ENOTDIR:
        return "a part of the path is not a folder";
    case ENAMETOOLONG:
        return "the path is too long";
    case ELOOP:
        return "too many symbolic links";
    case EIO:
        return "input/output error; the disk may be failing";
    case ENOMEM:
        return "out of memory or address space";
    default:
        return NULL;
    }
}

realm_status file_io_error(struct realm_error *error, int code, const char *doing, const char *path)
{
    realm_status status = REALM_IO;
    if (code == ENOENT || code == ENOTDIR) {
        status = REALM_NOT_FOUND;
    } else if (code == EACCES || code == EPERM || code == EROFS) {
        status = REALM_PERMISSION_DENIED;
    }
    const char *remedy = remedy_of(code);
    if (remedy == NULL) {
        return realm_error_set(error, status, "cannot %s %s: errno %d", doing, path, code);
    }
    return realm_error_set(error, status, "cannot %s %s: %s", doing, path, remedy);
}

/* Opens to read and measures; refuses what is not an ordinary file.  *descriptor is the caller's.
 */
static realm_status
open_ordinary(const char *path, int *descriptor, size_t *n_bytes, struct realm_error *error)
{
    /* O_NONBLOCK: opening a pipe must not wait for its writer. */
    const int opened =
        file_io_allowed() ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    if (opened < 0) {
        return file_io_error(error, errno, "open", path);
    }
    struct stat info;
    if (!file_io_allowed() || fstat(opened, &info) != 0) {
        const realm_status status = file_io_error(error, errno, "look at", path);
        (void)close(opened);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        (void)close(opened);
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%s is not a file but a %s",
                               path,
                               S_ISDIR(info.st_mode) ? "folder" : "device, pipe or socket");
    }
    if (info.st_size < 0 || !checked_narrow_size((uint64_t)info.st_size, n_bytes)) {
        (void)close(opened);
        return realm_error_set(error, REALM_IO, "%s is too large for this machine", path);
    }
    *descriptor = opened;
    return REALM_OK;
}

realm_status file_map_open(const char *path, struct file_map *out, struct realm_error *error)
{
    static const uint8_t nothing[1];
    int descriptor;
    size_t n_bytes;
    *out = (struct file_map){0};
    REALM_TRY(open_ordinary(path, &descriptor, &n_bytes, error));
    if (n_bytes == 0) {
        (void)close(descriptor);
        out->bytes.data = nothing;
        return REALM_OK;
    }
    void *start =
        file_io_allowed() ? mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, descriptor, 0) : MAP_FAILED;
    const int code = errno;
    (void)close(descriptor);
    if (start == MAP_FAILED) {
        return file_io_error(error, code, "map", path);
    }
    out->bytes = (struct bytes){.data = start, .length = n_bytes};
    return REALM_OK;
}

/* The mapping's address as the system gave it: not const, though nobody may write there. */
static char *map_start(const struct file_map *map)
{
    union {
        const uint8_t *read_only;
        char *plain;
    } start = {.read_only = map->bytes.data};
    return start.plain;
}

void file_map_close(struct file_map *map)
{
    if (map->bytes.length > 0) {
        (void)munmap(map_start(map), map->bytes.length);
    }
    *map = (struct file_map){0};
}

void file_map_forget(const struct file_map *map, size_t offset, size_t n_bytes)
{
    if (offset > map->bytes.length || n_bytes > map->bytes.length - offset) {
        return;
    }
    /* Only whole pages inside the range: the rest of its first and last page is a neighbour's. */
    const size_t first = (offset + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    const size_t last = offset + n_bytes == map->bytes.length
                            ? map->bytes.length
                            : (offset + n_bytes) / PAGE_BYTES * PAGE_BYTES;
    if (first < last) {
        (void)madvise(map_start(map) + first, last - first, MADV_DONTNEED);
    }
}

/* Fills text[0..n_bytes); *n_read is less when the file ends earlier. */
static realm_status read_all(int descriptor,
                             char *text,
                             size_t n_bytes,
                             size_t *n_read,
                             const char *path,
                             struct realm_error *error)
{
    *n_read = 0;
    while (*n_read < n_bytes) {
        const ssize_t got =
            file_io_allowed() ? read(descriptor, text + *n_read, n_bytes - *n_read) : -1;
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return file_io_error(error, errno, "read", path);
        }
        if (got == 0) {
            break;
        }
        *n_read += (size_t)got;
    }
    return REALM_OK;
}

realm_status file_read(
    const char *path, size_t max_bytes, char **out, size_t *n_bytes, struct realm_error *error)
{
    int descriptor;
    size_t size;
    *out = NULL;
    *n_bytes = 0;
    REALM_TRY(open_ordinary(path, &descriptor, &size, error));
    realm_status status = REALM_OK;
    char *text = NULL;
    if (size > max_bytes || size == SIZE_MAX) {
        status = realm_error_set(error,
                                 REALM_RESOURCE_EXHAUSTED,
                                 "%s has %zu bytes; at most %zu are read",
                                 path,
                                 size,
                                 max_bytes);
    } else {
        text = alloc_bytes(ALLOC_BASE, size + 1);
        status = text != NULL ? read_all(descriptor, text, size, n_bytes, path, error)
                              : realm_error_out_of_memory(error, size + 1, path);
    }
    (void)close(descriptor);
    if (status != REALM_OK) {
        alloc_free(text);
        return status;
    }
    text[*n_bytes] = '\0';
    *out = text;
    return REALM_OK;
}

realm_status file_make_folder(const char *path, unsigned mode, struct realm_error *error)
{
    const size_t length = strlen(path);
    char *part = alloc_string(ALLOC_BASE, path, length);
    if (part == NULL) {
        return realm_error_out_of_memory(error, length + 1, path);
    }
    realm_status status = REALM_OK;
    for (size_t i = 1; i <= length && status == REALM_OK; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if ((!file_io_allowed() || mkdir(part, (mode_t)mode) != 0) && errno != EEXIST) {
            status = file_io_error(error, errno, "make the folder", part);
        }
        part[i] = path[i];
    }
    alloc_free(part);
    struct stat info;
    if (status == REALM_OK && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))) {
        status = realm_error_set(
            error, REALM_ALREADY_EXISTS, "cannot make the folder %s: a file has that name", path);
    }
    return status;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
