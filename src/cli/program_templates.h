/* What `realm program new` writes: files of guests/, put into the program when it is built. */
#ifndef REALM_CLI_PROGRAM_TEMPLATES_H
#define REALM_CLI_PROGRAM_TEMPLATES_H

#include <stddef.h>

struct embedded_file {
    const char *name; /* "rust/src/lib.rs": the language, then the path in a project */
    const unsigned char *data;
    size_t n_bytes;
};

/* Ends with a row whose name is NULL. */
extern const struct embedded_file program_templates[];

#endif
