/* realm program new: a project that builds with one command, of the chat program and the SDK of a
 * language. */
#include "base/file.h"
#include "base/strbuf.h"
#include "cli/args.h"
#include "cli/paths.h"
#include "cli/program.h"
#include "cli/program_templates.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES 64u
#define MAX_FILE_BYTES ((size_t)1 << 20)

/* In the repository a program finds the SDK beside itself, in a project below itself. */
struct replacement {
    const char *from;
    const char *to; /* NULL: the project's name */
};

struct language {
    const char *name;
    const char *title;
    const char *needs;
    struct replacement replacements[4];
};

static const struct language languages[] = {
    {"c",
     "C",
     "clang and lld",
     {{"../sdk-c", "sdk"}, {"../../include", "sdk"}, {"chat-c", NULL}, {NULL, NULL}}},
    {"rust",
     "Rust",
     "cargo, and once: rustup target add wasm32-unknown-unknown",
     {{"../sdk-rust", "sdk"}, {"chat-rust", NULL}, {NULL, NULL}}},
    {"go", "Go", "Go 1.24 or newer", {{"../sdk-go", "./sdk"}, {"chat-go", NULL}, {NULL, NULL}}},
};

/* A name that Cargo, Go, make and the server all take. */
static realm_status check_name(const char *name, struct realm_error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    static const char others[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";
    const size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME_BYTES || strchr(letters, name[0]) == NULL ||
        strspn(name, others) != length) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%.80s\" is no name for a program: small letters, digits, '-' and "
                               "'_', a letter first, at most %u",
                               name,
                               MAX_NAME_BYTES);
    }
    return REALM_OK;
}

static const struct replacement *
find_replacement(const struct language *language, const char *text, size_t n_bytes)
{
    for (const struct replacement *r = language->replacements; r->from != NULL; r++) {
        const size_t length = strlen(r->from);
        if (length <= n_bytes && memcmp(text, r->from, length) == 0) {
            return r;
        }
    }
    return NULL;
}

static realm_status replace_words(const struct language *language,
                                  const char *project,
                                  const struct embedded_file *file,
                                  struct strbuf *out,
                                  struct realm_error *error)
{
    const char *text = (const char *)file->data;
    for (size_t i = 0; i < file->n_bytes;) {
        const struct replacement *r = find_replacement(language, text + i, file->n_bytes - i);
        if (r == NULL) {
            (void)strbuf_append_char(out, text[i++]);
        } else {
            (void)strbuf_append_text(out, r->to != NULL ? r->to : project);
            i += strlen(r->from);
        }
    }
    return out->failed ? realm_error_out_of_memory(error, file->n_bytes, file->name) : REALM_OK;
}

static realm_status write_bytes(const char *path, struct bytes bytes, struct realm_error *error)
{
    char folder[PATHS_BYTES];
    struct file_writer *writer = NULL;
    (void)snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    REALM_TRY(file_make_folder(folder, 0755, error));
    REALM_TRY(file_writer_open(path, 0644, &writer, error));
    const realm_status status = file_writer_write(writer, bytes.data, bytes.length, error);
    if (status != REALM_OK) {
        file_writer_abandon(writer);
        return status;
    }
    return file_writer_commit(writer, error);
}

/* name: of the file in the project. */
static realm_status write_file(const struct language *language,
                               const char *project,
                               const struct embedded_file *file,
                               const char *name,
                               struct realm_error *error)
{
    char path[PATHS_BYTES];
    struct strbuf text;
    struct bytes bytes = {.data = file->data, .length = file->n_bytes};
    realm_status status = REALM_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", project, name);
    strbuf_init(&text, ALLOC_BASE, MAX_FILE_BYTES);
    /* The SDK is the same in every project. */
    if (strncmp(name, "sdk/", 4) != 0) {
        status = replace_words(language, project, file, &text, error);
        bytes = (struct bytes){.data = (const uint8_t *)text.text, .length = text.length};
    }
    if (status == REALM_OK) {
        status = write_bytes(path, bytes, error);
    }
    strbuf_deinit(&text);
    return status;
}

static realm_status
make_project(const struct language *language, const char *project, struct realm_error *error)
{
    const size_t n_prefix = strlen(language->name);
    if (file_exists(project)) {
        return realm_error_set(error,
                               REALM_ALREADY_EXISTS,
                               "\"%s\" is there already; choose another name or remove it",
                               project);
    }
    for (const struct embedded_file *file = program_templates; file->name != NULL; file++) {
        if (strncmp(file->name, language->name, n_prefix) == 0 && file->name[n_prefix] == '/') {
            const char *name = file->name + n_prefix + 1;
            REALM_TRY(write_file(language, project, file, name, error));
        }
    }
    return REALM_OK;
}

realm_status program_new(int argc, char **argv, struct realm_error *error)
{
    uint32_t choice = 0;
    const struct arg_option options[] = {
        {"lang", 'l', ARG_CHOICE, &choice, "c|rust|go", "what it is written in (c)", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm program new [--lang c|rust|go] NAME",
        .summary = "Makes a folder with a chat program and the SDK, built by `make`.",
        .examples = "  realm program new --lang rust my-agent\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    const char *project = operands.items[0];
    const struct language *language = &languages[choice];
    REALM_TRY(check_name(project, error));
    REALM_TRY(make_project(language, project, error));
    printf("%s/ is a chat program in %s.  It builds with %s:\n\n"
           "  cd %s && make\n"
           "  realm program run %s.wasm -r "
           "'{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n",
           project,
           language->title,
           language->needs,
           project,
           project);
    return REALM_OK;
}
