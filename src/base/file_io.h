/* What file.c and file_writer.c share: the door through which all I/O goes, and its errors. */
#ifndef REALM_BASE_FILE_IO_H
#define REALM_BASE_FILE_IO_H

#include "base/status.h"

/* Asked before every system call that can fail.  False: a test wants this one to fail; errno is
 * set. */
bool file_io_allowed(void);

/* "cannot <doing> <path>: <why>", with the status that suits the errno `code`. */
realm_status
file_io_error(struct realm_error *error, int code, const char *doing, const char *path);

#endif
