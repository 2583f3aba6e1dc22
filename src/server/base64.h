/* Bytes as base64 (RFC 4648), written as they come. */
#ifndef REALM_SERVER_BASE64_H
#define REALM_SERVER_BASE64_H

#include "base/strbuf.h"

struct base64_writer {
    struct strbuf *out;
    uint32_t bits;
    uint32_t n_bytes; /* held in bits */
};

void base64_write(struct base64_writer *writer, uint8_t byte);
/* The bytes that are left, padded. */
void base64_end(struct base64_writer *writer);

#endif
