#include "model/weights.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

/* Longer ones do not occur: GGUF itself ends names at 64 bytes. */
#define MAX_NAME_BYTES 96

static void full_name(const struct weights *weights, const char *role, char out[MAX_NAME_BYTES])
{
    if (weights->layer == WEIGHTS_NO_LAYER) {
        (void)snprintf(out, MAX_NAME_BYTES, "%s", role);
    } else {
        (void)snprintf(out, MAX_NAME_BYTES, "blk.%u.%s", weights->layer, role);
    }
}

static bool failed(const struct weights *weights)
{
    return weights->first_error.status != REALM_OK;
}

static const struct gguf_tensor *find(const struct weights *weights, const char *role)
{
    char name[MAX_NAME_BYTES];
    full_name(weights, role, name);
    return gguf_find_tensor(weights->gguf, name);
}

bool weights_has(const struct weights *weights, const char *role)
{
    return find(weights, role) != NULL;
}

static const struct gguf_tensor *find_needed(struct weights *weights, const char *role)
{
    if (failed(weights)) {
        return NULL;
    }
    const struct gguf_tensor *const tensor = find(weights, role);
    if (tensor == NULL) {
        char name[MAX_NAME_BYTES];
        full_name(weights, role, name);
        realm_error_set(&weights->first_error,
                        REALM_INVALID_FORMAT,
                        "tensor %s is missing from the file",
                        name);
    }
    return tensor;
}

static bool has_shape(const struct gguf_tensor *tensor, uint64_t rows, uint64_t columns)
{
    return tensor->shape[0] == columns && tensor->shape[1] == rows && tensor->shape[2] == 1 &&
           tensor->shape[3] == 1;
}

static tensor_id
add(struct weights *weights, const struct gguf_tensor *tensor, uint32_t rows, uint32_t columns)
{
    if (!has_shape(tensor, rows, columns)) {
        realm_error_set(
            &weights->first_error,
            REALM_INVALID_FORMAT,
            "tensor %s is %llu x %llu x %llu x %llu; the metadata ask for %u rows of %u "
            "columns",
            tensor->name,
            (unsigned long long)tensor->shape[1],
            (unsigned long long)tensor->shape[0],
            (unsigned long long)tensor->shape[2],
            (unsigned long long)tensor->shape[3],
            rows,
            columns);
        return TENSOR_NONE;
    }
    weights->n_used++;
    return plan_weight(weights->plan, tensor->name, tensor->type, rows, columns, tensor);
}

/* What the forward pass can multiply with: all float and block types, no integers. */
static bool can_multiply(enum tensor_type type)
{
    const struct tensor_type_info *const info = tensor_type_find((uint32_t)type);
    return info != NULL &&
           (info->quantised || type == TENSOR_F32 || type == TENSOR_F16 || type == TENSOR_BF16);
}

tensor_id weights_matrix(struct weights *weights, const char *role, uint32_t rows, uint32_t columns)
{
    const struct gguf_tensor *const tensor = find_needed(weights, role);
    if (tensor == NULL) {
        return TENSOR_NONE;
    }
    if (!can_multiply(tensor->type)) {
        realm_error_set(&weights->first_error,
                        REALM_UNSUPPORTED,
                        "tensor %s is %s; matrices can be F32, F16, BF16 or quantised",
                        tensor->name,
                        tensor_type_name(tensor->type));
        return TENSOR_NONE;
    }
    return add(weights, tensor, rows, columns);
}

tensor_id weights_vector(struct weights *weights, const char *role, uint32_t columns)
{
    const struct gguf_tensor *const tensor = find_needed(weights, role);
    if (tensor == NULL) {
        return TENSOR_NONE;
    }
    if (tensor->type != TENSOR_F32) {
        realm_error_set(&weights->first_error,
                        REALM_UNSUPPORTED,
                        "tensor %s is %s; vectors must be F32",
                        tensor->name,
                        tensor_type_name(tensor->type));
        return TENSOR_NONE;
    }
    return add(weights, tensor, 1, columns);
}

tensor_id weights_optional_vector(struct weights *weights, const char *role, uint32_t columns)
{
    return weights_has(weights, role) ? weights_vector(weights, role, columns) : TENSOR_NONE;
}

tensor_id weights_optional_factors(struct weights *weights, const char *role, uint32_t columns)
{
    const tensor_id id = weights_optional_vector(weights, role, columns);
    const struct gguf_tensor *const tensor = id == TENSOR_NONE ? NULL : find(weights, role);
    for (uint32_t i = 0; tensor != NULL && i < columns; i++) {
        float factor;
        memcpy(&factor, tensor->data.data + i * sizeof factor, sizeof factor);
        if (!(factor > 0.0f && factor <= FLT_MAX)) {
            realm_error_set(&weights->first_error,
                            REALM_INVALID_FORMAT,
                            "tensor %s: factor %u is %g; allowed are numbers above 0",
                            tensor->name,
                            i,
                            (double)factor);
            return TENSOR_NONE;
        }
    }
    return id;
}

void weights_skip(struct weights *weights, const char *role)
{
    weights->skipped = find(weights, role);
    weights->n_used += weights->skipped != NULL;
}

uint32_t weights_rows(struct weights *weights, const char *role, uint32_t max_rows)
{
    const struct gguf_tensor *const tensor = find_needed(weights, role);
    if (tensor == NULL) {
        return 0;
    }
    if (tensor->shape[1] > max_rows) {
        realm_error_set(&weights->first_error,
                        REALM_INVALID_FORMAT,
                        "tensor %s has %llu rows; allowed are 1 to %u",
                        tensor->name,
                        (unsigned long long)tensor->shape[1],
                        max_rows);
        return 0;
    }
    return (uint32_t)tensor->shape[1];
}

/* Files of models that also see pictures carry the encoder ("v.") and its bridge ("mm."). */
static bool of_other_tower(const struct gguf_tensor *tensor)
{
    return strncmp(tensor->name, "v.", 2) == 0 || strncmp(tensor->name, "mm.", 3) == 0;
}

static bool in_plan(const struct plan *plan, const struct gguf_tensor *tensor)
{
    for (tensor_id i = 0; i < plan_n_tensors(plan); i++) {
        if (plan_tensor(plan, i)->source == tensor) {
            return true;
        }
    }
    return false;
}

realm_status weights_check_all_used(const struct weights *weights,
                                    const char *architecture,
                                    struct realm_error *error)
{
    const size_t n = gguf_n_tensors(weights->gguf);
    uint64_t n_known = weights->n_used;
    for (size_t i = 0; i < n; i++) {
        n_known += of_other_tower(gguf_tensor_at(weights->gguf, i));
    }
    if (n_known == n) {
        return REALM_OK;
    }
    for (size_t i = 0; i < n; i++) {
        const struct gguf_tensor *const tensor = gguf_tensor_at(weights->gguf, i);
        if (tensor != weights->skipped && !of_other_tower(tensor) &&
            !in_plan(weights->plan, tensor)) {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "tensor %s has no place in architecture %s; without it the "
                                   "answers would be wrong",
                                   tensor->name,
                                   architecture);
        }
    }
    return REALM_OK;
}
