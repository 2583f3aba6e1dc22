#include "server/base64.h"

static void write_group(struct base64_writer *writer)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const uint32_t bits = writer->bits << 8 * (3 - writer->n_bytes);
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t digit = i <= writer->n_bytes ? bits >> (18 - 6 * i) & 63 : 64;
        strbuf_append_char(writer->out, digits[digit]);
    }
    writer->bits = 0;
    writer->n_bytes = 0;
}

void base64_write(struct base64_writer *writer, uint8_t byte)
{
    writer->bits = writer->bits << 8 | byte;
    writer->n_bytes++;
    if (writer->n_bytes == 3) {
        write_group(writer);
    }
}

void base64_end(struct base64_writer *writer)
{
    if (writer->n_bytes > 0) {
        write_group(writer);
    }
}
