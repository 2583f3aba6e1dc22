#include "base/alloc.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "model/arch.h"
#include "model/file_type.h"

#include <string.h>

struct model {
    struct gguf *gguf;
    struct plan *plan;
    const struct architecture *architecture;
    struct hparams hparams;
    char *name;
    uint64_t n_parameters;
    const char *file_type_name;
};

/* Tensors cannot hold more elements than 64 bits count: their bytes lie in the file. */
static uint64_t count_parameters(const struct gguf *gguf)
{
    uint64_t n = 0;
    for (size_t i = 0; i < gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *const t = gguf_tensor_at(gguf, i);
        n += t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
    }
    return n;
}

static realm_status copy_name(struct model *model, struct realm_error *error)
{
    struct bytes text = {.data = (const uint8_t *)"", .length = 0};
    if (gguf_find(model->gguf, "general.name") != NULL) {
        REALM_TRY(gguf_get_string(model->gguf, "general.name", &text, error));
    }
    model->name = alloc_string(ALLOC_MODEL, (const char *)text.data, text.length);
    if (model->name == NULL) {
        return realm_error_out_of_memory(error, text.length, "a model's name");
    }
    return REALM_OK;
}

static realm_status read_hparams(struct model *model, struct realm_error *error)
{
    struct metadata metadata = {
        .gguf = model->gguf,
        .architecture = model->architecture->name,
    };
    hparams_read_common(&metadata, &model->hparams);
    if (model->architecture->read_hparams != NULL) {
        model->architecture->read_hparams(&metadata, &model->hparams);
    }
    if (metadata.first_error.status != REALM_OK) {
        return realm_error_set(
            error, metadata.first_error.status, "%s", metadata.first_error.message);
    }
    return REALM_OK;
}

static realm_status
build_plan(struct model *model, const struct model_options *options, struct realm_error *error)
{
    REALM_TRY(plan_create(&model->plan, error));
    struct weights weights = {
        .gguf = model->gguf,
        .plan = model->plan,
        .layer = WEIGHTS_NO_LAYER,
    };
    model->hparams.vocabulary = weights_rows(&weights, "token_embd.weight", HPARAMS_MAX_VOCABULARY);
    struct builder builder = {
        .hparams = &model->hparams,
        .weights = &weights,
        .plan = model->plan,
        .context_length =
            options->context_length > 0 ? options->context_length : model->hparams.context_length,
    };
    model->architecture->build(&builder);
    /* What the plan says after that is only a consequence. */
    if (weights.first_error.status != REALM_OK) {
        return realm_error_set(
            error, weights.first_error.status, "%s", weights.first_error.message);
    }
    REALM_TRY(plan_check(model->plan, error));
    return weights_check_all_used(&weights, model->architecture->name, error);
}

/* At level debug, one operation a line. */
static void log_plan(const struct plan *plan)
{
    if (!log_enabled(LOG_DEBUG)) {
        return;
    }
    struct strbuf text;
    strbuf_init(&text, ALLOC_MODEL, SIZE_MAX);
    plan_dump(plan, &text);
    for (char *line = text.text; *line != '\0';) {
        char *const end = strchr(line, '\n');
        if (end == NULL) {
            break;
        }
        *end = '\0';
        log_debug("plan", LOG_TEXT("operation", line));
        line = end + 1;
    }
    strbuf_deinit(&text);
}

static realm_status
load(struct model *model, const struct model_options *options, struct realm_error *error)
{
    static const struct model_options no_options = {0};
    struct bytes architecture;
    REALM_TRY(gguf_get_string(model->gguf, "general.architecture", &architecture, error));
    REALM_TRY(architecture_find(architecture, &model->architecture, error));
    REALM_TRY(copy_name(model, error));
    REALM_TRY(read_hparams(model, error));
    REALM_TRY(build_plan(model, options == NULL ? &no_options : options, error));
    model->n_parameters = count_parameters(model->gguf);
    model->file_type_name = file_type_name(model->gguf);
    log_plan(model->plan);
    return REALM_OK;
}

/* Takes the gguf over, on error too. */
static realm_status open_gguf(struct gguf *gguf,
                              const struct model_options *options,
                              struct model **out,
                              struct realm_error *error)
{
    struct model *const model = alloc_zeroed(ALLOC_MODEL, 1, sizeof *model);
    if (model == NULL) {
        gguf_close(gguf);
        return realm_error_out_of_memory(error, sizeof *model, "a model");
    }
    model->gguf = gguf;
    const realm_status status = load(model, options, error);
    if (status != REALM_OK) {
        model_close(model);
        return status;
    }
    *out = model;
    return REALM_OK;
}

realm_status model_open(const char *path,
                        const struct model_options *options,
                        struct model **out,
                        struct realm_error *error)
{
    *out = NULL;
    struct gguf *gguf;
    REALM_TRY(gguf_open(path, &gguf, error));
    const realm_status status = open_gguf(gguf, options, out, error);
    return status == REALM_OK ? REALM_OK : realm_error_prefix(error, status, "%s", path);
}

realm_status model_open_bytes(struct bytes bytes,
                              const struct model_options *options,
                              struct model **out,
                              struct realm_error *error)
{
    *out = NULL;
    struct gguf *gguf;
    REALM_TRY(gguf_open_bytes(bytes, &gguf, error));
    return open_gguf(gguf, options, out, error);
}

void model_close(struct model *model)
{
    if (model == NULL) {
        return;
    }
    plan_destroy(model->plan);
    gguf_close(model->gguf);
    alloc_free(model->name);
    alloc_free(model);
}

static struct bytes_view read_weight(void *context, const struct plan_tensor *weight)
{
    (void)context;
    const struct gguf_tensor *const tensor = weight->source;
    return (struct bytes_view){.data = tensor->data.data, .n_bytes = tensor->data.length};
}

static void forget_weight(void *context, const struct plan_tensor *weight)
{
    const struct gguf *const gguf = context;
    gguf_forget_tensor(gguf, weight->source);
}

struct weight_source model_weight_source(const struct model *model)
{
    return (struct weight_source){
        .context = model->gguf,
        .read = read_weight,
        .done = forget_weight,
    };
}

const struct plan *model_plan(const struct model *model)
{
    return model->plan;
}

const struct gguf *model_gguf(const struct model *model)
{
    return model->gguf;
}

const struct hparams *model_hparams(const struct model *model)
{
    return &model->hparams;
}

const char *model_architecture(const struct model *model)
{
    return model->architecture->name;
}

const char *model_name(const struct model *model)
{
    return model->name;
}

const char *model_file_type_name(const struct model *model)
{
    return model->file_type_name;
}

uint32_t model_context_length(const struct model *model)
{
    return model->hparams.context_length;
}

uint32_t model_width(const struct model *model)
{
    return model->hparams.width;
}

uint32_t model_vocabulary(const struct model *model)
{
    return model->hparams.vocabulary;
}

uint64_t model_n_parameters(const struct model *model)
{
    return model->n_parameters;
}

uint64_t model_file_bytes(const struct model *model)
{
    return gguf_file_bytes(model->gguf);
}

const char *model_known_architecture(uint32_t index)
{
    const struct architecture *const architecture = architecture_at(index);
    return architecture == NULL ? NULL : architecture->name;
}
