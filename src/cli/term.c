#include "cli/term.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DRAW_INTERVAL_NS 100000000ull
#define DEFAULT_COLUMNS  80u
#define BAR_COLUMNS      24u

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

void progress_begin(struct progress *progress, const char *label, uint64_t total, bool bytes)
{
    *progress = (struct progress){.total = total, .bytes = bytes, .begin_ns = clock_monotonic_ns()};
    (void)snprintf(progress->label, sizeof progress->label, "%s", label);
}

static void draw_amount(char *out, size_t n, const struct progress *progress, uint64_t done)
{
    if (progress->bytes) {
        (void)snprintf(out, n, "%.1f/%.1f MB", (double)done / 1e6, (double)progress->total / 1e6);
    } else {
        (void)snprintf(
            out, n, "%llu/%llu", (unsigned long long)done, (unsigned long long)progress->total);
    }
}

static void draw(const struct progress *progress, uint64_t done, uint64_t now_ns)
{
    char bar[BAR_COLUMNS + 1];
    char amount[64];
    char line[256];
    const double part = progress->total > 0 ? (double)done / (double)progress->total : 0;
    const double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    const double rate = seconds > 0 ? (double)(done - progress->begin_done) / seconds : 0;
    const uint32_t filled = (uint32_t)((part < 1 ? part : 1) * BAR_COLUMNS);
    memset(bar, ' ', BAR_COLUMNS);
    memset(bar, '=', filled);
    if (filled < BAR_COLUMNS) {
        bar[filled] = '>';
    }
    bar[BAR_COLUMNS] = '\0';
    draw_amount(amount, sizeof amount, progress, done);
    int n = snprintf(
        line, sizeof line, "%s %3.0f %% [%s] %s", progress->label, part * 100, bar, amount);
    if (n > 0 && (size_t)n < sizeof line && rate > 0) {
        const double left = (double)(progress->total - done) / rate;
        (void)snprintf(line + n,
                       sizeof line - (size_t)n,
                       progress->bytes ? "  %.1f MB/s  %d:%02d" : "  %.1f/s  %d:%02d",
                       progress->bytes ? rate / 1e6 : rate,
                       (int)left / 60,
                       (int)left % 60);
    }
    (void)fprintf(stderr, "\r\033[K%.*s", (int)term_columns() - 1, line);
    (void)fflush(stderr);
}

void progress_update(struct progress *progress, uint64_t done)
{
    const uint64_t now_ns = clock_monotonic_ns();
    if (progress->drawn_ns == 0 && done < progress->total) {
        progress->begin_done = progress->begin_done == 0 ? done : progress->begin_done;
    }
    if (!term_is_terminal(stderr) || now_ns - progress->drawn_ns < DRAW_INTERVAL_NS) {
        return;
    }
    progress->drawn_ns = now_ns;
    progress->shown = true;
    draw(progress, done > progress->total ? progress->total : done, now_ns);
}

void progress_end(struct progress *progress)
{
    if (progress->shown) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
        progress->shown = false;
    }
}
