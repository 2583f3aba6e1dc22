/* realm run: one prompt answered, or a talk (run_talk.c). */
#include "base/log.h"
#include "base/random.h"
#include "cli/answer.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/run.h"
#include "cli/term.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_MAX_TOKENS 1024u
#define MAX_INPUT_BYTES    ((size_t)64 << 20)

void run_fill_request(const struct run *run, struct request *out)
{
    *out = (struct request){
        .model = run->model,
        .max_tokens = run->max_tokens,
        .min_tokens = run->min_tokens,
        .ignore_end = run->ignore_end,
        .stops = run->stop_texts,
        .n_stops = run->stops.n,
        .sampling = run->sampling,
    };
    out->sampling.seed = run->seed;
}

/* Standard input stands behind the prompt, where there are both. */
static realm_status
gather_prompt(const struct run *run, bool read_input, struct strbuf *out, struct realm_error *error)
{
    if (run->prompt != NULL) {
        strbuf_append_text(out, run->prompt);
    }
    if (read_input) {
        if (run->prompt != NULL) {
            strbuf_append_text(out, "\n\n");
        }
        REALM_TRY(input_read(out, error));
        /* A pipe's last newline is its end, not part of the question. */
        if (!run->raw && out->length > 0 && out->text[out->length - 1] == '\n') {
            out->text[--out->length] = '\0';
        }
    }
    if (out->failed) {
        return realm_error_out_of_memory(error, out->length, "the prompt");
    }
    return out->length > 0 ? REALM_OK
                           : realm_error_set(error, REALM_INVALID_ARGUMENT, "the prompt is empty");
}

static realm_status encode_prompt(const struct run *run,
                                  const struct strbuf *text,
                                  struct token_list *prompt,
                                  struct realm_error *error)
{
    if (run->raw) {
        const struct tokenizer_encode_options options = {.add_special = true,
                                                         .parse_special = true};
        return tokenizer_encode(
            engine_model_tokenizer(run->model), text->text, text->length, options, prompt, error);
    }
    struct chat chat;
    chat_init(&chat, run->model);
    realm_status status =
        run->system != NULL ? chat_set_system(&chat, run->system, error) : REALM_OK;
    if (status == REALM_OK) {
        status = chat_add(&chat, "user", text->text, text->length, error);
    }
    if (status == REALM_OK) {
        status = chat_prompt(&chat, prompt, error);
    }
    chat_deinit(&chat);
    return status;
}

static realm_status
print_json(const struct run *run, const struct answer *answer, struct realm_error *error)
{
    const struct bytes text = {.data = (const uint8_t *)answer->text.text,
                               .length = answer->text.length};
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    json_out_text(&out, "model", engine_model_name(run->model));
    json_out_bytes(&out, "text", text);
    json_out_text(&out, "finish_reason", answer_finish_name(answer->finish));
    json_out_u64(&out, "prompt_tokens", answer->n_prompt_tokens);
    json_out_u64(&out, "completion_tokens", answer->n_completion_tokens);
    json_out_f64(&out, "first_token_s", (double)answer->first_token_ns / 1e9, 4);
    json_out_f64(&out, "total_s", (double)answer->total_ns / 1e9, 4);
    json_out_f64(&out, "tok_s", answer_rate(answer), 4);
    json_out_u64(&out, "seed", run->seed);
    json_out_end_object(&out);
    return json_out_print(&out, error);
}

static realm_status
show_answer(const struct run *run, const struct answer *answer, struct realm_error *error)
{
    if (run->json) {
        REALM_TRY(print_json(run, answer, error));
    } else if (answer->text.length == 0 || answer->text.text[answer->text.length - 1] != '\n') {
        (void)putchar('\n');
    }
    if (fflush(stdout) != 0) {
        return realm_error_set(error, REALM_IO, "the answer cannot be written");
    }
    if (run->stats) {
        (void)fprintf(stderr,
                      "%u prompt tokens, first token after %.2f s; %u tokens, %.1f a second\n",
                      answer->n_prompt_tokens,
                      (double)answer->first_token_ns / 1e9,
                      answer->n_completion_tokens,
                      answer_rate(answer));
    }
    return answer->finish == REALM_FINISH_CANCELLED
               ? realm_error_set(error, REALM_CANCELLED, "interrupted")
               : REALM_OK;
}

static realm_status answer_once(struct run *run, bool read_input, struct realm_error *error)
{
    struct token_list prompt = {.length = 0};
    struct strbuf text;
    struct request request;
    strbuf_init(&text, ALLOC_REQUEST, MAX_INPUT_BYTES);
    interrupt_catch();
    realm_status status = gather_prompt(run, read_input, &text, error);
    if (status == REALM_OK) {
        status = encode_prompt(run, &text, &prompt, error);
    }
    if (status == REALM_OK) {
        struct answer answer;
        run_fill_request(run, &request);
        request.prompt = prompt.ids;
        request.n_prompt = (uint32_t)prompt.length;
        status = answer_run(run->engine, &request, run->json ? NULL : stdout, &answer, error);
        if (status == REALM_OK) {
            status = show_answer(run, &answer, error);
        }
        strbuf_deinit(&answer.text);
    }
    interrupt_restore();
    token_list_deinit(&prompt);
    strbuf_deinit(&text);
    return status;
}

static void on_load(void *context, float part)
{
    progress_update(context, (uint64_t)(part * 1000.0F));
}

static realm_status load(struct run *run, struct realm_error *error)
{
    char path[PATHS_BYTES];
    char name[128];
    struct progress bar;
    REALM_TRY(paths_find_model(run->model_reference, path, error));
    paths_model_name(path, name, sizeof name);
    progress_begin(&bar, "loading", 1000, PROGRESS_PARTS);
    const struct engine_model_options options = {
        .context_length = run->context_length,
        .kv_type = (enum kv_type)run->kv_type,
        .progress = on_load,
        .progress_context = &bar,
    };
    const realm_status status =
        engine_load_model(run->engine, name, path, &options, &run->model, error);
    progress_end(&bar);
    return status;
}

static realm_status run_all(struct run *run, bool read_input, struct realm_error *error)
{
    const bool talk = run->prompt == NULL && !read_input;
    if (talk && run->json) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "--json answers one prompt: give it with -p or on standard input");
    }
    for (uint32_t i = 0; i < run->stops.n; i++) {
        run->stop_texts[i] = (struct bytes){.data = (const uint8_t *)run->stops.items[i],
                                            .length = strlen(run->stops.items[i])};
    }
    if (run->seed == 0) {
        REALM_TRY(random_bytes(&run->seed, sizeof run->seed, error));
    }
    const struct engine_options options = {.n_threads = run->n_threads,
                                           .cpu_level = run->cpu_level};
    REALM_TRY(engine_create(&options, &run->engine, error));
    realm_status status = load(run, error);
    if (status == REALM_OK) {
        status = talk ? run_talk(run, error) : answer_once(run, read_input, error);
    }
    engine_destroy(run->engine);
    return status;
}

/* NOLINTNEXTLINE(readability-function-size): a table of options and little else */
realm_status cmd_run(int argc, char **argv, struct realm_error *error)
{
    struct run run = {.max_tokens = DEFAULT_MAX_TOKENS,
                      .cpu_level = getenv("REALM_CPU"),
                      .sampling = {.temperature = 0.7F, .top_p = 0.95F, .top_k = 40}};
    struct sampler_options *const s = &run.sampling;
    const struct arg_option options[] = {
        {"model",
         'm',
         ARG_TEXT,
         &run.model_reference,
         "MODEL",
         "a path, or a name of `realm models list` (smollm2)",
         0,
         0},
        {"prompt", 'p', ARG_TEXT, &run.prompt, "TEXT", "answer this and end", 0, 0},
        {"system", 's', ARG_TEXT, &run.system, "TEXT", "the system message", 0, 0},
        {"raw",
         0,
         ARG_FLAG,
         &run.raw,
         NULL,
         "continue the text as it is, without chat template",
         0,
         0},
        {"json",
         0,
         ARG_FLAG,
         &run.json,
         NULL,
         "the answer and its numbers as one JSON object",
         0,
         0},
        {"stats", 0, ARG_FLAG, &run.stats, NULL, "speed on standard error after each answer", 0, 0},
        {"max-tokens", 'n', ARG_U32, &run.max_tokens, "N", "longest answer (1024)", 1, 1 << 24},
        {"min-tokens",
         0,
         ARG_U32,
         &run.min_tokens,
         "N",
         "the answer does not end before",
         0,
         1 << 24},
        {"ignore-eos",
         0,
         ARG_FLAG,
         &run.ignore_end,
         NULL,
         "end tokens do not end the answer",
         0,
         0},
        {"stop",
         0,
         ARG_LIST,
         &run.stops,
         "TEXT",
         "end the answer before this; may come again",
         0,
         0},
        {"temperature",
         0,
         ARG_FLOAT,
         &s->temperature,
         "T",
         "0: always the likeliest token (0.7)",
         0,
         100},
        {"top-k", 0, ARG_U32, &s->top_k, "K", "draw from the K likeliest; 0: all (40)", 0, 1 << 24},
        {"top-p",
         0,
         ARG_FLOAT,
         &s->top_p,
         "P",
         "draw from the likeliest that sum to P (0.95)",
         0,
         1},
        {"min-p",
         0,
         ARG_FLOAT,
         &s->min_p,
         "P",
         "leave out what is less than P of the likeliest",
         0,
         1},
        {"typical-p", 0, ARG_FLOAT, &s->typical_p, "P", "locally typical sampling", 0, 1},
        {"repetition-penalty",
         0,
         ARG_FLOAT,
         &s->repetition_penalty,
         "R",
         "above 1: repeat less",
         0,
         100},
        {"presence-penalty",
         0,
         ARG_FLOAT,
         &s->presence_penalty,
         "R",
         "off a token's logit once it was there",
         -2,
         2},
        {"frequency-penalty",
         0,
         ARG_FLOAT,
         &s->frequency_penalty,
         "R",
         "for each time it was there",
         -2,
         2},
        {"dry-multiplier",
         0,
         ARG_FLOAT,
         &s->dry_multiplier,
         "R",
         "against repeated phrases; 0: off",
         0,
         100},
        {"mirostat", 0, ARG_U32, &s->mirostat, "V", "1 or 2: hold the surprise steady", 0, 2},
        {"mirostat-tau", 0, ARG_FLOAT, &s->mirostat_tau, "T", "its target in bits (5)", 0, 100},
        {"mirostat-eta", 0, ARG_FLOAT, &s->mirostat_eta, "E", "its learning rate (0.1)", 0, 1},
        {"seed", 0, ARG_U64, &run.seed, "N", "same seed, same answer (from the system)", 0, 0},
        {"ctx",
         'c',
         ARG_U32,
         &run.context_length,
         "N",
         "tokens of the whole talk (the model's, at most 8192)",
         16,
         1 << 24},
        {"kv-type", 0, ARG_CHOICE, &run.kv_type, KV_TYPE_NAMES, KV_TYPE_HELP, 0, 0},
        {"threads", 't', ARG_U32, &run.n_threads, "N", "compute threads (one per core)", 1, 1024},
        {"cpu",
         0,
         ARG_TEXT,
         &run.cpu_level,
         "LEVEL",
         "highest CPU level, such as avx2 (REALM_CPU)",
         0,
         0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm run [-m MODEL] [options] [-]",
        .summary =
            "Talks with a model, or answers one prompt (-p, or standard input; \"-\" for both).",
        .examples =
            "  realm run                                       talk; /help lists what it knows\n"
            "  realm run -m gemma3-270m -p \"Why is the sky blue?\" --temperature 0\n"
            "  git diff | realm run -p \"Describe this change:\" -\n"
            "  realm run --raw -p \"Once upon a time\" -n 64 --seed 7\n",
        .options = options,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (operands.n == 1 && strcmp(operands.items[0], "-") != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "unexpected \"%.80s\"; a prompt is given with -p",
                               operands.items[0]);
    }
    log_configure(LOG_ERROR, LOG_FORMAT_AUTO);
    const bool read_input = operands.n == 1 || (run.prompt == NULL && !term_is_terminal(stdin));
    return run_all(&run, read_input, error);
}
