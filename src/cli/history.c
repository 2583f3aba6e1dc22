#include "cli/history.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)16 << 20)
#define FILE_MODE      0600

/* Takes over the line. */
static void remember(struct history *history, char *line)
{
    if (history->n == HISTORY_MAX_LINES) {
        alloc_free(history->lines[0]);
        history->n--;
        memmove(history->lines, history->lines + 1, history->n * sizeof history->lines[0]);
    }
    history->lines[history->n++] = line;
}

/* In the file a line of several is one: its newlines are written "\n", backslashes "\\". */
static void escape(const char *line, struct strbuf *out)
{
    for (; *line != '\0'; line++) {
        if (*line == '\n') {
            strbuf_append_text(out, "\\n");
        } else if (*line == '\\') {
            strbuf_append_text(out, "\\\\");
        } else {
            strbuf_append_char(out, *line);
        }
    }
    strbuf_append_char(out, '\n');
}

static void unescape(char *line)
{
    char *to = line;
    for (; *line != '\0'; line++) {
        if (*line == '\\' && line[1] != '\0') {
            line++;
            *to++ = (char)(*line == 'n' ? '\n' : *line);
        } else {
            *to++ = *line;
        }
    }
    *to = '\0';
}

/* Writes the file anew with the lines we still know. */
static void shorten_file(const struct history *history)
{
    struct strbuf text;
    struct file_writer *writer;
    strbuf_init(&text, ALLOC_BASE, MAX_FILE_BYTES);
    for (size_t i = 0; i < history->n; i++) {
        escape(history->lines[i], &text);
    }
    if (!text.failed && file_writer_open(history->path, FILE_MODE, &writer, NULL) == REALM_OK) {
        if (file_writer_write(writer, text.text, text.length, NULL) != REALM_OK) {
            file_writer_abandon(writer);
        } else if (file_writer_commit(writer, NULL) != REALM_OK) {
            text.failed = true; /* the long file stays, and is shortened another time */
        }
    }
    strbuf_deinit(&text);
}

void history_init(struct history *history, const char *path)
{
    char *text;
    size_t n_bytes;
    size_t n_lines = 0;
    *history = (struct history){.n = 0};
    if (path == NULL) {
        return;
    }
    history->path = alloc_string(ALLOC_BASE, path, strlen(path));
    if (history->path == NULL ||
        file_read(path, MAX_FILE_BYTES, &text, &n_bytes, NULL) != REALM_OK) {
        return;
    }
    for (char *line = text; *line != '\0'; n_lines++) {
        const size_t n = strcspn(line, "\n");
        char *const copy = alloc_string(ALLOC_BASE, line, n);
        if (copy != NULL) {
            unescape(copy);
            remember(history, copy);
        }
        line += n + (line[n] == '\n');
    }
    alloc_free(text);
    if (n_lines > (size_t)2 * HISTORY_MAX_LINES) {
        shorten_file(history);
    }
}

void history_deinit(struct history *history)
{
    for (size_t i = 0; i < history->n; i++) {
        alloc_free(history->lines[i]);
    }
    alloc_free(history->path);
}

static void append_to_file(const char *path, const char *line)
{
    struct strbuf text;
    strbuf_init(&text, ALLOC_BASE, MAX_FILE_BYTES);
    escape(line, &text);
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    if (file >= 0) {
        /* One write a line; history is a convenience, so that a full disk only loses it. */
        if (!text.failed && write(file, text.text, text.length) < 0) {
            text.failed = true;
        }
        (void)close(file);
    }
    strbuf_deinit(&text);
}

void history_add(struct history *history, const char *line)
{
    if (line[0] == '\0' || (history->n > 0 && strcmp(history->lines[history->n - 1], line) == 0)) {
        return;
    }
    char *const copy = alloc_string(ALLOC_BASE, line, strlen(line));
    if (copy != NULL) {
        remember(history, copy);
    }
    if (history->path != NULL) {
        append_to_file(history->path, line);
    }
}
