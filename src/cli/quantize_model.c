#include "cli/quantize_model.h"

#include "base/alloc.h"
#include "cli/quantize_tensor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define QUANTIZATION_VERSION 2u /* of the block layouts; general.quantization_version */

/* What is decided for a tensor before anything is written. */
struct decision {
    enum tensor_type to;
    bool fell_back;
};

struct job {
    const struct quantize_options *options;
    struct gguf *in;
    struct gguf_writer *writer;
    struct quantize_converter *converter;
    struct decision *decisions; /* one a tensor */
    bool *used;                 /* one an override: has matched */
    struct quant_mix_model model;
    char architecture[64];
    struct quantize_progress progress;
    struct quantize_summary summary;
};

/* --- options --- */

realm_status
quantize_override_parse(const char *text, struct quantize_override *out, struct realm_error *error)
{
    const char *const equals = strrchr(text, '=');
    const size_t n = equals != NULL ? (size_t)(equals - text) : 0;
    if (n == 0 || n >= sizeof(out->pattern)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%s\" is no PATTERN=TYPE with a pattern of 1 to %zu characters; "
                               "for example ffn_down=Q6_K",
                               text,
                               sizeof(out->pattern) - 1);
    }
    const struct tensor_type_info *const info = tensor_type_find_name(equals + 1);
    if (info == NULL || quant_find(info->type) == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%s\": %s is no type for weights; types are F32, F16, BF16, Q4_0, "
                               "Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K",
                               text,
                               equals + 1);
    }
    memcpy(out->pattern, text, n);
    out->pattern[n] = '\0';
    out->type = info->type;
    return REALM_OK;
}

/* Does the text begin with the pattern? Each * takes the least run that lets the rest match; going
 * back to the latest * only is enough, so the time is bounded by the product of the lengths. */
static bool begins_with(const char *text, const char *pattern)
{
    const char *star = NULL;
    const char *resume = NULL;
    while (*pattern != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*text != '\0' && *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL && *resume != '\0') {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_found_in(const char *name, const char *pattern)
{
    for (; *name != '\0'; name++) {
        if (begins_with(name, pattern)) {
            return true;
        }
    }
    return false;
}

/* --- the input --- */

static bool same_file(const struct stat *a, const char *path)
{
    struct stat b;
    return stat(path, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

/* Five digits at most, as in "-00002-of-00005.gguf"; false: there is none. */
static bool take_number(const char **text, uint32_t *out)
{
    const char *digit = *text;
    uint32_t number = 0;
    for (; *digit >= '0' && *digit <= '9' && digit - *text < 5; digit++) {
        number = number * 10 + (uint32_t)(*digit - '0');
    }
    const bool taken = digit > *text;
    *text = digit;
    *out = number;
    return taken;
}

static bool take_text(const char **text, const char *expected)
{
    const size_t n = strlen(expected);
    if (strncmp(*text, expected, n) != 0) {
        return false;
    }
    *text += n;
    return true;
}

/* How many parts a path "STEM-0000K-of-0000N.gguf" speaks of; 0: it is no such path. */
static uint32_t parts_of(const char *path, size_t *stem_length)
{
    static const char sample[] = "-00001-of-00001.gguf";
    const size_t n = strlen(path);
    uint32_t part;
    uint32_t n_parts;
    if (n < sizeof(sample)) {
        return 0;
    }
    *stem_length = n - (sizeof(sample) - 1);
    const char *text = path + *stem_length;
    const bool is_part = take_text(&text, "-") && take_number(&text, &part) &&
                         take_text(&text, "-of-") && take_number(&text, &n_parts) &&
                         strcmp(text, ".gguf") == 0;
    return is_part ? n_parts : 0;
}

/* Is it the input, or another part of it? */
static bool is_part_of_input(const char *in_path, const char *out_path)
{
    struct stat out;
    char part[4096];
    size_t stem_length = 0;
    if (stat(out_path, &out) != 0) {
        return false; /* a new file */
    }
    if (same_file(&out, in_path)) {
        return true;
    }
    const uint32_t n_parts = parts_of(in_path, &stem_length);
    for (uint32_t i = 1; i <= n_parts; i++) {
        const int n = snprintf(
            part, sizeof(part), "%.*s-%05u-of-%05u.gguf", (int)stem_length, in_path, i, n_parts);
        if (n > 0 && (size_t)n < sizeof(part) && same_file(&out, part)) {
            return true;
        }
    }
    return false;
}

static uint32_t number_or(const struct job *job, const char *suffix, uint32_t otherwise)
{
    char key[128];
    uint32_t number;
    (void)snprintf(key, sizeof(key), "%s.%s", job->architecture, suffix);
    return gguf_get_u32(job->in, key, &number, NULL) == REALM_OK ? number : otherwise;
}

/* Layers by the names of the tensors, for files without that number. */
static uint32_t count_layers(const struct gguf *in)
{
    uint32_t n = 0;
    for (size_t i = 0; i < gguf_n_tensors(in); i++) {
        const char *name = gguf_tensor_at(in, i)->name;
        uint32_t layer;
        if (take_text(&name, "blk.") && take_number(&name, &layer) && layer >= n) {
            n = layer + 1;
        }
    }
    return n;
}

static void read_model(struct job *job)
{
    struct bytes text;
    if (gguf_get_string(job->in, "general.architecture", &text, NULL) == REALM_OK) {
        (void)snprintf(job->architecture,
                       sizeof(job->architecture),
                       "%.*s",
                       (int)(text.length < 64 ? text.length : 63),
                       (const char *)text.data);
    }
    const uint32_t n_heads = number_or(job, "attention.head_count", 1);
    job->model = (struct quant_mix_model){
        .architecture = job->architecture,
        .n_layers = number_or(job, "block_count", count_layers(job->in)),
        .n_heads = n_heads,
        .n_kv_heads = number_or(job, "attention.head_count_kv", n_heads),
        .tied_embeddings = gguf_find_tensor(job->in, "output.weight") == NULL,
    };
}

/* --- decisions --- */

static bool is_output(const struct job *job, const char *name)
{
    return strcmp(name, job->model.tied_embeddings ? "token_embd.weight" : "output.weight") == 0;
}

/* The type wanted for a tensor, whether or not its columns are whole blocks of it. */
static enum tensor_type wanted_type(struct job *job, const struct gguf_tensor *tensor)
{
    const struct quantize_options *const options = job->options;
    if (!quant_mix_covers(tensor->name, tensor->n_dims) || quant_find(tensor->type) == NULL) {
        return tensor->type;
    }
    for (size_t i = 0; i < options->n_overrides; i++) {
        if (is_found_in(tensor->name, options->overrides[i].pattern)) {
            job->used[i] = true;
            return options->overrides[i].type;
        }
    }
    if (options->keep_output && is_output(job, tensor->name)) {
        return tensor->type;
    }
    if (options->pure) {
        return quant_mix_base_type(options->mix);
    }
    /* Columns that fit every type show what the mix would like best. */
    const uint64_t shape[GGUF_MAX_DIMS] = {256, 1, 1, 1};
    const enum tensor_type best = quant_mix_choose(
        options->mix, &job->model, tensor->name, tensor->type, tensor->n_dims, shape);
    const enum tensor_type chosen = quant_mix_choose(
        options->mix, &job->model, tensor->name, tensor->type, tensor->n_dims, tensor->shape);
    return quant_fit_columns(best, tensor->shape[0]) == chosen ? best : chosen;
}

static realm_status decide_one(struct job *job, size_t i, struct realm_error *error)
{
    const struct gguf_tensor *const tensor = gguf_tensor_at(job->in, i);
    const enum tensor_type wanted = wanted_type(job, tensor);
    struct decision *const decision = &job->decisions[i];
    decision->to = wanted == tensor->type ? wanted : quant_fit_columns(wanted, tensor->shape[0]);
    decision->fell_back = decision->to != wanted;
    const bool requantises = decision->to != tensor->type &&
                             tensor_type_find((uint32_t)tensor->type)->quantised &&
                             tensor_type_find((uint32_t)decision->to)->quantised;
    if (requantises && !job->options->allow_requantise) {
        return realm_error_set(
            error,
            REALM_INVALID_ARGUMENT,
            "tensor %s: it is %s already, and rounding it again to %s loses more "
            "than rounding the original; begin from an F16, BF16 or F32 file, or "
            "give --allow-requantize",
            tensor->name,
            tensor_type_name(tensor->type),
            tensor_type_name(decision->to));
    }
    job->summary.n_tensors++;
    job->summary.n_converted += decision->to != tensor->type;
    job->summary.n_fell_back += decision->fell_back;
    job->summary.bytes_before += tensor->data.length;
    return REALM_OK;
}

static realm_status decide(struct job *job, struct realm_error *error)
{
    const size_t n_tensors = gguf_n_tensors(job->in);
    job->decisions = alloc_zeroed(ALLOC_MODEL, n_tensors, sizeof(job->decisions[0]));
    job->used = alloc_zeroed(ALLOC_MODEL, job->options->n_overrides, sizeof(job->used[0]));
    if (job->decisions == NULL || job->used == NULL) {
        return realm_error_out_of_memory(
            error, n_tensors * sizeof(job->decisions[0]), "the types of all tensors");
    }
    for (size_t i = 0; i < n_tensors; i++) {
        REALM_TRY(decide_one(job, i, error));
    }
    for (size_t i = 0; i < job->options->n_overrides; i++) {
        if (!job->used[i]) {
            return realm_error_set(error,
                                   REALM_INVALID_ARGUMENT,
                                   "no matrix has \"%s\" in its name; \"realm models show %s "
                                   "--tensors\" lists them",
                                   job->options->overrides[i].pattern,
                                   job->options->in_path);
        }
    }
    return REALM_OK;
}

/* --- the output --- */

/* Split files become one; what kind of file it is, is written anew. */
static bool is_left_out(const char *key)
{
    return strncmp(key, "split.", 6) == 0 || strcmp(key, "general.file_type") == 0;
}

static realm_status
put_value(struct job *job, const struct gguf_value *value, struct realm_error *error)
{
    uint32_t alignment;
    if (is_left_out(value->key)) {
        return REALM_OK;
    }
    if (strcmp(value->key, "general.alignment") == 0) {
        /* Read from any integer type, written as the one that the format names. */
        REALM_TRY(gguf_get_u32(job->in, value->key, &alignment, error));
        return gguf_writer_put_u32(job->writer, value->key, alignment, error);
    }
    return gguf_writer_put(job->writer, value, error);
}

static realm_status put_values(struct job *job, struct realm_error *error)
{
    const uint32_t file_type = quant_mix_file_type(job->options->mix);
    for (size_t i = 0; i < gguf_n_values(job->in); i++) {
        REALM_TRY(put_value(job, gguf_value_at(job->in, i), error));
    }
    if (file_type != QUANT_NO_FILE_TYPE) {
        REALM_TRY(gguf_writer_put_u32(job->writer, "general.file_type", file_type, error));
    }
    return gguf_writer_put_u32(
        job->writer, "general.quantization_version", QUANTIZATION_VERSION, error);
}

static realm_status begin_output(struct job *job, struct realm_error *error)
{
    REALM_TRY(gguf_writer_create(&job->writer, error));
    REALM_TRY(put_values(job, error));
    for (size_t i = 0; i < gguf_n_tensors(job->in); i++) {
        const struct gguf_tensor *const tensor = gguf_tensor_at(job->in, i);
        REALM_TRY(gguf_writer_add_tensor(
            job->writer, tensor->name, job->decisions[i].to, tensor->n_dims, tensor->shape, error));
    }
    return gguf_writer_begin(job->writer, job->options->out_path, error);
}

static realm_status tell(struct job *job, struct realm_error *error)
{
    const struct quantize_options *const options = job->options;
    if (options->progress != NULL &&
        !options->progress(options->progress_context, &job->progress)) {
        return realm_error_set(
            error, REALM_CANCELLED, "stopped; %s has not changed", options->out_path);
    }
    return REALM_OK;
}

static realm_status write_rows(
    void *context, const void *data, size_t n_bytes, uint64_t bytes_read, struct realm_error *error)
{
    struct job *const job = context;
    REALM_TRY(gguf_writer_data(job->writer, data, n_bytes, error));
    job->progress.bytes_done += bytes_read;
    job->summary.bytes_after += n_bytes;
    return tell(job, error);
}

static realm_status write_tensors(struct job *job, struct realm_error *error)
{
    job->progress = (struct quantize_progress){.n_tensors = gguf_n_tensors(job->in),
                                               .bytes_total = job->summary.bytes_before};
    for (size_t i = 0; i < job->progress.n_tensors; i++) {
        const struct gguf_tensor *const tensor = gguf_tensor_at(job->in, i);
        job->progress.tensor = tensor->name;
        job->progress.index = i;
        job->progress.from = tensor->type;
        job->progress.to = job->decisions[i].to;
        job->progress.fell_back = job->decisions[i].fell_back;
        job->progress.tensor_done = false;
        REALM_TRY(
            quantize_tensor(job->converter, tensor, job->progress.to, write_rows, job, error));
        gguf_forget_tensor(job->in, tensor);
        job->progress.tensor_done = true;
        REALM_TRY(tell(job, error));
    }
    return gguf_writer_commit(job->writer, error);
}

static realm_status run(struct job *job, struct realm_error *error)
{
    const struct quantize_options *const options = job->options;
    if (quant_mix_is_for_activations(options->mix) && !options->pure) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%s is a type for activations: Realm reads it as weights, other "
                               "programs do not; Q8_0 says as much, or give --pure",
                               quant_mix_name(options->mix));
    }
    if (is_part_of_input(options->in_path, options->out_path)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%s is the input; write to another file",
                               options->out_path);
    }
    REALM_TRY(gguf_open(options->in_path, &job->in, error));
    read_model(job);
    REALM_TRY(decide(job, error));
    REALM_TRY(quantize_converter_create(options->n_threads, &job->converter, error));
    REALM_TRY(begin_output(job, error));
    return write_tensors(job, error);
}

realm_status quantize_model(const struct quantize_options *options, struct realm_error *error)
{
    struct job job = {.options = options};
    const realm_status status = run(&job, error);
    if (status == REALM_OK && options->summary != NULL) {
        *options->summary = job.summary;
    }
    gguf_writer_destroy(job.writer);
    quantize_converter_destroy(job.converter);
    alloc_free(job.decisions);
    alloc_free(job.used);
    gguf_close(job.in);
    return status;
}
