/* Here a token is made: scheduler_pick -> batch_build -> backend -> sampler -> text -> event. */
#include "engine/step.h"

#include "base/clock.h"
#include "base/trace.h"
#include "engine/batch_build.h"
#include "engine/draw.h"
#include "engine/emit.h"
#include "engine/fairness.h"
#include "engine/held.h"
#include "engine/scheduler.h"

static const struct bytes no_text = {.data = (const uint8_t *)"", .length = 0};

struct step {
    struct engine_model *model;
    uint64_t now_ns; /* when it began; once its rows have run: when they had */
    struct touched touched;
};

static void
fail_sequence(struct step *step, struct sequence *sequence, const struct realm_error *error)
{
    if (sequence->held != NULL) {
        held_fail(sequence->held, error);
        return;
    }
    emit_finished(step->model,
                  &step->touched,
                  sequence,
                  REALM_FINISH_ERROR,
                  TOKEN_NONE,
                  text_stream_finish(sequence->text),
                  error);
}

static void finish_sequence(struct step *step,
                            struct sequence *sequence,
                            realm_finish finish,
                            token_id stop_token,
                            struct bytes text)
{
    if (sequence->held != NULL) {
        held_finish(sequence->held, finish, stop_token, text);
        return;
    }
    emit_finished(step->model, &step->touched, sequence, finish, stop_token, text, NULL);
}

static bool is_stop_token(const struct generation *generation, token_id token)
{
    for (uint32_t i = 0; i < generation->n_stop_tokens; i++) {
        if (generation->stop_tokens[i] == token) {
            return true;
        }
    }
    return !generation->ignore_end && tokenizer_is_end(generation->model->tokenizer, token);
}

static void count_token(const struct step *step, struct sequence *sequence)
{
    struct stats *const stats = &step->model->stats;
    struct generation *const generation = sequence->generation;
    stats_add(&stats->completion_tokens, 1);
    stats_add(&account_whole(generation->account)->completion_tokens, 1);
    fairness_charge_completion(step->model->fairness, generation->account, 1);
    if (sequence->last_token_ns != 0) {
        stats_observe(stats, ENGINE_INTER_TOKEN_LATENCY, step->now_ns - sequence->last_token_ns);
    } else if (sequence->choice == 0) {
        stats_observe(stats, ENGINE_TIME_TO_FIRST_TOKEN, step->now_ns - generation->submitted_ns);
    }
    sequence->last_token_ns = step->now_ns;
}

/* Takes the sampled token: ends the sequence, or makes the token its next one to run. */
static void
accept_token(struct step *step, struct sequence *sequence, const struct sampler_choice *choice)
{
    struct generation *const generation = sequence->generation;
    struct realm_error error;
    if (sequence->constraint != NULL &&
        constraint_accept(sequence->constraint, choice->token, &error) != REALM_OK) {
        fail_sequence(step, sequence, &error);
        return;
    }
    count_token(step, sequence);
    sequence->tokens[sequence->n_tokens++] = choice->token;
    if (is_stop_token(generation, choice->token)) {
        finish_sequence(
            step, sequence, REALM_FINISH_STOP, choice->token, text_stream_finish(sequence->text));
        return;
    }
    struct bytes text;
    const bool stopped = text_stream_push(sequence->text, choice->token, &text);
    if (sequence->held != NULL) {
        held_say_token(sequence->held, choice, text);
    } else {
        emit_token(&step->touched, sequence, choice, text);
    }
    if (stopped) {
        finish_sequence(step, sequence, REALM_FINISH_STOP, TOKEN_NONE, no_text);
    } else if (sequence->constraint != NULL && constraint_is_complete(sequence->constraint)) {
        finish_sequence(
            step, sequence, REALM_FINISH_STOP, TOKEN_NONE, text_stream_finish(sequence->text));
    } else if (sequence->n_tokens == sequence->max_tokens) {
        finish_sequence(
            step, sequence, REALM_FINISH_LENGTH, TOKEN_NONE, text_stream_finish(sequence->text));
    }
}

/* Goes on by what was drawn. */
static void take_draw(struct step *step, struct sequence *sequence, const struct draw *draw)
{
    if (sequence->held != NULL && sequence->text == NULL) {
        held_take_draw(sequence->held, draw); /* a session's step or draft: no text */
    } else if (draw->error.status != REALM_OK) {
        fail_sequence(step, sequence, &draw->error);
    } else {
        accept_token(step, sequence, &draw->choice);
    }
}

/* The same, where a row has to be drawn from first. */
static void draw_now(struct step *step, struct sequence *sequence, float *logits)
{
    struct draw draw;
    draw_one(step->model, sequence, logits, &draw);
    take_draw(step, sequence, &draw);
}

/* The prompt is computed: the further choices share its pages and draw from the same logits. */
static void start_forks(struct step *step, struct sequence *first, const float *logits)
{
    struct engine_model *const model = step->model;
    struct generation *const generation = first->generation;
    const size_t n_bytes = plan_vocabulary(model_plan(model->model)) * sizeof(float);
    for (uint32_t i = 1; i < generation->n_choices; i++) {
        struct sequence *const fork = generation->sequences[i];
        if (fork->state != SEQUENCE_FORK) {
            continue;
        }
        page_table_fork(first->pages, fork->pages);
        fork->n_computed = first->n_computed;
        fork->n_indexed = first->n_indexed;
        fork->n_charged = first->n_charged;
        fork->state = SEQUENCE_DECODE;
        sequence_list_append(&model->running, fork);
        memcpy(model->fork_logits, logits, n_bytes);
        draw_now(step, fork, model->fork_logits);
    }
}

/* Makes the pages that are full now known, for others and for the time after a preemption. */
static void index_pages(const struct engine_model *model, struct sequence *sequence)
{
    const uint32_t n_full = sequence->n_computed / PAGE_TOKENS;
    if (sequence->digests == NULL || sequence->n_indexed >= n_full) {
        return;
    }
    sequence_extend_digests(sequence, n_full);
    const page_id *const pages = page_table_pages(sequence->pages);
    for (; sequence->n_indexed < n_full; sequence->n_indexed++) {
        const uint32_t i = sequence->n_indexed;
        prefix_index_insert(model->prefixes, &sequence->digests[i], pages[i]);
    }
}

/* Prompt tokens are paid for once, however often they are computed. */
static void charge_prompt(const struct step *step, struct sequence *sequence)
{
    const uint32_t n_done =
        sequence->n_computed < sequence->n_prompt ? sequence->n_computed : sequence->n_prompt;
    if (n_done > sequence->n_charged) {
        const uint32_t n = n_done - sequence->n_charged;
        if (sequence->held != NULL) {
            stats_add(&step->model->stats.prompt_tokens, n);
            stats_add(&account_whole(sequence->generation->account)->prompt_tokens, n);
        }
        fairness_charge_prompt(step->model->fairness, sequence->generation->account, n);
        sequence->n_charged = n_done;
    }
}

static void count_prompt(struct stats *stats, const struct generation *generation)
{
    stats_add(&stats->prompt_tokens, generation->n_prompt);
    stats_add(&stats->cached_tokens, generation->n_cached);
    stats_add(&account_whole(generation->account)->prompt_tokens, generation->n_prompt);
    stats_add(&account_whole(generation->account)->cached_tokens, generation->n_cached);
}

/* Keeps what the logits were made of; the answer is complete then. */
static void embed(struct step *step, struct sequence *sequence)
{
    struct generation *const generation = sequence->generation;
    uint32_t n_columns;
    const float *const hidden =
        backend_hidden(step->model->backend_model, sequence->logits_index, &n_columns);
    if (hidden == NULL || n_columns != generation->n_embedding) {
        struct realm_error error;
        realm_error_set(&error, REALM_UNSUPPORTED, "the model gives no embeddings");
        fail_sequence(step, sequence, &error);
        return;
    }
    memcpy(generation->embedding, hidden, n_columns * sizeof *hidden);
    finish_sequence(step, sequence, REALM_FINISH_STOP, TOKEN_NONE, no_text);
}

/* Goes on by a row of logits. */
static void speak(struct step *step, struct sequence *sequence, float *logits)
{
    if (sequence->generation->embedding != NULL) {
        embed(step, sequence);
    } else if (sequence->draw != NULL) {
        take_draw(step, sequence, sequence->draw);
    } else {
        draw_now(step, sequence, logits);
    }
}

/* Whether it still has use for logits. */
static bool speaks(const struct sequence *sequence)
{
    return sequence->held != NULL ? held_speaks(sequence->held) : sequence->state != SEQUENCE_ENDED;
}

/* Row after row, as long as what comes next is what the draft said. */
static void speak_all(struct step *step, struct sequence *sequence)
{
    for (uint32_t i = 0; i < sequence->step_n_logits && speaks(sequence); i++) {
        const uint32_t n_tokens = sequence->n_tokens;
        const bool is_drafted = sequence->n_draft > 0;
        const token_id draft = is_drafted ? sequence->tokens[n_tokens] : TOKEN_NONE;
        speak(
            step, sequence, backend_logits(step->model->backend_model, sequence->logits_index + i));
        if (!is_drafted || sequence->n_tokens == n_tokens || sequence->tokens[n_tokens] != draft) {
            sequence->n_draft = 0;
            break;
        }
        sequence->n_draft -= sequence->n_draft > 0 ? 1 : 0;
        sequence->n_computed += i + 1 < sequence->step_n_logits ? 1 : 0;
    }
    sequence_rewind(sequence, sequence->n_computed);
}

/* Moves one sequence on after its rows have run. */
static void advance(struct step *step, struct sequence *sequence)
{
    struct generation *const generation = sequence->generation;
    if (sequence->state == SEQUENCE_ENDED) {
        return; /* a sibling's failure ended it in this step */
    }
    const uint32_t n_draft_rows = sequence->step_n_logits > 0 ? sequence->step_n_logits - 1 : 0;
    sequence->n_computed += sequence->step_rows - n_draft_rows;
    index_pages(step->model, sequence);
    charge_prompt(step, sequence);
    if (sequence->step_n_logits > 0) {
        sequence->state = SEQUENCE_DECODE;
        if (!generation->started) {
            float *const logits =
                backend_logits(step->model->backend_model, sequence->logits_index);
            count_prompt(&step->model->stats, generation);
            emit_started(&step->touched, generation);
            start_forks(step, sequence, logits);
        }
        speak_all(step, sequence);
    }
    if (sequence->held != NULL) {
        index_pages(step->model, sequence);
        held_run(sequence->held);
    }
}

/* Ends every choice of a generation that has not ended. */
static void
end_generation(struct step *step, struct generation *generation, const struct realm_error *error)
{
    for (uint32_t i = 0; i < generation->n_choices; i++) {
        struct sequence *const sequence = generation->sequences[i];
        if (sequence->state == SEQUENCE_ENDED) {
            continue;
        }
        if (error != NULL) {
            fail_sequence(step, sequence, error);
        } else {
            finish_sequence(step, sequence, REALM_FINISH_CANCELLED, TOKEN_NONE, no_text);
        }
    }
}

/* The step has failed: what the pages hold is not known. */
static void
fail_picked(struct step *step, struct sequence *sequence, const struct realm_error *error)
{
    if (sequence->held != NULL) {
        sequence_rewind(sequence, 0);
        held_fail(sequence->held, error);
        held_run(sequence->held);
    } else {
        end_generation(step, sequence->generation, error);
    }
}

static realm_status forward(const struct engine_model *model, struct realm_error *error)
{
    const uint64_t start_ns = trace_begin();
    realm_status status = backend_submit(model->backend_model, &model->batch, error);
    if (status == REALM_OK) {
        status = backend_wait(model->backend_model, error);
    }
    trace_end("forward", start_ns);
    return status;
}

/* Ends what passes its account's cap of pages alone. */
static void end_capped(struct step *step, const struct sequence_list *list)
{
    struct sequence *next = NULL;
    for (struct sequence *s = list->first; s != NULL; s = next) {
        next = s->next;
        if (!s->page_cap_passed) {
            continue;
        }
        struct realm_error error;
        realm_error_set(
            &error,
            REALM_RESOURCE_EXHAUSTED,
            "after %u tokens the request needs more than the %u KV pages of %u tokens that its "
            "account may hold",
            s->n_tokens,
            account_page_cap(s->generation->account),
            (unsigned)PAGE_TOKENS);
        fail_sequence(step, s, &error);
        if (s->held != NULL) {
            held_run(s->held);
        }
    }
}

/* Rows of the step that compute prompts. */
static uint32_t n_prefill_rows(const struct engine_model *model)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < model->n_picked; i++) {
        n += model->picked[i]->state == SEQUENCE_PREFILL ? model->picked[i]->step_rows : 0;
    }
    return n;
}

static void count_step(struct engine_model *model, uint64_t step_ns)
{
    stats_add(&model->stats.steps, 1);
    stats_add(&model->stats.step_ns, step_ns);
    stats_observe(&model->stats, ENGINE_STEP_TIME, step_ns);
    stats_observe(&model->stats, ENGINE_STEP_ROWS, model->batch.n_rows);
    stats_observe(&model->stats, ENGINE_STEP_SEQUENCES, model->n_picked);
}

/* How long those waited that are in a step for the first time. */
static void count_queue_times(const struct step *step)
{
    for (uint32_t i = 0; i < step->model->n_picked; i++) {
        struct generation *const generation = step->model->picked[i]->generation;
        if (!generation->entered) {
            generation->entered = true;
            atomic_store(&generation->entered_ns, step->now_ns);
            stats_observe(
                &step->model->stats, ENGINE_QUEUE_TIME, step->now_ns - generation->submitted_ns);
        }
    }
}

bool step_run(struct engine_model *model)
{
    struct step step = {.model = model};
    const uint64_t step_span = trace_begin();
    stats_add(&model->stats.preemptions, scheduler_pick(model));
    end_capped(&step, &model->running);
    end_capped(&step, &model->waiting);
    if (model->n_picked == 0) {
        emit_signal(&step.touched);
        return false;
    }
    const uint32_t n_prefill = n_prefill_rows(model);
    trace_end("pick", step_span);
    const uint64_t begin_ns = clock_monotonic_ns();
    step.now_ns = begin_ns;
    count_queue_times(&step);
    batch_build(model);
    struct realm_error error = {.status = REALM_OK};
    const realm_status status = forward(model, &error);
    step.now_ns = clock_monotonic_ns();
    const uint64_t sample_span = trace_begin();
    if (status == REALM_OK) {
        draw_rows(model);
    }
    for (uint32_t i = 0; i < model->n_picked; i++) {
        if (status == REALM_OK) {
            advance(&step, model->picked[i]);
        } else {
            fail_picked(&step, model->picked[i], &error);
        }
    }
    const uint64_t step_ns = clock_monotonic_ns() - begin_ns;
    count_step(model, step_ns);
    pace_learn(&model->pace, model->batch.n_rows - n_prefill, n_prefill, step_ns);
    /* Last: who reads the answer finds it counted. */
    emit_signal(&step.touched);
    trace_end("sample", sample_span);
    trace_end("step", step_span);
    return true;
}

/* True: it was ended. */
static bool sweep_generation(struct step *step, struct generation *generation, uint64_t now_ns)
{
    if (atomic_load_explicit(&generation->cancelled, memory_order_acquire)) {
        end_generation(step, generation, NULL);
        return true;
    }
    if (generation->deadline_ns != 0 && now_ns > generation->deadline_ns) {
        struct realm_error error;
        realm_error_set(&error,
                        REALM_DEADLINE_EXCEEDED,
                        "the request passed its deadline by %llu ms",
                        (unsigned long long)((now_ns - generation->deadline_ns) / 1000000u));
        end_generation(step, generation, &error);
        return true;
    }
    return false;
}

/* Ending one generation may take any sequence off the list, so the walk starts again after each. */
static void sweep_list(struct step *step, const struct sequence_list *list, uint64_t now_ns)
{
    struct sequence *s = list->first;
    while (s != NULL) {
        s = sweep_generation(step, s->generation, now_ns) ? list->first : s->next;
    }
}

void step_sweep(struct engine_model *model)
{
    struct step step = {.model = model};
    const uint64_t now_ns = clock_monotonic_ns();
    sweep_list(&step, &model->running, now_ns);
    sweep_list(&step, &model->waiting, now_ns);
    emit_signal(&step.touched);
}

void step_end_all(struct engine_model *model)
{
    struct step step = {.model = model};
    while (model->running.first != NULL) {
        end_generation(&step, model->running.first->generation, NULL);
    }
    while (model->waiting.first != NULL) {
        end_generation(&step, model->waiting.first->generation, NULL);
    }
    emit_signal(&step.touched);
}
