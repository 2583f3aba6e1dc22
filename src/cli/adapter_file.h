/* An adapter on its way to a server: a file as it is, or a folder of PEFT's as one safetensors
 * file, with adapter_config.json under its name in the metadata. */
#ifndef REALM_CLI_ADAPTER_FILE_H
#define REALM_CLI_ADAPTER_FILE_H

#include "base/file.h"
#include "base/strbuf.h"

struct adapter_file {
    struct bytes bytes;
    struct file_map map;  /* of a file */
    struct strbuf joined; /* of a folder */
};

/* IO, NOT_FOUND: path, or a file of the folder.  INVALID_FORMAT: no header of safetensors, or no
 * JSON.  Ends with adapter_file_close, unless it fails. */
REALM_MUST_CHECK realm_status adapter_file_open(const char *path,
                                                struct adapter_file *out,
                                                struct realm_error *error);
void adapter_file_close(struct adapter_file *file);

#endif
