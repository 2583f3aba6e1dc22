/* The engine: many requests of many tenants and models in one batch at a time.
 *
 * One engine thread owns sequences, pages and samplers and drives the backend; everybody else talks
 * to it through engine_submit (a bounded queue in) and generations (bounded rings out).  It never
 * waits for a reader.  All functions are for any thread unless they say otherwise. */
#ifndef REALM_ENGINE_ENGINE_H
#define REALM_ENGINE_ENGINE_H

#include "backend/kv_type.h"
#include "engine/account.h"
#include "engine/event.h"
#include "engine/request.h"

struct engine;
struct engine_model;
struct generation;
struct model;
struct tokenizer;
struct backend;

#define ENGINE_MAX_TOKEN_WEIGHT 1000u

struct engine_options {
    uint32_t n_threads;     /* 0: one per core */
    const char *cpu_level;  /* NULL: the best there is */
    uint32_t max_waiting;   /* requests; 0: 1024 */
    uint32_t itl_target_ms; /* between two tokens of a sequence, where prefill can wait; 0: 100 */
    bool no_prefix_cache;
    uint64_t max_adapter_bytes; /* memory of all loaded adapters; 0: 1 GiB */
    /* What a token counts when accounts take turns, 0: 1 and 2; at most
     * ENGINE_MAX_TOKEN_WEIGHT. */
    uint32_t prompt_weight;
    uint32_t completion_weight;
};

REALM_MUST_CHECK realm_status engine_create(const struct engine_options *options,
                                            struct engine **out,
                                            struct realm_error *error);
/* Cancels what runs, joins the engine thread, unloads all models.  Generations that are still held
 * stay readable and must be released before. */
void engine_destroy(struct engine *engine);
const struct backend *engine_backend(const struct engine *engine);

/* --- models ------------------------------------------------------------------------------------
 */

struct engine_model_options {
    uint32_t context_length;  /* 0: the model's, at most 8192 */
    enum kv_type kv_type;     /* 0: F16 */
    uint64_t kv_memory_bytes; /* 0: 16 sequences of 1024 tokens, at least one whole context */
    uint32_t max_rows;        /* tokens of one step; 0: 512 */
    uint32_t max_sequences;   /* in one step; 0: 64 */
    void (*progress)(void *context, float part); /* on the calling thread */
    void *progress_context;
};

/* Loads a model under `name`; blocks.  ALREADY_EXISTS; errors of gguf, model and tokenizer pass
 * through with the path. */
REALM_MUST_CHECK realm_status engine_load_model(struct engine *engine,
                                                const char *name,
                                                const char *path,
                                                const struct engine_model_options *options,
                                                struct engine_model **out,
                                                struct realm_error *error);
/* By name, or NULL.  Valid until engine_destroy. */
struct engine_model *engine_find_model(struct engine *engine, const char *name);
uint32_t engine_n_models(struct engine *engine);
struct engine_model *engine_model_at(struct engine *engine, uint32_t index);

const char *engine_model_name(const struct engine_model *model);
const struct model *engine_model_model(const struct engine_model *model);
const struct tokenizer *engine_model_tokenizer(const struct engine_model *model);
/* Appends the prompt that the model's chat template makes of a context (see chat_template_render;
 * bos_token and eos_token are the caller's to put in).  INVALID_FORMAT: the template in the file
 * cannot be used, with the reason. */
struct strbuf;
REALM_MUST_CHECK realm_status engine_model_render_chat(const struct engine_model *model,
                                                       const char *context_json,
                                                       size_t n_bytes,
                                                       struct strbuf *out,
                                                       struct realm_error *error);
/* The template's source as the file has it, empty for none; valid as long as the model. */
struct bytes engine_model_chat_source(const struct engine_model *model);
/* A constraint over the model's vocabulary, which is prepared at the first call; that takes a
 * while. *out is the caller's.  Errors: constraint_create's. */
struct constraint;
struct constraint_rule;
REALM_MUST_CHECK realm_status engine_model_constrain(struct engine_model *model,
                                                     const struct constraint_rule *rule,
                                                     struct constraint **out,
                                                     struct realm_error *error);
uint32_t engine_model_context_length(const struct engine_model *model);
uint64_t engine_model_memory_bytes(const struct engine_model *model); /* weights + KV + scratch */
int64_t engine_model_loaded_at_s(const struct engine_model *model);   /* wall time */

/* --- requests ----------------------------------------------------------------------------------
 */

/* Checks and queues.  *out is the caller's and ends with generation_release.
 * INVALID_ARGUMENT: prompt longer than the context (both numbers told), a token outside the
 * vocabulary, sampler or stop values out of range, or a prompt that needs more pages than its
 * account may hold; RESOURCE_EXHAUSTED: as many requests as the engine or the account may have are
 * there; UNAVAILABLE: draining. */
REALM_MUST_CHECK realm_status engine_submit(struct engine *engine,
                                            const struct request *request,
                                            struct generation **out,
                                            struct realm_error *error);

/* The next event, or false: none now.  The event's pointers stay valid until the next call.  One
 * reader. */
bool generation_next(struct generation *generation, struct event *out);
/* Whether generation_next would give an event.  The reader. */
bool generation_readable(const struct generation *generation);
/* Waits until there is an event or timeout_ms passed; false: timeout.  One reader. */
bool generation_wait(struct generation *generation, uint32_t timeout_ms);
/* Ends it soon: the next step releases its pages, FINISHED with CANCELLED follows. */
void generation_cancel(struct generation *generation);
/* The reader goes away (and cancels what still runs). NULL is fine. */
void generation_release(struct generation *generation);
/* When a request got on, by the monotonic clock; 0: not yet. */
struct generation_moments {
    uint64_t submitted_ns;
    uint64_t entered_ns; /* its first step began */
    uint64_t started_ns; /* its prompt had been computed */
    uint64_t ended_ns;
};
/* Any thread that holds it. */
struct generation_moments generation_read_moments(const struct generation *generation);

/* Of a request to embed, once its choice has finished with STOP: the last hidden state of its last
 * token, behind the model's last norm, as it comes; n_columns F32, the generation's.  The reader.
 */
const float *generation_embedding(const struct generation *generation, uint32_t *n_columns);
/* By what its first n_columns are multiplied to be as long as 1, as callers are told them; 0: they
 * are all zero. */
float embedding_scale(const float *columns, uint32_t n_columns);

/* New requests are refused from now on; returns true when nothing is running or waiting. */
bool engine_drain(struct engine *engine);
/* Whether a step runs now, for those who would rather not compute beside one.  Any thread. */
bool engine_is_stepping(const struct engine *engine);
/* Whether steps follow one another now.  Any thread. */
bool engine_is_busy(const struct engine *engine);

/* --- numbers -----------------------------------------------------------------------------------
 */

/* Times are seconds, the others rows and sequences of a step. */
enum engine_histogram_kind {
    ENGINE_TIME_TO_FIRST_TOKEN, /* from engine_submit on */
    ENGINE_INTER_TOKEN_LATENCY,
    ENGINE_REQUEST_LATENCY, /* from engine_submit to the last token */
    ENGINE_QUEUE_TIME,      /* from engine_submit to the first step */
    ENGINE_STEP_TIME,
    ENGINE_STEP_ROWS,
    ENGINE_STEP_SEQUENCES,
    ENGINE_N_HISTOGRAMS
};

#define ENGINE_HISTOGRAM_MAX_BOUNDS 20u

/* counts[i]: values above bounds[i - 1] and at most bounds[i]; the last: above all. */
struct engine_histogram {
    const double *bounds;
    uint32_t n_bounds;
    uint64_t counts[ENGINE_HISTOGRAM_MAX_BOUNDS + 1];
    double sum;
};

struct engine_stats {
    uint64_t steps;
    uint64_t prompt_tokens;
    uint64_t cached_tokens; /* of the prompts', found in the prefix cache */
    uint64_t completion_tokens;
    uint64_t requests_finished;
    uint64_t requests_cancelled;
    uint64_t requests_failed;
    uint64_t preemptions;
    uint64_t rows_ahead;       /* that were run before a program asked for them */
    uint64_t rows_ahead_taken; /* and that it then did ask for */
    uint64_t step_ns;
    uint32_t running;
    uint32_t waiting;
    uint32_t pages_used;
    uint32_t pages_cached; /* held by nobody, content known; not counted as used */
    uint32_t pages_total;
    struct engine_histogram histograms[ENGINE_N_HISTOGRAMS];
};

/* Over all models; of one. */
void engine_stats(struct engine *engine, struct engine_stats *out);
void engine_model_stats(const struct engine_model *model, struct engine_stats *out);
/* That of requests without one. */
const struct account *engine_default_account(const struct engine *engine);

#endif
