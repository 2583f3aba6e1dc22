/* Adapters as PEFT saves them.  https://github.com/huggingface/peft, LoraConfig and
 * get_peft_model_state_dict. */
#include "base/alloc.h"
#include "base/checked.h"
#include "base/json_scan.h"
#include "model/adapter_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ENDING_A ".lora_A.weight"
#define ENDING_B ".lora_B.weight"

/* --- adapter_config.json -----------------------------------------------------------------------
 */

struct config {
    char type[32];
    char bias[32];
    double alpha;        /* 0: it is missing */
    bool by_root;        /* the scale is alpha / sqrt(rank) */
    const char *refused; /* a setting that changes the numbers in a way that is not known here */
};

/* A setting that may only be off. */
static void read_off(struct json_scan *scan, const char *name, struct config *config)
{
    bool on = false;
    if (json_scan_null(scan)) {
        return;
    }
    if (json_scan_bool(scan, &on) && on) {
        config->refused = name;
    }
}

/* One that may only be null or an object without members. */
static void read_empty(struct json_scan *scan, const char *name, struct config *config)
{
    char key[2];
    bool first = true;
    if (json_scan_null(scan) || !json_scan_object(scan)) {
        return;
    }
    while (json_scan_member(scan, &first, key, sizeof key)) {
        config->refused = name;
        (void)json_scan_skip(scan);
    }
}

static void read_setting(struct json_scan *scan, const char *key, struct config *config)
{
    if (strcmp(key, "peft_type") == 0) {
        (void)json_scan_string(scan, config->type, sizeof config->type);
    } else if (strcmp(key, "bias") == 0) {
        (void)json_scan_string(scan, config->bias, sizeof config->bias);
    } else if (strcmp(key, "lora_alpha") == 0) {
        (void)json_scan_number(scan, &config->alpha);
    } else if (strcmp(key, "use_rslora") == 0) {
        (void)(json_scan_null(scan) || json_scan_bool(scan, &config->by_root));
    } else if (strcmp(key, "use_dora") == 0) {
        read_off(scan, "use_dora", config);
    } else if (strcmp(key, "fan_in_fan_out") == 0) {
        read_off(scan, "fan_in_fan_out", config);
    } else if (strcmp(key, "alpha_pattern") == 0) {
        read_empty(scan, "alpha_pattern", config);
    } else {
        (void)json_scan_skip(scan);
    }
}

static realm_status read_config(const char *text, struct config *config, struct realm_error *error)
{
    *config = (struct config){.bias = "none"};
    if (text == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the safetensors file has no \"" SAFETENSORS_CONFIG
                               "\" in its metadata; push the folder that PEFT saved, with realm "
                               "adapter push NAME FOLDER");
    }
    struct json_scan scan =
        json_scan_of((struct bytes){.data = (const uint8_t *)text, .length = strlen(text)});
    char key[32];
    bool first = true;
    if (json_scan_object(&scan)) {
        while (json_scan_member(&scan, &first, key, sizeof key)) {
            read_setting(&scan, key, config);
        }
    }
    if (!json_scan_end(&scan)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               SAFETENSORS_CONFIG " is wrong at byte %zu: %s",
                               scan.at,
                               scan.wrong);
    }
    if (strcmp(config->type, "LORA") != 0) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               SAFETENSORS_CONFIG ": peft_type is \"%s\", not \"LORA\"",
                               config->type);
    }
    config->refused = strcmp(config->bias, "none") != 0 ? "bias" : config->refused;
    if (config->refused != NULL) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               SAFETENSORS_CONFIG ": %s is set, which is not known here",
                               config->refused);
    }
    if (!isfinite(config->alpha) || config->alpha == 0.0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               SAFETENSORS_CONFIG ": lora_alpha is missing, or no finite number "
                                                  "other than 0");
    }
    return REALM_OK;
}

/* --- names -------------------------------------------------------------------------------------
 */

static const struct {
    const char *module;
    const char *role; /* in GGUF files */
} modules[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
};

/* Behind the prefix, where the text begins with it. */
static const char *behind(const char *text, const char *prefix)
{
    const size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : text;
}

/* "base_model.model.model.layers.3.self_attn.q_proj", its ending cut off, as GGUF calls it.  False:
 * it is none of those that are known. */
static bool gguf_name(const char *module, char out[SAFETENSORS_NAME_BYTES])
{
    const char *at = behind(behind(module, "base_model.model."), "model.");
    at = behind(at, "language_model.");
    if (strcmp(at, "lm_head") == 0) {
        (void)snprintf(out, SAFETENSORS_NAME_BYTES, "output.weight");
        return true;
    }
    const char *const layer = behind(at, "layers.");
    const size_t n_digits = strspn(layer, "0123456789");
    if (layer == at || n_digits == 0 || n_digits > 5 || layer[n_digits] != '.') {
        return false;
    }
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        if (strcmp(layer + n_digits + 1, modules[i].module) == 0) {
            (void)snprintf(out,
                           SAFETENSORS_NAME_BYTES,
                           "blk.%u.%s.weight",
                           (unsigned)strtoul(layer, NULL, 10),
                           modules[i].role);
            return true;
        }
    }
    return false;
}

/* --- parts -------------------------------------------------------------------------------------
 */

static struct adapter_half half_of(const struct safetensor *tensor)
{
    return (struct adapter_half){
        .name = tensor->name,
        .type = tensor->type,
        .rows = tensor->rows,
        .columns = tensor->columns,
        .data = tensor->data,
    };
}

/* Heads whose rows stand in another order in the model's file; 0: they are as PEFT has them. */
static uint32_t permuted_heads(const struct model *model, const char *weight_name)
{
    const struct hparams *const h = model_hparams(model);
    if (strcmp(model_architecture(model), "llama") != 0) {
        return 0;
    }
    return strstr(weight_name, ".attn_q.") != NULL   ? h->n_heads
           : strstr(weight_name, ".attn_k.") != NULL ? h->n_kv_heads
                                                     : 0;
}

/* Rows of B so that pairs of a head that rotate together are neighbours.  *owned: the copy. */
static realm_status permute(const struct model *model,
                            struct adapter_part *part,
                            void **owned,
                            struct realm_error *error)
{
    const uint32_t rows = plan_tensor(model_plan(model), part->weight)->rows;
    const uint32_t head = model_hparams(model)->head_columns;
    const size_t row_bytes = part->b.bytes.n_bytes / rows;
    uint8_t *const copy = alloc_bytes(ALLOC_MODEL, part->b.bytes.n_bytes);
    if (copy == NULL) {
        return realm_error_out_of_memory(error, part->b.bytes.n_bytes, "an adapter");
    }
    for (uint32_t row = 0; row < rows; row++) {
        const uint32_t in_head = row % head;
        const uint32_t from = row - in_head + in_head % 2 * (head / 2) + in_head / 2;
        memcpy(copy + row * row_bytes,
               (const uint8_t *)part->b.bytes.data + from * row_bytes,
               row_bytes);
    }
    part->b.bytes.data = copy;
    *owned = copy;
    return REALM_OK;
}

/* module: the name of A without its ending. */
static realm_status read_part(struct adapter *adapter,
                              const struct model *model,
                              const struct config *config,
                              const struct safetensor *a,
                              const char *module,
                              struct realm_error *error)
{
    char name[SAFETENSORS_NAME_BYTES + 16];
    char weight_name[SAFETENSORS_NAME_BYTES];
    tensor_id weight;
    (void)snprintf(name, sizeof name, "%s" ENDING_B, module);
    const struct safetensor *const b = safetensors_find(adapter->safetensors, name);
    if (b == NULL) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s is missing beside %s: the file is incomplete",
                               name,
                               a->name);
    }
    if (!gguf_name(module, weight_name)) {
        return realm_error_set(
            error, REALM_UNSUPPORTED, "tensor %s is for a module that is not known here", a->name);
    }
    REALM_TRY(adapter_find_weight(model, weight_name, a->name, &weight, error));
    const struct adapter_half half_a = half_of(a);
    const struct adapter_half half_b = half_of(b);
    struct adapter_part *const part = &adapter->parts[adapter->n_parts];
    REALM_TRY(adapter_make_part(model, weight, &half_a, &half_b, part, error));
    const double rank = part->rank;
    part->scale = (float)(config->alpha / (config->by_root ? sqrt(rank) : rank));
    void **const owned = &adapter->owned[adapter->n_parts++];
    return permuted_heads(model, weight_name) > 0 ? permute(model, part, owned, error) : REALM_OK;
}

/* False: the name does not end so, or nothing is before it. */
static bool cut_ending(const char *name, const char *ending, char out[SAFETENSORS_NAME_BYTES])
{
    const size_t n = strlen(name);
    const size_t n_ending = strlen(ending);
    if (n <= n_ending || strcmp(name + n - n_ending, ending) != 0) {
        return false;
    }
    memcpy(out, name, n - n_ending);
    out[n - n_ending] = '\0';
    return true;
}

realm_status
adapter_read_peft(struct adapter *adapter, const struct model *model, struct realm_error *error)
{
    struct config config;
    const uint32_t n = safetensors_n(adapter->safetensors);
    uint32_t n_halves = 0;
    REALM_TRY(read_config(safetensors_config(adapter->safetensors), &config, error));
    adapter->parts = alloc_zeroed(ALLOC_MODEL, (size_t)n + 1, sizeof *adapter->parts);
    adapter->owned = alloc_zeroed(ALLOC_MODEL, (size_t)n + 1, sizeof *adapter->owned);
    if (adapter->parts == NULL || adapter->owned == NULL) {
        return realm_error_out_of_memory(error, n * sizeof *adapter->parts, "an adapter");
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct safetensor *const tensor = safetensors_at(adapter->safetensors, i);
        char module[SAFETENSORS_NAME_BYTES];
        if (cut_ending(tensor->name, ENDING_B, module)) {
            n_halves++;
        } else if (cut_ending(tensor->name, ENDING_A, module)) {
            REALM_TRY(read_part(adapter, model, &config, tensor, module, error));
        } else {
            return realm_error_set(error,
                                   REALM_UNSUPPORTED,
                                   "tensor %s: an adapter's tensors end in " ENDING_A
                                   " or " ENDING_B "; without it the answers would be wrong",
                                   tensor->name);
        }
    }
    if (n_halves == 0 || n_halves != adapter->n_parts) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "%u tensors end in " ENDING_B " and %u in " ENDING_A
                               "; there must be as many, and at least one",
                               n_halves,
                               adapter->n_parts);
    }
    return REALM_OK;
}
