#include "cli/progress.h"

#include "base/clock.h"
#include "cli/term.h"

#include <string.h>

#define DRAW_INTERVAL_NS 100000000ull
#define BAR_COLUMNS      24u
#define LINE_BYTES       256u
#define MAX_LEFT_S       359999.0

void progress_begin(struct progress *progress,
                    const char *label,
                    uint64_t total,
                    enum progress_unit unit)
{
    *progress = (struct progress){.total = total, .unit = unit, .begin_ns = clock_monotonic_ns()};
    (void)snprintf(progress->label, sizeof progress->label, "%s", label);
}

static void
put_amount(char *out, size_t n_out, const struct progress *progress, uint64_t done, double rate)
{
    const char *const slash = progress->total > 0 ? "/" : "";
    char total[32] = "";
    if (progress->unit == PROGRESS_BYTES) {
        if (progress->total > 0) {
            (void)snprintf(total, sizeof total, "%.1f", (double)progress->total / 1e6);
        }
        (void)snprintf(
            out, n_out, " %.1f%s%s MB  %.1f MB/s", (double)done / 1e6, slash, total, rate / 1e6);
    } else if (progress->unit == PROGRESS_ITEMS) {
        if (progress->total > 0) {
            (void)snprintf(total, sizeof total, "%llu", (unsigned long long)progress->total);
        }
        (void)snprintf(
            out, n_out, " %llu%s%s  %.1f/s", (unsigned long long)done, slash, total, rate);
    } else {
        out[0] = '\0';
    }
}

static void put_time_left(char *out, size_t n_out, double seconds)
{
    const unsigned s = (unsigned)(seconds < MAX_LEFT_S ? seconds : MAX_LEFT_S);
    if (s >= 3600) {
        (void)snprintf(out, n_out, "  %u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    } else {
        (void)snprintf(out, n_out, "  %u:%02u", s / 60, s % 60);
    }
}

void progress_line(
    const struct progress *progress, uint64_t done, uint64_t now_ns, char *out, size_t n_out)
{
    char bar[BAR_COLUMNS + 1];
    char amount[96];
    char left[32] = "";
    const double part = progress->total > 0 ? (double)done / (double)progress->total : 0;
    const double seconds = (double)(now_ns - progress->begin_ns) / 1e9;
    const uint64_t gained = done > progress->begin_done ? done - progress->begin_done : 0;
    const double rate = seconds > 0 ? (double)gained / seconds : 0;
    put_amount(amount, sizeof amount, progress, done, rate);
    if (progress->total == 0) {
        (void)snprintf(out, n_out, "%s%s", progress->label, amount);
        return;
    }
    const uint32_t filled = (uint32_t)(part * BAR_COLUMNS);
    memset(bar, ' ', BAR_COLUMNS);
    memset(bar, '=', filled);
    if (filled < BAR_COLUMNS) {
        bar[filled] = '>';
    }
    bar[BAR_COLUMNS] = '\0';
    if (rate > 0) {
        put_time_left(left, sizeof left, (double)(progress->total - done) / rate);
    }
    (void)snprintf(
        out, n_out, "%s %3.0f %% [%s]%s%s", progress->label, part * 100, bar, amount, left);
}

void progress_update(struct progress *progress, uint64_t done)
{
    const uint64_t now_ns = clock_monotonic_ns();
    if (!progress->begun) {
        progress->begun = true;
        progress->begin_done = done;
        progress->begin_ns = now_ns;
    }
    if (!term_is_terminal(stderr) || now_ns - progress->drawn_ns < DRAW_INTERVAL_NS) {
        return;
    }
    char line[LINE_BYTES];
    if (progress->total > 0 && done > progress->total) {
        done = progress->total;
    }
    progress->drawn_ns = now_ns;
    progress->shown = true;
    progress_line(progress, done, now_ns, line, sizeof line);
    (void)fprintf(stderr, "\r\033[K%.*s", (int)term_columns() - 1, line);
    (void)fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
        progress->shown = false;
    }
}
