/* Files: mapping to read, atomic replacement to write.  All I/O goes through a table so that tests
 * can make the n-th call fail. */
#ifndef REALM_BASE_FILE_H
#define REALM_BASE_FILE_H

#include "base/bytes.h"
#include "base/status.h"

#include <stdio.h>

/* A read-only mapping of a whole file.  Zero value: nothing mapped. */
struct file_map {
    struct bytes bytes;
};

/* NOT_FOUND, PERMISSION_DENIED or IO name the path; an empty file maps to length 0.  Directories
 * and devices are INVALID_ARGUMENT. */
REALM_MUST_CHECK realm_status file_map_open(const char *path,
                                            struct file_map *out,
                                            struct realm_error *error);
void file_map_close(struct file_map *map);
/* Tells the system that a range will not be read again soon (its pages may leave memory). */
void file_map_forget(const struct file_map *map, size_t offset, size_t n_bytes);

/* Reads a small file whole, zero byte behind; RESOURCE_EXHAUSTED over max_bytes. *out by
 * alloc_free. */
REALM_MUST_CHECK realm_status file_read(
    const char *path, size_t max_bytes, char **out, size_t *n_bytes, struct realm_error *error);

/* A file that appears under its name only when it is whole: written to "<path>.tmp-XXXX" in the
 * same folder, synced, renamed by commit.  Anything else leaves the old file as it was. */
struct file_writer;

/* mode: permission bits, such as 0644 or 0600. */
REALM_MUST_CHECK realm_status file_writer_open(const char *path,
                                               unsigned mode,
                                               struct file_writer **out,
                                               struct realm_error *error);
REALM_MUST_CHECK realm_status file_writer_write(struct file_writer *writer,
                                                const void *data,
                                                size_t n_bytes,
                                                struct realm_error *error);
/* Overwrites bytes written before, at an offset from the start. */
REALM_MUST_CHECK realm_status file_writer_patch(struct file_writer *writer,
                                                uint64_t offset,
                                                const void *data,
                                                size_t n_bytes,
                                                struct realm_error *error);
uint64_t file_writer_position(const struct file_writer *writer);
/* Ends the writer in either case. */
REALM_MUST_CHECK realm_status file_writer_commit(struct file_writer *writer,
                                                 struct realm_error *error);
/* Gives up: removes the temporary file.  NULL is fine. */
void file_writer_abandon(struct file_writer *writer);

/* Makes a folder and its parents. */
REALM_MUST_CHECK realm_status file_make_folder(const char *path,
                                               unsigned mode,
                                               struct realm_error *error);
bool file_exists(const char *path);

/* Tests: the n-th I/O call from now fails with errno `code`; UINT64_MAX: none. */
void file_fail_after(uint64_t n, int code);

#endif
