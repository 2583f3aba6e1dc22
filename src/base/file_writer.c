#include "base/alloc.h"
#include "base/checked.h"
#include "base/file.h"
#include "base/file_io.h"
#include "base/random.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)256 * 1024)
#define SUFFIX_BYTES 16 /* ".tmp-" and eight digits and the zero */
#define MAX_ATTEMPTS 8

struct file_writer {
    int descriptor;
    uint64_t flushed_bytes; /* in the file; the rest waits in the buffer */
    size_t buffered_bytes;
    char *path;
    char *temporary_path;
    uint8_t buffer[BUFFER_BYTES];
};

static void file_writer_free(struct file_writer *writer)
{
    if (writer->descriptor >= 0) {
        (void)close(writer->descriptor);
    }
    alloc_free(writer->path);
    alloc_free(writer->temporary_path);
    alloc_free(writer);
}

static realm_status
file_writer_make_temporary(struct file_writer *writer, unsigned mode, struct realm_error *error)
{
    const size_t length = strlen(writer->path);
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        uint32_t number;
        REALM_TRY(random_bytes(&number, sizeof(number), error));
        (void)snprintf(writer->temporary_path,
                       length + SUFFIX_BYTES,
                       "%s.tmp-%08x",
                       writer->path,
                       (unsigned)number);
        writer->descriptor =
            file_io_allowed()
                ? open(writer->temporary_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, (mode_t)mode)
                : -1;
        if (writer->descriptor >= 0) {
            return REALM_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return file_io_error(error, errno, "create", writer->temporary_path);
}

realm_status file_writer_open(const char *path,
                              unsigned mode,
                              struct file_writer **out,
                              struct realm_error *error)
{
    *out = NULL;
    struct file_writer *writer = alloc_bytes(ALLOC_BASE, sizeof(*writer));
    if (writer == NULL) {
        return realm_error_out_of_memory(error, sizeof(*writer), path);
    }
    const size_t length = strlen(path);
    writer->descriptor = -1;
    writer->flushed_bytes = 0;
    writer->buffered_bytes = 0;
    writer->path = alloc_string(ALLOC_BASE, path, length);
    writer->temporary_path = alloc_bytes(ALLOC_BASE, length + SUFFIX_BYTES);
    realm_status status = REALM_OK;
    if (writer->path == NULL || writer->temporary_path == NULL) {
        status = realm_error_out_of_memory(error, length + SUFFIX_BYTES, path);
    } else {
        status = file_writer_make_temporary(writer, mode, error);
    }
    if (status != REALM_OK) {
        file_writer_free(writer);
        return status;
    }
    *out = writer;
    return REALM_OK;
}

static realm_status write_at(struct file_writer *writer,
                             uint64_t offset,
                             const uint8_t *data,
                             size_t n_bytes,
                             struct realm_error *error)
{
    size_t done = 0;
    while (done < n_bytes) {
        const ssize_t n =
            file_io_allowed()
                ? pwrite(writer->descriptor, data + done, n_bytes - done, (off_t)(offset + done))
                : -1;
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_io_error(error, errno, "write", writer->temporary_path);
        }
        done += (size_t)n;
    }
    return REALM_OK;
}

static realm_status file_writer_flush(struct file_writer *writer, struct realm_error *error)
{
    REALM_TRY(
        write_at(writer, writer->flushed_bytes, writer->buffer, writer->buffered_bytes, error));
    writer->flushed_bytes += writer->buffered_bytes;
    writer->buffered_bytes = 0;
    return REALM_OK;
}

realm_status file_writer_write(struct file_writer *writer,
                               const void *data,
                               size_t n_bytes,
                               struct realm_error *error)
{
    if (n_bytes > BUFFER_BYTES - writer->buffered_bytes) {
        REALM_TRY(file_writer_flush(writer, error));
    }
    if (n_bytes >= BUFFER_BYTES) {
        REALM_TRY(write_at(writer, writer->flushed_bytes, data, n_bytes, error));
        writer->flushed_bytes += n_bytes;
        return REALM_OK;
    }
    if (n_bytes > 0) {
        memcpy(writer->buffer + writer->buffered_bytes, data, n_bytes);
        writer->buffered_bytes += n_bytes;
    }
    return REALM_OK;
}

realm_status file_writer_patch(struct file_writer *writer,
                               uint64_t offset,
                               const void *data,
                               size_t n_bytes,
                               struct realm_error *error)
{
    uint64_t end;
    if (!checked_add_u64(offset, n_bytes, &end) || end > file_writer_position(writer)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "cannot patch %zu bytes at %llu of %s: only %llu are written",
                               n_bytes,
                               (unsigned long long)offset,
                               writer->path,
                               (unsigned long long)file_writer_position(writer));
    }
    REALM_TRY(file_writer_flush(writer, error));
    return write_at(writer, offset, data, n_bytes, error);
}

uint64_t file_writer_position(const struct file_writer *writer)
{
    return writer->flushed_bytes + writer->buffered_bytes;
}

/* Makes the new name durable.  Some file systems cannot sync a folder; the file itself is safe. */
static void sync_folder_of(char *path)
{
    char *slash = strrchr(path, '/');
    const char *folder = ".";
    if (slash == path) {
        folder = "/";
    } else if (slash != NULL) {
        *slash = '\0';
        folder = path;
    }
    const int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        (void)fsync(descriptor);
        (void)close(descriptor);
    }
}

static realm_status file_writer_finish(struct file_writer *writer, struct realm_error *error)
{
    REALM_TRY(file_writer_flush(writer, error));
    if (!file_io_allowed() || fsync(writer->descriptor) != 0) {
        return file_io_error(error, errno, "sync", writer->temporary_path);
    }
    const int descriptor = writer->descriptor;
    writer->descriptor = -1;
    if (close(descriptor) != 0 || !file_io_allowed()) {
        return file_io_error(error, errno, "close", writer->temporary_path);
    }
    if (!file_io_allowed() || rename(writer->temporary_path, writer->path) != 0) {
        return file_io_error(error, errno, "replace", writer->path);
    }
    return REALM_OK;
}

realm_status file_writer_commit(struct file_writer *writer, struct realm_error *error)
{
    const realm_status status = file_writer_finish(writer, error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    sync_folder_of(writer->path);
    file_writer_free(writer);
    return REALM_OK;
}

void file_writer_abandon(struct file_writer *writer)
{
    if (writer != NULL) {
        (void)unlink(writer->temporary_path);
        file_writer_free(writer);
    }
}
