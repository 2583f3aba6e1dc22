#include "sandbox/module_scan.h"

#define SECTION_CUSTOM 0

static const uint8_t magic[8] = {0x00, 'a', 's', 'm', 0x01, 0x00, 0x00, 0x00};
static const char functions_section[] = "realm.functions";

/* An unsigned LEB128 of at most 32 bits. */
static bool read_u32(struct byte_cursor *cursor, uint32_t *out)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
        uint8_t byte;
        if (!byte_cursor_u8(cursor, &byte)) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *out = (uint32_t)value;
            return value <= UINT32_MAX;
        }
    }
    return false;
}

static bool read_name(struct byte_cursor *cursor, struct bytes *out)
{
    uint32_t length;
    return read_u32(cursor, &length) && byte_cursor_take(cursor, length, out);
}

realm_status module_scan(struct bytes module, struct bytes *functions, struct realm_error *error)
{
    *functions = (struct bytes){.data = NULL};
    struct byte_cursor cursor = {.bytes = module};
    struct bytes head;
    if (!byte_cursor_take(&cursor, sizeof(magic), &head) ||
        memcmp(head.data, magic, sizeof(magic)) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "not a WebAssembly core module (it must begin with \\0asm and "
                               "version 1; components are not taken)");
    }
    while (byte_cursor_left(&cursor) > 0) {
        const size_t at = cursor.position;
        uint8_t id;
        struct bytes content;
        if (!byte_cursor_u8(&cursor, &id) || !read_name(&cursor, &content)) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "the section at offset %zu goes past the module's end",
                                   at);
        }
        struct byte_cursor inside = {.bytes = content};
        struct bytes name;
        if (id != SECTION_CUSTOM || !read_name(&inside, &name) ||
            name.length != sizeof(functions_section) - 1 ||
            memcmp(name.data, functions_section, name.length) != 0) {
            continue;
        }
        if (functions->data != NULL) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "two sections %s; a module has one",
                                   functions_section);
        }
        (void)byte_cursor_take(&inside, byte_cursor_left(&inside), functions);
    }
    return REALM_OK;
}
