/* realm quantize IN OUT TYPE, over quantize_model.h. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/quantize_model.h"
#include "cli/term.h"

struct quantize {
    struct progress bar;
    bool verbose;
};

static bool on_progress(void *context, const struct quantize_progress *p)
{
    struct quantize *const quantize = context;
    if (p->tensor_done && quantize->verbose) {
        progress_end(&quantize->bar);
        (void)fprintf(stderr,
                      "[%3zu/%3zu] %-32s %-6s -> %s%s\n",
                      p->index + 1,
                      p->n_tensors,
                      p->tensor,
                      tensor_type_name(p->from),
                      tensor_type_name(p->to),
                      p->fell_back ? "  (its columns are no whole blocks of the mix's type)" : "");
    }
    quantize->bar.total = p->bytes_total;
    progress_update(&quantize->bar, p->bytes_done);
    return !interrupt_seen();
}

static void print_help(const struct arg_command *command)
{
    args_print_help(command);
    printf("\nTypes:\n");
    for (size_t i = 0; quant_mix_at(i) != NULL; i++) {
        const struct quant_mix *const mix = quant_mix_at(i);
        printf("  %-8s %s\n", quant_mix_name(mix), quant_mix_about(mix));
    }
}

static realm_status print_summary(const struct quantize_options *options,
                                  const struct quantize_summary *summary,
                                  bool json,
                                  struct realm_error *error)
{
    if (json) {
        struct json_out out;
        json_out_init(&out);
        json_out_begin_object(&out, NULL);
        json_out_text(&out, "path", options->out_path);
        json_out_text(&out, "type", quant_mix_name(options->mix));
        json_out_u64(&out, "tensors", summary->n_tensors);
        json_out_u64(&out, "converted", summary->n_converted);
        json_out_u64(&out, "fell_back", summary->n_fell_back);
        json_out_u64(&out, "bytes_before", summary->bytes_before);
        json_out_u64(&out, "bytes_after", summary->bytes_after);
        json_out_end_object(&out);
        return json_out_print(&out, error);
    }
    char before[16];
    char after[16];
    printf("%s: %s, %zu of %zu tensors converted, %s -> %s\n",
           options->out_path,
           quant_mix_name(options->mix),
           summary->n_converted,
           summary->n_tensors,
           term_bytes(summary->bytes_before, before),
           term_bytes(summary->bytes_after, after));
    if (summary->n_fell_back > 0) {
        printf("%zu tensors have columns that are no whole blocks of what the mix wants and got a "
               "type near it\n",
               summary->n_fell_back);
    }
    return REALM_OK;
}

static realm_status run_quantize(struct quantize_options *options,
                                 struct quantize *quantize,
                                 const struct arg_list *overrides,
                                 bool json,
                                 struct realm_error *error)
{
    struct quantize_override parsed[ARG_LIST_MAX];
    struct quantize_summary summary;
    for (uint32_t i = 0; i < overrides->n; i++) {
        REALM_TRY(quantize_override_parse(overrides->items[i], &parsed[i], error));
    }
    options->overrides = parsed;
    options->n_overrides = overrides->n;
    options->progress = on_progress;
    options->progress_context = quantize;
    options->summary = &summary;
    interrupt_catch();
    progress_begin(&quantize->bar, quant_mix_name(options->mix), 0, PROGRESS_BYTES);
    const realm_status status = quantize_model(options, error);
    progress_end(&quantize->bar);
    interrupt_restore();
    return status == REALM_OK ? print_summary(options, &summary, json, error) : status;
}

realm_status cmd_quantize(int argc, char **argv, struct realm_error *error)
{
    struct quantize quantize = {.verbose = false};
    struct quantize_options work = {.n_threads = 0};
    struct arg_list overrides = {.n = 0};
    bool json = false;
    const struct arg_option options[] = {
        {"threads", 't', ARG_U32, &work.n_threads, "N", "threads (one per core)", 1, 1024},
        {"tensor-type",
         0,
         ARG_LIST,
         &overrides,
         "NAME=TYPE",
         "another type where the name fits; may come again",
         0,
         0},
        {"keep-output",
         0,
         ARG_FLAG,
         &work.keep_output,
         NULL,
         "leave the output matrix as it is",
         0,
         0},
        {"pure", 0, ARG_FLAG, &work.pure, NULL, "the same type for all matrices", 0, 0},
        {"allow-requantize",
         0,
         ARG_FLAG,
         &work.allow_requantise,
         NULL,
         "also from a quantised type: errors add up",
         0,
         0},
        {"verbose", 'v', ARG_FLAG, &quantize.verbose, NULL, "a line a tensor", 0, 0},
        {"json", 0, ARG_FLAG, &json, NULL, "the summary for machines", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm quantize IN OUT TYPE [options]",
        .summary = "Writes a model with smaller weights.",
        .examples = "  realm quantize model-f16.gguf model-q4_k_m.gguf Q4_K_M\n"
                    "  realm quantize in.gguf out.gguf Q4_K_M --tensor-type ffn_down=Q6_K -v\n",
        .options = options,
        .min_operands = 3,
        .max_operands = 3,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        print_help(&command);
        return REALM_OK;
    }
    char path[PATHS_BYTES];
    work.mix = quant_mix_find(operands.items[2]);
    if (work.mix == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "unknown type \"%.40s\"; realm quantize --help lists the types",
                               operands.items[2]);
    }
    REALM_TRY(paths_find_model(operands.items[0], path, error));
    work.in_path = path;
    work.out_path = operands.items[1];
    return run_quantize(&work, &quantize, &overrides, json, error);
}
