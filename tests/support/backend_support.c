#include "support/backend_support.h"

#include "quant/quant.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_STEP_ROWS      1024
#define MAX_STEP_SEQUENCES 64

static void must(realm_status status, const struct realm_error *error)
{
    if (status != REALM_OK) {
        (void)fprintf(stderr, "not expected: %s\n", error->message);
        abort();
    }
}

static void *must_have(void *memory)
{
    if (memory == NULL) {
        (void)fprintf(stderr, "no memory\n");
        abort();
    }
    return memory;
}

void bank_init(struct bank *bank, const char *test_name)
{
    struct realm_error error;
    memset(bank, 0, sizeof *bank);
    test_random_init(&bank->random, test_name);
    must(plan_create(&bank->plan, &error), &error);
}

void bank_deinit(struct bank *bank)
{
    for (uint32_t i = 0; i < bank->n_weights; i++) {
        free(bank->weights[i].data);
    }
    plan_destroy(bank->plan);
}

float bank_random(struct bank *bank)
{
    return (float)(int64_t)test_random_below(&bank->random, 2000001) / 1000000.0f - 1.0f;
}

tensor_id bank_add(struct bank *bank,
                   const char *name,
                   enum tensor_type type,
                   uint32_t rows,
                   uint32_t columns,
                   float middle,
                   float spread)
{
    const struct quant_type *const quant = quant_find(type);
    uint64_t row_bytes;
    if (bank->n_weights == BANK_MAX_WEIGHTS || quant == NULL ||
        !tensor_type_row_bytes(type, columns, &row_bytes)) {
        (void)fprintf(stderr, "weight %s cannot be made\n", name);
        abort();
    }
    struct bank_weight *const weight = &bank->weights[bank->n_weights++];
    weight->n_bytes = (size_t)row_bytes * rows;
    weight->data = must_have(malloc(weight->n_bytes));
    float *const values = must_have(malloc(columns * sizeof *values));
    for (uint32_t row = 0; row < rows; row++) {
        for (uint32_t c = 0; c < columns; c++) {
            values[c] = middle + spread * bank_random(bank);
        }
        quant->quantise_row(values, NULL, (char *)weight->data + row * row_bytes, columns);
    }
    free(values);
    return plan_weight(bank->plan, name, type, rows, columns, weight);
}

static struct bytes_view bank_read(void *context, const struct plan_tensor *tensor)
{
    (void)context;
    const struct bank_weight *const weight = tensor->source;
    return (struct bytes_view){.data = weight->data, .n_bytes = weight->n_bytes};
}

static void bank_done(void *context, const struct plan_tensor *tensor)
{
    (void)tensor;
    ((struct bank *)context)->n_done++;
}

struct weight_source bank_source(struct bank *bank)
{
    return (struct weight_source){.context = bank, .read = bank_read, .done = bank_done};
}

struct small_builder {
    struct bank *bank;
    struct plan *plan;
    const struct small_shape *shape;
    uint32_t n_matrices;
};

static tensor_id matrix(struct small_builder *b, const char *name, uint32_t rows, uint32_t columns)
{
    const enum tensor_type type = b->shape->types[b->n_matrices++ % 3];
    return bank_add(b->bank, name, type, rows, columns, 0.0f, 2.0f / sqrtf((float)columns));
}

static tensor_id norm(struct small_builder *b, const char *name, tensor_id x)
{
    const uint32_t n = b->shape->columns;
    const tensor_id weight = bank_add(b->bank, name, TENSOR_F32, 1, n, 1.0f, 0.3f);
    return plan_append_rms_norm(b->plan, name, x, weight, 1e-5f, 0);
}

static tensor_id head_norm(struct small_builder *b, const char *name, tensor_id x)
{
    const uint32_t n = b->shape->head_columns;
    const tensor_id weight = bank_add(b->bank, name, TENSOR_F32, 1, n, 1.0f, 0.3f);
    return plan_append_rms_norm(b->plan, name, x, weight, 1e-6f, n);
}

static tensor_id attention_block(struct small_builder *b, tensor_id normed, uint32_t layer)
{
    const struct small_shape *const s = b->shape;
    const uint32_t q_columns = s->n_heads * s->head_columns;
    const uint32_t kv_columns = s->n_kv_heads * s->head_columns;
    const tensor_id qkv_weights[3] = {matrix(b, "q", q_columns, s->columns),
                                      matrix(b, "k", kv_columns, s->columns),
                                      matrix(b, "v", kv_columns, s->columns)};
    const tensor_id biases[3] = {
        TENSOR_NONE, bank_add(b->bank, "k_bias", TENSOR_F32, 1, kv_columns, 0, 0.5f), TENSOR_NONE};
    const tensor_id qkv =
        plan_append_matmul(b->plan, "qkv", normed, qkv_weights, s->gemma ? NULL : biases, 3);
    tensor_id q = plan_view(b->plan, qkv, 0, q_columns);
    tensor_id k = plan_view(b->plan, qkv, q_columns, kv_columns);
    const tensor_id v = plan_view(b->plan, qkv, q_columns + kv_columns, kv_columns);
    const struct rope_attributes rope = {
        .pairing = layer % 2 == 0 ? ROPE_HALVES : ROPE_ADJACENT,
        .head_columns = s->head_columns,
        .rotated_columns = s->head_columns / 4 * 2,
        .base = layer % 2 == 0 ? 10000.0f : 500.0f,
        .position_scale = 1.0f,
        .magnitude = 1.0f,
        .factors = TENSOR_NONE,
    };
    if (s->gemma) {
        q = head_norm(b, "q_norm", q);
        k = head_norm(b, "k_norm", k);
    }
    plan_append_rope(b->plan, "q_rope", q, &rope);
    plan_append_rope(b->plan, "k_rope", k, &rope);
    const struct attention_attributes attention = {
        .layer = layer,
        .n_heads = s->n_heads,
        .n_kv_heads = s->n_kv_heads,
        .head_columns = s->head_columns,
        .scale = 1.0f / sqrtf((float)s->head_columns),
        .window = layer % 2 == 1 ? s->window : 0,
    };
    const tensor_id mixed = plan_append_attention(b->plan, "attention", q, k, v, &attention);
    const tensor_id out_weight = matrix(b, "o", s->columns, q_columns);
    return plan_append_matmul(b->plan, "o", mixed, &out_weight, NULL, 1);
}

static tensor_id ffn_block(struct small_builder *b, tensor_id normed)
{
    const struct small_shape *const s = b->shape;
    const tensor_id weights[2] = {matrix(b, "gate", s->ffn_columns, s->columns),
                                  matrix(b, "up", s->ffn_columns, s->columns)};
    const tensor_id gate_up = plan_append_matmul(b->plan, "gate_up", normed, weights, NULL, 2);
    const tensor_id gate = plan_view(b->plan, gate_up, 0, s->ffn_columns);
    const tensor_id up = plan_view(b->plan, gate_up, s->ffn_columns, s->ffn_columns);
    const tensor_id product = s->gemma ? plan_append_gelu_mul(b->plan, "gelu", gate, up)
                                       : plan_append_silu_mul(b->plan, "silu", gate, up);
    const tensor_id down = matrix(b, "down", s->columns, s->ffn_columns);
    return plan_append_matmul(b->plan, "down", product, &down, NULL, 1);
}

void small_plan(struct bank *bank, const struct small_shape *shape)
{
    struct small_builder b = {.bank = bank, .plan = bank->plan, .shape = shape};
    const tensor_id table = matrix(&b, "embedding", shape->vocabulary, shape->columns);
    tensor_id x = plan_append_embed(bank->plan, table, shape->gemma ? 3.0f : 1.0f);
    for (uint32_t layer = 0; layer < shape->n_layers; layer++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof prefix, "blk.%u.", layer);
        plan_name_prefix(bank->plan, prefix);
        tensor_id mixed = attention_block(&b, norm(&b, "attention_norm", x), layer);
        if (shape->gemma) {
            mixed = norm(&b, "attention_post_norm", mixed);
        }
        x = plan_append_add(bank->plan, "attention_residual", x, mixed);
        tensor_id down = ffn_block(&b, norm(&b, "ffn_norm", x));
        if (shape->gemma) {
            down = norm(&b, "ffn_post_norm", down);
        }
        x = plan_append_add(bank->plan, "ffn_residual", down, x);
    }
    plan_name_prefix(bank->plan, "");
    x = norm(&b, "output_norm", plan_append_select(bank->plan, x));
    const tensor_id output =
        shape->gemma ? matrix(&b, "output", shape->vocabulary, shape->columns) : table;
    plan_append_logits(bank->plan, plan_append_matmul(bank->plan, "output", x, &output, NULL, 1));
    struct realm_error error;
    must(plan_check(bank->plan, &error), &error);
}

struct backend *test_backend(const char *level, uint32_t n_threads)
{
    struct realm_error error;
    struct backend *backend;
    const struct backend_options options = {.name = "cpu", .n_threads = n_threads, .level = level};
    const realm_status status = backend_create(&options, &backend, &error);
    if (status == REALM_UNSUPPORTED) {
        return NULL;
    }
    must(status, &error);
    return backend;
}

struct backend_model *test_model(struct backend *backend,
                                 struct bank *bank,
                                 uint32_t max_rows,
                                 uint32_t max_logits,
                                 uint32_t n_pages)
{
    struct realm_error error;
    struct backend_model *model;
    const struct weight_source source = bank_source(bank);
    const struct backend_model_options options = {.max_rows = max_rows,
                                                  .max_logits = max_logits,
                                                  .n_pages = n_pages,
                                                  .kv_type = bank->kv_type};
    must(backend_prepare(backend, bank->plan, &source, &options, &model, &error), &error);
    return model;
}

void test_step(struct backend_model *model,
               uint32_t vocabulary,
               struct test_sequence *sequences,
               const uint32_t *n_rows,
               uint32_t n_sequences)
{
    token_id tokens[MAX_STEP_ROWS];
    uint32_t logits_rows[MAX_STEP_ROWS];
    struct batch_sequence in_batch[MAX_STEP_SEQUENCES];
    struct batch batch = {.tokens = tokens, .sequences = in_batch, .logits_rows = logits_rows};
    for (uint32_t i = 0; i < n_sequences; i++) {
        const struct test_sequence *const s = &sequences[i];
        if (n_rows[i] == 0) {
            continue;
        }
        in_batch[batch.n_sequences++] = (struct batch_sequence){
            .first_row = batch.n_rows,
            .n_rows = n_rows[i],
            .first_position = s->n_done,
            .pages = s->pages,
            .n_pages = (s->n_done + n_rows[i] + PAGE_TOKENS - 1) / PAGE_TOKENS,
            .adapter = s->adapter != NULL ? *s->adapter : ADAPTER_NONE,
        };
        for (uint32_t r = 0; r < n_rows[i]; r++) {
            logits_rows[batch.n_rows] = batch.n_rows;
            tokens[batch.n_rows++] = s->tokens[s->n_done + r];
        }
    }
    batch.n_logits = batch.n_rows;
    struct realm_error error;
    must(backend_submit(model, &batch, &error), &error);
    must(backend_wait(model, &error), &error);
    uint32_t row = 0;
    for (uint32_t i = 0; i < n_sequences; i++) {
        struct test_sequence *const s = &sequences[i];
        for (uint32_t r = 0; r < n_rows[i]; r++) {
            memcpy(s->logits + (size_t)(s->n_done + r) * vocabulary,
                   backend_logits(model, row++),
                   vocabulary * sizeof(float));
        }
        s->n_done += n_rows[i];
    }
}

void test_run_alone(struct backend_model *model,
                    uint32_t vocabulary,
                    const token_id *tokens,
                    uint32_t n_tokens,
                    uint32_t chunk,
                    page_id first_page,
                    float *logits)
{
    page_id pages[MAX_STEP_ROWS];
    for (uint32_t i = 0; i < MAX_STEP_ROWS; i++) {
        pages[i] = first_page + i;
    }
    struct test_sequence sequence = {
        .tokens = tokens, .n_tokens = n_tokens, .pages = pages, .logits = logits};
    while (sequence.n_done < n_tokens) {
        const uint32_t left = n_tokens - sequence.n_done;
        const uint32_t n_rows = left < chunk ? left : chunk;
        test_step(model, vocabulary, &sequence, &n_rows, 1);
    }
}

double test_nmse(const float *wanted, const float *got, size_t n)
{
    double error = 0;
    double power = 0;
    for (size_t i = 0; i < n; i++) {
        const double difference = (double)got[i] - (double)wanted[i];
        if (!isfinite(got[i])) {
            return INFINITY;
        }
        error += difference * difference;
        power += (double)wanted[i] * (double)wanted[i];
    }
    return power > 0 ? error / power : error;
}
