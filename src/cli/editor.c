#include "cli/editor.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "cli/edit_line.h"
#include "cli/history.h"
#include "cli/term.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define ESCAPE_WAIT_MS  50
#define CONTROL(letter) ((letter) & 0x1f)

enum key {
    KEY_NONE = 0x110000, /* above all characters */
    KEY_END_OF_INPUT,
    KEY_LEFT,
    KEY_RIGHT,
    KEY_UP,
    KEY_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
    KEY_WORD_LEFT,
    KEY_WORD_RIGHT,
    KEY_PASTE_BEGIN,
    KEY_PASTE_END,
};

struct editor {
    struct history history;
    struct edit_line line;
    size_t at;    /* in the history; history.n: the line being typed */
    char *typed;  /* the line that was being typed when the history was entered */
    bool pasting; /* newlines are text */
    struct termios cooked;
};

realm_status editor_create(const char *history_path, struct editor **out, struct realm_error *error)
{
    *out = NULL;
    struct editor *const editor = alloc_zeroed(ALLOC_BASE, 1, sizeof *editor);
    if (editor == NULL) {
        return realm_error_out_of_memory(error, sizeof *editor, "the line editor");
    }
    history_init(&editor->history, history_path);
    edit_line_init(&editor->line);
    *out = editor;
    return REALM_OK;
}

void editor_destroy(struct editor *editor)
{
    if (editor == NULL) {
        return;
    }
    history_deinit(&editor->history);
    edit_line_deinit(&editor->line);
    alloc_free(editor->typed);
    alloc_free(editor);
}

/* --- keys --- */

static int read_byte(void)
{
    unsigned char byte;
    ssize_t n;
    do {
        n = read(STDIN_FILENO, &byte, 1);
    } while (n < 0 && errno == EINTR);
    return n == 1 ? byte : -1;
}

static bool byte_follows(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, ESCAPE_WAIT_MS) > 0;
}

/* What follows ESC [ : parameters, then a final byte. */
static int bracket_key(void)
{
    static const struct {
        const char *text;
        int key;
    } known[] = {
        {"A", KEY_UP},
        {"B", KEY_DOWN},
        {"C", KEY_RIGHT},
        {"D", KEY_LEFT},
        {"H", KEY_HOME},
        {"F", KEY_END},
        {"1~", KEY_HOME},
        {"7~", KEY_HOME},
        {"4~", KEY_END},
        {"8~", KEY_END},
        {"3~", KEY_DELETE},
        {"1;5C", KEY_WORD_RIGHT},
        {"1;5D", KEY_WORD_LEFT},
        {"1;3C", KEY_WORD_RIGHT},
        {"1;3D", KEY_WORD_LEFT},
        {"200~", KEY_PASTE_BEGIN},
        {"201~", KEY_PASTE_END},
    };
    char text[16];
    size_t n = 0;
    int byte;
    do {
        byte = read_byte();
        if (byte < 0) {
            return KEY_END_OF_INPUT;
        }
        if (n + 1 < sizeof text) {
            text[n++] = (char)byte;
        }
    } while (byte < 0x40 || byte > 0x7e);
    text[n] = '\0';
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].text) == 0) {
            return known[i].key;
        }
    }
    return KEY_NONE;
}

static int escape_key(void)
{
    if (!byte_follows()) {
        return KEY_NONE; /* the key Escape itself */
    }
    const int byte = read_byte();
    switch (byte) {
    case '[':
        return bracket_key();
    case 'O': {
        const int letter = read_byte();
        return letter == 'H' ? KEY_HOME : letter == 'F' ? KEY_END : KEY_NONE;
    }
    case 'b':
        return KEY_WORD_LEFT;
    case 'f':
        return KEY_WORD_RIGHT;
    default:
        return byte < 0 ? KEY_END_OF_INPUT : KEY_NONE;
    }
}

/* A key, or a whole character of UTF-8. */
static int read_key(void)
{
    const int first = read_byte();
    if (first < 0) {
        return KEY_END_OF_INPUT;
    }
    if (first == 0x1b) {
        return escape_key();
    }
    if (first < 0x80) {
        return first;
    }
    uint8_t bytes[4] = {(uint8_t)first};
    uint32_t character;
    size_t n = 1;
    while (n < sizeof bytes && utf8_decode(bytes, n, &character) == 0 &&
           utf8_complete_prefix(bytes, n) == 0) {
        const int byte = read_byte();
        if (byte < 0) {
            return KEY_END_OF_INPUT;
        }
        bytes[n++] = (uint8_t)byte;
    }
    return utf8_decode(bytes, n, &character) > 0 ? (int)character : (int)UTF8_REPLACEMENT;
}

/* --- the screen --- */

/* One row: of a line that is too long, the part around the cursor. */
static void draw(const struct editor *editor, const char *prompt)
{
    const struct edit_line *const line = &editor->line;
    const size_t n_prompt = edit_line_columns(prompt, strlen(prompt));
    const size_t columns = term_columns();
    const size_t room = columns > n_prompt + 1 ? columns - n_prompt - 1 : 1;
    const size_t begin = edit_line_fit_end(line->text.text, line->cursor, room);
    const size_t shown =
        edit_line_fit_begin(line->text.text + begin, line->text.length - begin, room);
    const size_t cursor = edit_line_columns(line->text.text + begin, line->cursor - begin);
    struct strbuf out;
    strbuf_init(&out, ALLOC_BASE, SIZE_MAX);
    strbuf_append_text(&out, "\r");
    strbuf_append_text(&out, prompt);
    for (size_t i = 0; i < shown; i++) {
        const char c = line->text.text[begin + i];
        strbuf_append_char(&out,
                           (char)((unsigned char)c < 0x20 ? ' ' : c)); /* pasted newlines, tabs */
    }
    strbuf_append_format(&out, "\033[K\r\033[%zuC", n_prompt + cursor);
    if (n_prompt + cursor == 0) {
        out.length = 0;
        strbuf_append_text(&out, "\r");
    }
    (void)fwrite(out.text, 1, out.length, stderr);
    (void)fflush(stderr);
    strbuf_deinit(&out);
}

/* --- what keys do --- */

/* Shows history.lines[to], or for `to` past them what was being typed before. */
static void show_history(struct editor *editor, size_t to)
{
    struct history *const history = &editor->history;
    if (to > history->n || to == editor->at) {
        return;
    }
    if (editor->at == history->n) {
        alloc_free(editor->typed);
        editor->typed = alloc_string(ALLOC_BASE, editor->line.text.text, editor->line.text.length);
    }
    editor->at = to;
    if (to < history->n) {
        edit_line_set(&editor->line, history->lines[to]);
    } else {
        edit_line_set(&editor->line, editor->typed != NULL ? editor->typed : "");
    }
}

static void insert_character(struct editor *editor, int key)
{
    uint8_t bytes[4];
    if (key >= ' ' || key == '\t') {
        edit_line_insert(&editor->line, (const char *)bytes, utf8_encode((uint32_t)key, bytes));
    } else if ((key == '\r' || key == '\n') && editor->pasting) {
        edit_line_insert(&editor->line, "\n", 1);
    }
}

static void move_or_erase(struct editor *editor, int key)
{
    struct edit_line *const line = &editor->line;
    switch (key) {
    case KEY_LEFT:
    case CONTROL('B'):
        line->cursor = edit_line_left(line);
        break;
    case KEY_RIGHT:
    case CONTROL('F'):
        line->cursor = edit_line_right(line);
        break;
    case KEY_WORD_LEFT:
        line->cursor = edit_line_word_left(line);
        break;
    case KEY_WORD_RIGHT:
        line->cursor = edit_line_word_right(line);
        break;
    case KEY_HOME:
    case CONTROL('A'):
        line->cursor = 0;
        break;
    case KEY_END:
    case CONTROL('E'):
        line->cursor = line->text.length;
        break;
    case CONTROL('H'):
    case 0x7f:
        edit_line_erase(line, edit_line_left(line));
        break;
    case KEY_DELETE:
    case CONTROL('D'):
        edit_line_erase(line, edit_line_right(line));
        break;
    case CONTROL('W'):
        edit_line_erase(line, edit_line_word_left(line));
        break;
    case CONTROL('U'):
        edit_line_erase(line, 0);
        break;
    case CONTROL('K'):
        edit_line_erase(line, line->text.length);
        break;
    default:
        insert_character(editor, key);
        break;
    }
}

/* False: the key ends the line, with *result. */
static bool take_key(struct editor *editor, int key, enum editor_result *result)
{
    if (key == KEY_END_OF_INPUT || (key == CONTROL('D') && editor->line.text.length == 0)) {
        *result = EDITOR_END;
        return false;
    }
    if (key == CONTROL('C')) {
        *result = EDITOR_INTERRUPT;
        return false;
    }
    if ((key == '\r' || key == '\n') && !editor->pasting) {
        *result = EDITOR_LINE;
        return false;
    }
    switch (key) {
    case KEY_PASTE_BEGIN:
    case KEY_PASTE_END:
        editor->pasting = key == KEY_PASTE_BEGIN;
        break;
    case KEY_UP:
    case CONTROL('P'):
        show_history(editor, editor->at > 0 ? editor->at - 1 : 0);
        break;
    case KEY_DOWN:
    case CONTROL('N'):
        show_history(editor, editor->at + 1);
        break;
    case CONTROL('L'):
        (void)fputs("\033[H\033[2J", stderr);
        break;
    case KEY_NONE:
        break;
    default:
        move_or_erase(editor, key);
        break;
    }
    return true;
}

/* --- the terminal --- */

static bool enter_raw(struct editor *editor)
{
    if (tcgetattr(STDIN_FILENO, &editor->cooked) != 0) {
        return false;
    }
    struct termios raw = editor->cooked;
    raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON | ISTRIP | INLCR | IGNCR);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0) {
        return false;
    }
    (void)fputs("\033[?2004h", stderr); /* pastes are marked */
    return true;
}

static void leave_raw(const struct editor *editor)
{
    (void)fputs("\033[?2004l", stderr);
    (void)fflush(stderr);
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &editor->cooked);
}

static enum editor_result edit(struct editor *editor, const char *prompt)
{
    enum editor_result result = EDITOR_LINE;
    for (;;) {
        draw(editor, prompt);
        const int key = read_key();
        if (key == CONTROL('Z')) {
            leave_raw(editor);
            (void)raise(SIGTSTP);
            if (!enter_raw(editor)) {
                return EDITOR_FAILED;
            }
        } else if (!take_key(editor, key, &result)) {
            return result;
        }
    }
}

static enum editor_result read_plain(const char *prompt, struct strbuf *line)
{
    char *text = NULL;
    size_t capacity = 0;
    (void)fputs(prompt, stderr);
    (void)fflush(stderr);
    errno = 0;
    ssize_t n = getline(&text, &capacity, stdin);
    enum editor_result result = EDITOR_LINE;
    if (n < 0) {
        result = errno == EINTR ? EDITOR_INTERRUPT : ferror(stdin) ? EDITOR_FAILED : EDITOR_END;
        clearerr(stdin);
    } else {
        n -= n > 0 && text[n - 1] == '\n';
        result = strbuf_append(line, text, (size_t)n) ? EDITOR_LINE : EDITOR_FAILED;
    }
    free(text); /* NOLINT: getline's memory */
    return result;
}

enum editor_result editor_read(struct editor *editor, const char *prompt, struct strbuf *line)
{
    const char *const term = getenv("TERM");
    strbuf_clear(line);
    if (!term_is_terminal(stdin) || !term_is_terminal(stderr) || term == NULL ||
        strcmp(term, "dumb") == 0 || !enter_raw(editor)) {
        return read_plain(prompt, line);
    }
    edit_line_set(&editor->line, "");
    editor->at = editor->history.n;
    editor->pasting = false;
    const enum editor_result result = edit(editor, prompt);
    leave_raw(editor);
    (void)fputs(result == EDITOR_INTERRUPT ? "^C\n" : "\n", stderr);
    if (result != EDITOR_LINE) {
        return result;
    }
    history_add(&editor->history, editor->line.text.text);
    return strbuf_append(line, editor->line.text.text, editor->line.text.length) ? EDITOR_LINE
                                                                                 : EDITOR_FAILED;
}
