#include "base/alloc.h"
#include "model/adapter_state.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_NAME_BYTES 128

static bool text_is(struct bytes text, const char *wanted)
{
    return text.length == strlen(wanted) && memcmp(text.data, wanted, text.length) == 0;
}

/* The key must be there and say `wanted`. */
static realm_status expect_text(const struct gguf *gguf,
                                const char *key,
                                const char *wanted,
                                const char *remedy,
                                struct realm_error *error)
{
    struct bytes text;
    REALM_TRY(gguf_get_string(gguf, key, &text, error));
    if (!text_is(text, wanted)) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "%s is \"%.*s\", not \"%s\": %s",
                               key,
                               text.length < 64 ? (int)text.length : 64,
                               (const char *)text.data,
                               wanted,
                               remedy);
    }
    return REALM_OK;
}

static realm_status check_kind(const struct gguf *gguf, struct realm_error *error)
{
    if (gguf_find(gguf, "general.type") == NULL) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "the file has no general.type: it is no adapter; a LoRA adapter as "
                               "convert_lora_to_gguf.py writes it is wanted");
    }
    REALM_TRY(expect_text(gguf, "general.type", "adapter", "a LoRA adapter is wanted", error));
    REALM_TRY(expect_text(
        gguf, "adapter.type", "lora", "other kinds of adapters are not known here", error));
    if (gguf_find(gguf, "adapter.alora.invocation_tokens") != NULL) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "adapter.alora.invocation_tokens: adapters that begin at a token "
                               "(aLoRA) are not known here");
    }
    return REALM_OK;
}

realm_status adapter_find_weight(const struct model *model,
                                 const char *name,
                                 const char *half,
                                 tensor_id *out,
                                 struct realm_error *error)
{
    const struct plan *const plan = model_plan(model);
    for (tensor_id i = 0; i < plan_n_tensors(plan); i++) {
        const struct plan_tensor *const tensor = plan_tensor(plan, i);
        if (tensor->kind == TENSOR_WEIGHT && strcmp(tensor->name, name) == 0) {
            *out = i;
            return REALM_OK;
        }
    }
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "tensor %s: the model %s has no weight %s; the adapter was made for "
                           "another base model",
                           half,
                           model_name(model),
                           name);
}

static realm_status check_type(const struct adapter_half *half, struct realm_error *error)
{
    switch (half->type) {
    case TENSOR_F32:
    case TENSOR_F16:
    case TENSOR_BF16:
    case TENSOR_Q8_0:
        return REALM_OK;
    default:
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "tensor %s is %s; an adapter's are F32, F16, BF16 or Q8_0",
                               half->name,
                               tensor_type_name(half->type));
    }
}

/* rows, columns: as the model and the rank want them. */
static realm_status check_half(const struct adapter_half *half,
                               uint64_t rows,
                               uint64_t columns,
                               const char *model_name,
                               struct realm_error *error)
{
    REALM_TRY(check_type(half, error));
    if (half->rows == rows && half->columns == columns) {
        return REALM_OK;
    }
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "tensor %s is %llu x %llu; for the model %s it must be %llu x %llu: the "
                           "adapter was made for another base model",
                           half->name,
                           (unsigned long long)half->rows,
                           (unsigned long long)half->columns,
                           model_name,
                           (unsigned long long)rows,
                           (unsigned long long)columns);
}

static struct adapter_matrix matrix_of(const struct adapter_half *half)
{
    return (struct adapter_matrix){
        .type = half->type,
        .bytes = {.data = half->data.data, .n_bytes = half->data.length},
    };
}

realm_status adapter_make_part(const struct model *model,
                               tensor_id weight,
                               const struct adapter_half *a,
                               const struct adapter_half *b,
                               struct adapter_part *out,
                               struct realm_error *error)
{
    const struct plan_tensor *const tensor = plan_tensor(model_plan(model), weight);
    const uint64_t rank = a->rows;
    if (rank == 0 || rank > ADAPTER_MAX_RANK) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s has rank %llu; allowed are 1 to %u",
                               a->name,
                               (unsigned long long)rank,
                               ADAPTER_MAX_RANK);
    }
    REALM_TRY(check_half(a, rank, tensor->columns, model_name(model), error));
    REALM_TRY(check_half(b, tensor->rows, rank, model_name(model), error));
    *out = (struct adapter_part){
        .weight = weight,
        .rank = (uint32_t)rank,
        .a = matrix_of(a),
        .b = matrix_of(b),
    };
    return REALM_OK;
}

/* One with more than two dimensions has rows that no weight has. */
static struct adapter_half half_of(const struct gguf_tensor *tensor)
{
    const bool flat = tensor->shape[2] == 1 && tensor->shape[3] == 1;
    return (struct adapter_half){
        .name = tensor->name,
        .type = tensor->type,
        .rows = flat ? tensor->shape[1] : UINT64_MAX,
        .columns = tensor->shape[0],
        .data = tensor->data,
    };
}

/* False: the name does not end so, or nothing is before it. */
static bool cut_ending(const char *name, const char *ending, char out[MAX_NAME_BYTES])
{
    const size_t n = strlen(name);
    const size_t n_ending = strlen(ending);
    if (n <= n_ending || n >= MAX_NAME_BYTES || strcmp(name + n - n_ending, ending) != 0) {
        return false;
    }
    memcpy(out, name, n - n_ending);
    out[n - n_ending] = '\0';
    return true;
}

/* The part whose A is this tensor. */
static realm_status read_part(const struct adapter *adapter,
                              const struct model *model,
                              const struct gguf_tensor *a,
                              const char *weight_name,
                              float alpha,
                              struct adapter_part *out,
                              struct realm_error *error)
{
    char name[MAX_NAME_BYTES + 8];
    tensor_id weight;
    REALM_TRY(adapter_find_weight(model, weight_name, a->name, &weight, error));
    (void)snprintf(name, sizeof name, "%s.lora_b", weight_name);
    const struct gguf_tensor *const b = gguf_find_tensor(adapter->gguf, name);
    if (b == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s is missing beside %s: the file is incomplete",
                               name,
                               a->name);
    }
    const struct adapter_half half_a = half_of(a);
    const struct adapter_half half_b = half_of(b);
    REALM_TRY(adapter_make_part(model, weight, &half_a, &half_b, out, error));
    out->scale = alpha == 0.0f ? 1.0f : alpha / (float)out->rank;
    return REALM_OK;
}

/* Every tensor must be one half of a part: what is left out would be missing from the answers. */
static realm_status read_parts(struct adapter *adapter,
                               const struct model *model,
                               float alpha,
                               struct realm_error *error)
{
    const size_t n = gguf_n_tensors(adapter->gguf);
    size_t n_halves = 0;
    adapter->parts = alloc_zeroed(ALLOC_MODEL, n / 2 + 1, sizeof *adapter->parts);
    if (adapter->parts == NULL) {
        return realm_error_out_of_memory(error, n / 2 * sizeof *adapter->parts, "an adapter");
    }
    for (size_t i = 0; i < n; i++) {
        const struct gguf_tensor *const tensor = gguf_tensor_at(adapter->gguf, i);
        char weight_name[MAX_NAME_BYTES];
        if (cut_ending(tensor->name, ".lora_b", weight_name)) {
            n_halves++;
            continue;
        }
        if (!cut_ending(tensor->name, ".lora_a", weight_name)) {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "tensor %s: an adapter's tensors end in .lora_a or .lora_b; "
                                   "without it the answers would be wrong",
                                   tensor->name);
        }
        if (adapter->n_parts > n / 2) { /* more As than there can be pairs */
            break;
        }
        struct adapter_part *const part = &adapter->parts[adapter->n_parts++];
        REALM_TRY(read_part(adapter, model, tensor, weight_name, alpha, part, error));
    }
    if (n == 0 || n_halves != adapter->n_parts) {
        return realm_error_set(
            error,
            REALM_INVALID_FORMAT,
            "%zu tensors end in .lora_b and %u in .lora_a; there must be as many, "
            "and at least one",
            n_halves,
            adapter->n_parts);
    }
    return REALM_OK;
}

static realm_status
read_gguf(struct adapter *adapter, const struct model *model, struct realm_error *error)
{
    float alpha;
    REALM_TRY(check_kind(adapter->gguf, error));
    REALM_TRY(expect_text(adapter->gguf,
                          "general.architecture",
                          model_architecture(model),
                          "the adapter was made for another base model",
                          error));
    REALM_TRY(gguf_get_f32(adapter->gguf, "adapter.lora.alpha", &alpha, error));
    if (!isfinite(alpha)) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "adapter.lora.alpha is not a finite number");
    }
    return read_parts(adapter, model, alpha, error);
}

static realm_status open_gguf(struct adapter *adapter,
                              const struct model *model,
                              struct bytes bytes,
                              struct realm_error *error)
{
    REALM_TRY(gguf_open_bytes(bytes, &adapter->gguf, error));
    return read_gguf(adapter, model, error);
}

static realm_status open_peft(struct adapter *adapter,
                              const struct model *model,
                              struct bytes bytes,
                              struct realm_error *error)
{
    const realm_status status = safetensors_open(bytes, &adapter->safetensors, error);
    return status == REALM_OK ? adapter_read_peft(adapter, model, error)
                              : realm_error_prefix(error, status, "neither GGUF nor safetensors");
}

static bool is_gguf(struct bytes bytes)
{
    return bytes.length >= 4 && memcmp(bytes.data, "GGUF", 4) == 0;
}

realm_status adapter_open(const struct model *model,
                          struct bytes bytes,
                          struct adapter **out,
                          struct realm_error *error)
{
    *out = NULL;
    struct adapter *const adapter = alloc_zeroed(ALLOC_MODEL, 1, sizeof *adapter);
    if (adapter == NULL) {
        return realm_error_out_of_memory(error, sizeof *adapter, "an adapter");
    }
    const realm_status status = is_gguf(bytes) ? open_gguf(adapter, model, bytes, error)
                                               : open_peft(adapter, model, bytes, error);
    if (status != REALM_OK) {
        adapter_close(adapter);
        return status;
    }
    *out = adapter;
    return REALM_OK;
}

void adapter_close(struct adapter *adapter)
{
    if (adapter == NULL) {
        return;
    }
    gguf_close(adapter->gguf);
    safetensors_close(adapter->safetensors);
    for (uint32_t i = 0; adapter->owned != NULL && i < adapter->n_parts; i++) {
        alloc_free(adapter->owned[i]);
    }
    alloc_free(adapter->owned);
    alloc_free(adapter->parts);
    alloc_free(adapter);
}

const struct adapter_part *adapter_parts(const struct adapter *adapter, uint32_t *n_parts)
{
    *n_parts = adapter->n_parts;
    return adapter->parts;
}
