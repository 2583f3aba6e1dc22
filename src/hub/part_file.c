#include "hub/part_file.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FILE_MODE      0644
#define LOCK_POLL_MS   200
#define MAX_FROM_BYTES ((size_t)8192)
#define SPACE_SLACK    ((uint64_t)4 << 20) /* what a disk should keep */

static realm_status
no_space(const struct part_file *part, uint64_t needed, uint64_t there, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_RESOURCE_EXHAUSTED,
                           "no space for %.120s: %llu MB more are needed and %llu MB are free",
                           part->target,
                           (unsigned long long)(needed >> 20) + 1,
                           (unsigned long long)(there >> 20));
}

/* Another process may have finished and renamed the file while we waited for its lock: then ours is
 * no longer the one under that name. */
static bool is_current(const struct part_file *part)
{
    struct stat ours;
    struct stat named;
    return fstat(part->descriptor, &ours) == 0 && stat(part->path, &named) == 0 &&
           ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

static realm_status
lock(struct part_file *part, bool (*tick)(void *context), void *context, struct realm_error *error)
{
    for (;;) {
        part->descriptor =
            file_io_allowed() ? open(part->path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE) : -1;
        if (part->descriptor < 0) {
            return file_io_error(error, errno, "write", part->path);
        }
        while (flock(part->descriptor, LOCK_EX | LOCK_NB) != 0) {
            if (errno != EWOULDBLOCK && errno != EINTR) {
                break; /* a file system without locks: go on alone */
            }
            if (!tick(context)) {
                part_file_close(part);
                return realm_error_set(error, REALM_CANCELLED, "interrupted");
            }
            (void)poll(NULL, 0, LOCK_POLL_MS);
        }
        if (is_current(part)) {
            return REALM_OK;
        }
        part_file_close(part);
    }
}

/* "<url>\n<validator>\n" */
static void read_from(struct part_file *part)
{
    char *text;
    size_t n_bytes;
    if (file_read(part->from_path, MAX_FROM_BYTES, &text, &n_bytes, NULL) != REALM_OK) {
        return;
    }
    const size_t n_url = strcspn(text, "\n");
    const char *const validator = text + n_url + (text[n_url] == '\n');
    const size_t n_validator = strcspn(validator, "\n");
    if (n_url == strlen(part->url) && strncmp(text, part->url, n_url) == 0 &&
        n_validator < sizeof part->validator) {
        memcpy(part->validator, validator, n_validator);
        part->validator[n_validator] = '\0';
    }
    alloc_free(text);
}

realm_status part_file_open(const char *target,
                            const char *url,
                            bool (*tick)(void *context),
                            void *context,
                            struct part_file *out,
                            struct realm_error *error)
{
    *out = (struct part_file){.descriptor = -1};
    const int n = snprintf(out->target, sizeof out->target, "%s", target);
    if (n < 0 || (size_t)n + sizeof ".part.from" > sizeof out->from_path) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the cache's path is too long");
    }
    (void)snprintf(out->path, sizeof out->path, "%.*s.part", n, target);
    (void)snprintf(out->from_path, sizeof out->from_path, "%.*s.part.from", n, target);
    (void)snprintf(out->url, sizeof out->url, "%s", url);
    REALM_TRY(lock(out, tick, context, error));
    struct stat info;
    /* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): open, or lock would have failed */
    if (fstat(out->descriptor, &info) == 0 && info.st_size > 0) {
        out->bytes = (uint64_t)info.st_size;
        read_from(out);
    }
    return REALM_OK;
}

void part_file_close(struct part_file *part)
{
    if (part->descriptor >= 0) {
        (void)close(part->descriptor); /* the lock goes with it */
        part->descriptor = -1;
    }
}

realm_status
part_file_restart(struct part_file *part, const char *validator, struct realm_error *error)
{
    struct file_writer *writer;
    if (!file_io_allowed() || ftruncate(part->descriptor, 0) != 0) {
        return file_io_error(error, errno, "write", part->path);
    }
    part->bytes = 0;
    (void)snprintf(part->validator, sizeof part->validator, "%s", validator);
    REALM_TRY(file_writer_open(part->from_path, FILE_MODE, &writer, error));
    realm_status status = file_writer_write(writer, part->url, strlen(part->url), error);
    if (status == REALM_OK) {
        status = file_writer_write(writer, "\n", 1, error);
    }
    if (status == REALM_OK) {
        status = file_writer_write(writer, validator, strlen(validator), error);
    }
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

realm_status part_file_append(struct part_file *part,
                              const void *data,
                              size_t n_bytes,
                              struct realm_error *error)
{
    const char *at = data;
    while (n_bytes > 0) {
        const ssize_t n =
            file_io_allowed() ? pwrite(part->descriptor, at, n_bytes, (off_t)part->bytes) : -1;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == ENOSPC || errno == EDQUOT
                       ? no_space(part, n_bytes, 0, error)
                       : file_io_error(error, errno, "write", part->path);
        }
        at += n;
        n_bytes -= (size_t)n;
        part->bytes += (uint64_t)n;
    }
    return REALM_OK;
}

realm_status
part_file_check_space(const struct part_file *part, uint64_t n_bytes, struct realm_error *error)
{
    struct statvfs info;
    if (fstatvfs(part->descriptor, &info) != 0) {
        return REALM_OK; /* writing will tell */
    }
    const uint64_t there = (uint64_t)info.f_bavail * info.f_frsize;
    const bool fits = there > SPACE_SLACK && n_bytes <= there - SPACE_SLACK;
    return fits ? REALM_OK : no_space(part, n_bytes, there, error);
}

realm_status part_file_finish(struct part_file *part, struct realm_error *error)
{
    if (!file_io_allowed() || fsync(part->descriptor) != 0 || !file_io_allowed() ||
        rename(part->path, part->target) != 0) {
        const realm_status status = file_io_error(error, errno, "write", part->target);
        part_file_close(part);
        return status;
    }
    (void)unlink(part->from_path);
    part_file_close(part);
    return REALM_OK;
}

void part_file_discard(struct part_file *part)
{
    (void)unlink(part->from_path);
    (void)unlink(part->path);
    part_file_close(part);
}
