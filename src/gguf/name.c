#include "base/utf8.h"
#include "gguf/reader.h"

/* Printable ASCII stays; anything else is shown as \xNN, so that an error is one clean line. */
struct gguf_shown gguf_show(struct bytes name)
{
    static const char digits[] = "0123456789abcdef";
    struct gguf_shown shown;
    const size_t room = sizeof(shown.text) - 4; /* "..." and the zero */
    size_t length = 0;
    size_t i = 0;
    for (; i < name.length; i++) {
        const uint8_t byte = name.data[i];
        const bool plain = byte >= 0x20 && byte < 0x7F && byte != '\\';
        if (length + (plain ? 1 : 4) > room) {
            break;
        }
        if (plain) {
            shown.text[length++] = (char)byte;
        } else {
            shown.text[length++] = '\\';
            shown.text[length++] = 'x';
            shown.text[length++] = digits[byte >> 4];
            shown.text[length++] = digits[byte & 15];
        }
    }
    if (i < name.length) {
        memcpy(shown.text + length, "...", 3);
        length += 3;
    }
    shown.text[length] = '\0';
    return shown;
}

struct gguf_shown gguf_show_text(const char *name)
{
    return gguf_show((struct bytes){(const uint8_t *)name, strlen(name)});
}

const char *gguf_name_flaw(struct bytes name, size_t max_bytes)
{
    if (name.length == 0) {
        return "the name is empty";
    }
    if (name.length > max_bytes) {
        return "the name is too long";
    }
    for (size_t i = 0; i < name.length; i++) {
        if (name.data[i] == 0) {
            return "the name has a zero byte in it";
        }
        if (name.data[i] < 0x20 || name.data[i] == 0x7F) {
            return "the name has a control character in it";
        }
    }
    return utf8_valid(name.data, name.length) ? NULL : "the name is not UTF-8";
}
