#include "cli/term.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEFAULT_COLUMNS 80u

bool term_is_terminal(FILE *stream)
{
    return isatty(fileno(stream)) == 1;
}

bool term_has_colour(FILE *stream)
{
    const char *const no_colour = getenv("NO_COLOR");
    const char *const term = getenv("TERM");
    return term_is_terminal(stream) && (no_colour == NULL || no_colour[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

uint32_t term_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : DEFAULT_COLUMNS;
}

/* Bytes of the character at the front that a terminal would obey; 0: it is harmless. */
static size_t control_bytes(const uint8_t *text, size_t n_bytes)
{
    if ((text[0] < 0x20 && text[0] != '\n' && text[0] != '\t') || text[0] == 0x7f) {
        return 1;
    }
    /* C1: U+0080 to U+009F. */
    return n_bytes >= 2 && text[0] == 0xc2 && text[1] < 0xa0 ? 2 : 0;
}

void term_write(FILE *stream, struct bytes text)
{
    if (text.length == 0 || !term_is_terminal(stream)) {
        (void)fwrite(text.data, 1, text.length, stream);
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < text.length;) {
        const size_t n = control_bytes(text.data + i, text.length - i);
        if (n > 0) {
            (void)fwrite(text.data + kept, 1, i - kept, stream);
            (void)fputs("\xef\xbf\xbd", stream);
            kept = i + n;
        }
        i += n > 0 ? n : 1;
    }
    (void)fwrite(text.data + kept, 1, text.length - kept, stream);
}

const char *term_bytes(uint64_t n_bytes, char out[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double amount = (double)n_bytes;
    size_t unit = 0;
    while (amount >= 999.95 && unit + 1 < sizeof units / sizeof units[0]) {
        amount /= 1000;
        unit++;
    }
    (void)snprintf(out, 16, unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
    return out;
}
