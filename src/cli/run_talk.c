/* The interactive half of `realm run`: lines in, answers out, a few commands. */
#include "base/file.h"
#include "cli/answer.h"
#include "cli/chat.h"
#include "cli/editor.h"
#include "cli/interrupt.h"
#include "cli/paths.h"
#include "cli/run.h"
#include "cli/term.h"

#include <string.h>

#define MAX_LINE_BYTES ((size_t)16 << 20)

struct talk {
    struct run *run;
    struct chat chat;
    struct editor *editor;
    struct answer last; /* numbers of the last answer; its text is not kept */
    uint32_t n_answers;
    uint64_t n_completion_tokens;
    bool ended;
};

/* --- commands --- */

static realm_status help(struct talk *talk, const char *argument, struct realm_error *error);

static realm_status clear(struct talk *talk, const char *argument, struct realm_error *error)
{
    (void)argument;
    (void)error;
    chat_clear(&talk->chat);
    (void)fprintf(stderr, "The talk begins anew.\n");
    return REALM_OK;
}

static realm_status set_system(struct talk *talk, const char *argument, struct realm_error *error)
{
    REALM_TRY(chat_set_system(&talk->chat, argument, error));
    (void)fprintf(stderr,
                  argument[0] != '\0' ? "The system message is set.\n"
                                      : "There is no system message now.\n");
    return REALM_OK;
}

static realm_status show_stats(struct talk *talk, const char *argument, struct realm_error *error)
{
    (void)argument;
    (void)error;
    char memory[16];
    const struct answer *const last = &talk->last;
    (void)fprintf(stderr,
                  "Model     %s, %s of memory\n",
                  engine_model_name(talk->run->model),
                  term_bytes(engine_model_memory_bytes(talk->run->model), memory));
    (void)fprintf(stderr,
                  "Context   %u of %u tokens after the last answer\n",
                  last->n_prompt_tokens + last->n_completion_tokens,
                  engine_model_context_length(talk->run->model));
    (void)fprintf(stderr,
                  "Last      %u tokens, first after %.2f s, then %.1f a second (%s)\n",
                  last->n_completion_tokens,
                  (double)last->first_token_ns / 1e9,
                  answer_rate(last),
                  answer_finish_name(last->finish));
    (void)fprintf(stderr,
                  "Talk      %u answers, %llu tokens; seed %llu\n",
                  talk->n_answers,
                  (unsigned long long)talk->n_completion_tokens,
                  (unsigned long long)talk->run->seed);
    return REALM_OK;
}

static realm_status leave(struct talk *talk, const char *argument, struct realm_error *error)
{
    (void)argument;
    (void)error;
    talk->ended = true;
    return REALM_OK;
}

static const struct talk_command {
    const char *name;
    realm_status (*run)(struct talk *talk, const char *argument, struct realm_error *error);
    const char *help;
} talk_commands[] = {
    {"/help", help, "this list"},
    {"/clear", clear, "forget the talk so far"},
    {"/system", set_system, "TEXT  set the system message; without TEXT: remove it"},
    {"/stats", show_stats, "speed, context and memory"},
    {"/exit", leave, "end; Ctrl-D does it too"},
    {"/bye", leave, "the same"},
};

#define N_TALK_COMMANDS (sizeof talk_commands / sizeof talk_commands[0])

static realm_status help(struct talk *talk, const char *argument, struct realm_error *error)
{
    (void)talk;
    (void)argument;
    (void)error;
    for (size_t i = 0; i < N_TALK_COMMANDS; i++) {
        (void)fprintf(stderr, "  %-8s %s\n", talk_commands[i].name, talk_commands[i].help);
    }
    (void)fprintf(stderr,
                  "A line that ends with \\ goes on in the next.  Ctrl-C stops an answer.\n");
    return REALM_OK;
}

static realm_status run_command(struct talk *talk, const char *line, struct realm_error *error)
{
    const size_t n_name = strcspn(line, " \t");
    const char *const argument = line + n_name + strspn(line + n_name, " \t");
    for (size_t i = 0; i < N_TALK_COMMANDS; i++) {
        if (strlen(talk_commands[i].name) == n_name &&
            strncmp(line, talk_commands[i].name, n_name) == 0) {
            return talk_commands[i].run(talk, argument, error);
        }
    }
    (void)fprintf(stderr, "There is no command %.*s; /help lists them.\n", (int)n_name, line);
    return REALM_OK;
}

/* --- answers --- */

/* The prompt, without the oldest turns when the context cannot hold all of them and an answer. */
static realm_status
make_prompt(struct talk *talk, struct token_list *prompt, struct realm_error *error)
{
    const uint32_t context = engine_model_context_length(talk->run->model);
    const uint32_t room = context / 8; /* for the answer */
    bool dropped = false;
    for (;;) {
        prompt->length = 0;
        REALM_TRY(chat_prompt(&talk->chat, prompt, error));
        if (prompt->length + room <= context || !chat_drop_oldest(&talk->chat)) {
            break;
        }
        dropped = true;
    }
    if (dropped) {
        (void)fprintf(stderr, "(the oldest turns are forgotten: the context is full)\n");
    }
    return REALM_OK;
}

static realm_status encode_raw(struct talk *talk,
                               const struct strbuf *line,
                               struct token_list *prompt,
                               struct realm_error *error)
{
    const struct tokenizer_encode_options options = {.add_special = true, .parse_special = true};
    return tokenizer_encode(
        engine_model_tokenizer(talk->run->model), line->text, line->length, options, prompt, error);
}

static realm_status submit(struct talk *talk,
                           const struct token_list *prompt,
                           struct answer *answer,
                           struct realm_error *error)
{
    struct request request;
    run_fill_request(talk->run, &request);
    request.sampling.seed += talk->n_answers; /* each answer draws other numbers */
    request.prompt = prompt->ids;
    request.n_prompt = (uint32_t)prompt->length;
    interrupt_catch();
    const realm_status status = answer_run(talk->run->engine, &request, stdout, answer, error);
    interrupt_restore();
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
    return status;
}

static realm_status
answer_line(struct talk *talk, const struct strbuf *line, struct realm_error *error)
{
    struct token_list prompt = {.length = 0};
    struct answer answer;
    realm_status status = REALM_OK;
    if (talk->run->raw) {
        status = encode_raw(talk, line, &prompt, error);
    } else {
        status = chat_add(&talk->chat, "user", line->text, line->length, error);
        if (status == REALM_OK) {
            status = make_prompt(talk, &prompt, error);
            if (status != REALM_OK) {
                chat_drop_last(&talk->chat);
            }
        }
    }
    if (status != REALM_OK) {
        token_list_deinit(&prompt);
        return status;
    }
    status = submit(talk, &prompt, &answer, error);
    token_list_deinit(&prompt);
    if (!talk->run->raw && status == REALM_OK) {
        /* An answer that was stopped stays in the talk as far as it came. */
        status = chat_add(&talk->chat, "assistant", answer.text.text, answer.text.length, error);
    } else if (!talk->run->raw) {
        chat_drop_last(&talk->chat);
    }
    strbuf_deinit(&answer.text);
    if (status == REALM_OK) {
        talk->last = answer;
        talk->n_answers++;
        talk->n_completion_tokens += answer.n_completion_tokens;
        if (talk->run->stats) {
            status = show_stats(talk, "", error);
        }
    }
    return status;
}

/* --- lines --- */

/* Joins lines that end with a backslash. */
static enum editor_result read_lines(struct talk *talk, struct strbuf *out)
{
    struct strbuf line;
    enum editor_result result;
    bool more;
    strbuf_init(&line, ALLOC_BASE, MAX_LINE_BYTES);
    strbuf_clear(out);
    do {
        result = editor_read(talk->editor, out->length == 0 ? ">>> " : "... ", &line);
        more = result == EDITOR_LINE && line.length > 0 && line.text[line.length - 1] == '\\';
        strbuf_append(out, line.text, line.length - more);
        if (more) {
            strbuf_append_char(out, '\n');
        }
    } while (more);
    strbuf_deinit(&line);
    return result == EDITOR_LINE && out->failed ? EDITOR_FAILED : result;
}

static realm_status take_lines(struct talk *talk, struct strbuf *line, struct realm_error *error)
{
    while (!talk->ended) {
        struct realm_error trouble = {.status = REALM_OK};
        realm_status status = REALM_OK;
        switch (read_lines(talk, line)) {
        case EDITOR_FAILED:
            return realm_error_set(error, REALM_IO, "the input cannot be read");
        case EDITOR_END:
            return REALM_OK;
        case EDITOR_INTERRUPT:
            (void)fprintf(stderr, "(Ctrl-D or /exit ends)\n");
            continue;
        case EDITOR_LINE:
            break;
        }
        if (line->length == 0) {
            continue;
        }
        status = line->text[0] == '/' ? run_command(talk, line->text, &trouble)
                                      : answer_line(talk, line, &trouble);
        if (status != REALM_OK) {
            (void)fprintf(stderr, "%s\n", trouble.message);
        }
    }
    return REALM_OK;
}

static realm_status open_editor(struct talk *talk, struct realm_error *error)
{
    char folder[PATHS_BYTES];
    char path[PATHS_BYTES + 16];
    const bool kept = paths_data_folder(folder, NULL) == REALM_OK &&
                      file_make_folder(folder, 0700, NULL) == REALM_OK;
    (void)snprintf(path, sizeof path, "%s/run_history", kept ? folder : "");
    return editor_create(kept ? path : NULL, &talk->editor, error);
}

realm_status run_talk(struct run *run, struct realm_error *error)
{
    struct talk talk = {.run = run};
    struct strbuf line;
    chat_init(&talk.chat, run->model);
    strbuf_init(&line, ALLOC_BASE, MAX_LINE_BYTES);
    realm_status status =
        run->system != NULL ? chat_set_system(&talk.chat, run->system, error) : REALM_OK;
    if (status == REALM_OK) {
        status = open_editor(&talk, error);
    }
    if (status == REALM_OK) {
        (void)fprintf(stderr, "%s is ready; /help for help.\n", engine_model_name(run->model));
        status = take_lines(&talk, &line, error);
    }
    editor_destroy(talk.editor);
    strbuf_deinit(&line);
    chat_deinit(&talk.chat);
    return status;
}
