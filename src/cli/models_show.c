/* realm models show: what stands in a model file, whether or not Realm can run it. */
#include "cli/json_out.h"
#include "cli/models.h"
#include "cli/paths.h"
#include "cli/term.h"
#include "gguf/gguf.h"
#include "model/model.h"

#include <string.h>

#define SHOWN_ITEMS 6u   /* of an array, in the table */
#define SHOWN_BYTES 160u /* of a text, in the table */

struct show {
    const char *path;
    const struct gguf *gguf;
    const struct model *model; /* NULL: Realm cannot run it */
    const struct realm_error *trouble;
    bool tensors;
    bool all;
};

static uint64_t item_bytes(enum gguf_value_type type)
{
    static const uint8_t bytes[] = {
        [GGUF_U8] = 1,
        [GGUF_I8] = 1,
        [GGUF_U16] = 2,
        [GGUF_I16] = 2,
        [GGUF_U32] = 4,
        [GGUF_I32] = 4,
        [GGUF_F32] = 4,
        [GGUF_BOOL] = 1,
        [GGUF_U64] = 8,
        [GGUF_I64] = 8,
        [GGUF_F64] = 8,
    };
    return (size_t)type < sizeof bytes ? bytes[type] : 0;
}

/* A number of an array's packed items; text is "" for what is no number. */
static void put_item(struct json_out *out, enum gguf_value_type type, const uint8_t *at)
{
    uint64_t bits = 0;
    const uint64_t n = item_bytes(type);
    for (uint64_t i = 0; i < n; i++) {
        bits |= (uint64_t)at[i] << (8 * i);
    }
    switch (type) {
    case GGUF_F32: {
        const uint32_t low = (uint32_t)bits;
        float number;
        memcpy(&number, &low, sizeof number);
        json_out_f64(out, NULL, (double)number, 9);
        break;
    }
    case GGUF_F64: {
        double number;
        memcpy(&number, &bits, sizeof number);
        json_out_f64(out, NULL, number, 17);
        break;
    }
    case GGUF_BOOL:
        json_out_bool(out, NULL, bits != 0);
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: {
        const unsigned shift = (unsigned)(64 - 8 * n) % 64;
        json_out_i64(out, NULL, (int64_t)(bits << shift) >> shift);
        break;
    }
    default:
        json_out_u64(out, NULL, bits);
        break;
    }
}

static void
put_array(struct json_out *out, const char *key, const struct gguf_value *value, uint64_t most)
{
    const uint64_t n = value->n_items < most ? value->n_items : most;
    json_out_begin_array(out, key);
    for (uint64_t i = 0; i < n; i++) {
        if (value->item_type == GGUF_STRING) {
            json_out_bytes(out, NULL, value->strings[i]);
        } else if (value->item_type != GGUF_ARRAY) {
            put_item(out, value->item_type, value->bytes.data + i * item_bytes(value->item_type));
        }
    }
    json_out_end_array(out);
}

static void
put_value(struct json_out *out, const char *key, const struct gguf_value *value, uint64_t most)
{
    switch (value->type) {
    case GGUF_STRING:
        json_out_bytes(out, key, value->bytes);
        break;
    case GGUF_ARRAY:
        put_array(out, key, value, most);
        break;
    case GGUF_BOOL:
        json_out_bool(out, key, value->scalar.boolean);
        break;
    case GGUF_F32:
        json_out_f64(out, key, value->scalar.f64, 9);
        break;
    case GGUF_F64:
        json_out_f64(out, key, value->scalar.f64, 17);
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        json_out_i64(out, key, value->scalar.i64);
        break;
    default:
        json_out_u64(out, key, value->scalar.u64);
        break;
    }
}

static void put_tensor(struct json_out *out, const struct gguf_tensor *tensor)
{
    json_out_begin_object(out, NULL);
    json_out_text(out, "name", tensor->name);
    json_out_text(out, "type", tensor_type_name(tensor->type));
    json_out_begin_array(out, "shape");
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        json_out_u64(out, NULL, tensor->shape[i]);
    }
    json_out_end_array(out);
    json_out_u64(out, "bytes", tensor->data.length);
    json_out_end_object(out);
}

static void put_summary(struct json_out *out, const struct show *show)
{
    const struct model *const model = show->model;
    json_out_text(out, "path", show->path);
    json_out_u64(out, "gguf_version", gguf_version(show->gguf));
    json_out_u64(out, "bytes", gguf_file_bytes(show->gguf));
    json_out_u64(out, "n_tensors", gguf_n_tensors(show->gguf));
    if (model == NULL) {
        json_out_text(out, "error", show->trouble->message);
        return;
    }
    const struct hparams *const h = model_hparams(model);
    json_out_text(out, "name", model_name(model));
    json_out_text(out, "architecture", model_architecture(model));
    json_out_text(out, "type", model_file_type_name(model));
    json_out_u64(out, "parameters", model_n_parameters(model));
    json_out_u64(out, "context_length", model_context_length(model));
    json_out_u64(out, "layers", h->n_layers);
    json_out_u64(out, "width", h->width);
    json_out_u64(out, "heads", h->n_heads);
    json_out_u64(out, "kv_heads", h->n_kv_heads);
    json_out_u64(out, "vocabulary", model_vocabulary(model));
}

static realm_status show_json(const struct show *show, struct realm_error *error)
{
    struct json_out out;
    json_out_init(&out);
    json_out_begin_object(&out, NULL);
    put_summary(&out, show);
    json_out_begin_object(&out, "metadata");
    for (size_t i = 0; i < gguf_n_values(show->gguf); i++) {
        const struct gguf_value *const value = gguf_value_at(show->gguf, i);
        put_value(&out, value->key, value, show->all ? UINT64_MAX : SHOWN_ITEMS);
    }
    json_out_end_object(&out);
    if (show->tensors) {
        json_out_begin_array(&out, "tensors");
        for (size_t i = 0; i < gguf_n_tensors(show->gguf); i++) {
            put_tensor(&out, gguf_tensor_at(show->gguf, i));
        }
        json_out_end_array(&out);
    }
    json_out_end_object(&out);
    return json_out_print(&out, error);
}

static void print_text(const char *text, size_t n_bytes, bool all)
{
    const size_t n = all || n_bytes <= SHOWN_BYTES ? n_bytes : SHOWN_BYTES;
    term_write(stdout, (struct bytes){.data = (const uint8_t *)text, .length = n});
    printf("%s\n", n < n_bytes ? " ..." : "");
}

/* Values look as in JSON: quotes and escapes keep a template of many lines on one. */
static void print_value(const struct show *show, const struct gguf_value *value)
{
    struct json_out text;
    json_out_init(&text);
    put_value(&text, NULL, value, show->all ? UINT64_MAX : SHOWN_ITEMS);
    printf("  %-42s ", value->key);
    if (value->type == GGUF_ARRAY) {
        printf("%llu: ", (unsigned long long)value->n_items);
    }
    print_text(text.text.text, text.text.length, show->all);
    json_out_deinit(&text);
}

static void print_tensor(const struct gguf_tensor *tensor)
{
    char bytes[16];
    char shape[96] = "";
    size_t n = 0;
    for (uint32_t i = tensor->n_dims; i > 0 && n < sizeof shape; i--) {
        n += (size_t)snprintf(shape + n,
                              sizeof shape - n,
                              "%s%llu",
                              n > 0 ? " x " : "",
                              (unsigned long long)tensor->shape[i - 1]);
    }
    printf("  %-32s %-6s %-22s %10s\n",
           tensor->name,
           tensor_type_name(tensor->type),
           shape,
           term_bytes(tensor->data.length, bytes));
}

static realm_status show_table(const struct show *show)
{
    char bytes[16];
    printf("File          %s (GGUF %u, %s)\n",
           show->path,
           gguf_version(show->gguf),
           term_bytes(gguf_file_bytes(show->gguf), bytes));
    if (show->model != NULL) {
        const struct hparams *const h = model_hparams(show->model);
        printf("Model         %s\nArchitecture  %s, %.0f M parameters, %s\n"
               "Shape         %u layers, %u columns, %u heads (%u of keys), %u tokens known\n"
               "Context       %u tokens\n",
               model_name(show->model),
               model_architecture(show->model),
               (double)model_n_parameters(show->model) / 1e6,
               model_file_type_name(show->model),
               h->n_layers,
               h->width,
               h->n_heads,
               h->n_kv_heads,
               model_vocabulary(show->model),
               model_context_length(show->model));
    } else {
        printf("Unusable      %s\n", show->trouble->message);
    }
    printf("\nMetadata (%zu)\n", gguf_n_values(show->gguf));
    for (size_t i = 0; i < gguf_n_values(show->gguf); i++) {
        print_value(show, gguf_value_at(show->gguf, i));
    }
    if (show->tensors) {
        printf("\nTensors (%zu), rows x columns\n", gguf_n_tensors(show->gguf));
        for (size_t i = 0; i < gguf_n_tensors(show->gguf); i++) {
            print_tensor(gguf_tensor_at(show->gguf, i));
        }
    }
    return REALM_OK;
}

static realm_status show_model(struct show *show, bool json, struct realm_error *error)
{
    struct gguf *gguf;
    struct model *model;
    struct realm_error trouble;
    REALM_TRY(gguf_open(show->path, &gguf, error));
    if (model_open(show->path, NULL, &model, &trouble) != REALM_OK) {
        model = NULL;
    }
    show->gguf = gguf;
    show->model = model;
    show->trouble = &trouble;
    const realm_status status = json ? show_json(show, error) : show_table(show);
    show->trouble = NULL;
    model_close(model);
    gguf_close(gguf);
    return status;
}

realm_status models_show(int argc, char **argv, struct realm_error *error)
{
    char path[PATHS_BYTES];
    bool json = false;
    struct show show = {.path = path};
    const struct arg_option options[] = {
        {"tensors", 0, ARG_FLAG, &show.tensors, NULL, "list the tensors too", 0, 0},
        {"all", 0, ARG_FLAG, &show.all, NULL, "long texts and arrays in full", 0, 0},
        {"json", 0, ARG_FLAG, &json, NULL, "for machines", 0, 0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm models show MODEL [--tensors] [--all] [--json]",
        .summary = "Shows what stands in a model file (a path, or a name of `realm models list`).",
        .examples = "  realm models show smollm2 --tensors\n"
                    "  realm models show model.gguf --json | jq .metadata\n",
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
    REALM_TRY(paths_find_model(operands.items[0], path, error));
    return show_model(&show, json, error);
}
