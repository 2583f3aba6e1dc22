/* What a file was quantised as, for people. */
#ifndef REALM_MODEL_FILE_TYPE_H
#define REALM_MODEL_FILE_TYPE_H

#include "gguf/gguf.h"

/* "Q4_K_M" by general.file_type; else the type that most of the weights' elements have; static. */
const char *file_type_name(const struct gguf *gguf);

#endif
