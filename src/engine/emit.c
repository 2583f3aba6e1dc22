#include "engine/emit.h"

#include "base/clock.h"

static void push(struct touched *touched, struct generation *generation, const struct event *event)
{
    /* The scheduler only lets a sequence run when its ring has room, and a ring has room for the
     * end of all choices by RECORDS_PER_CHOICE. */
    (void)REALM_INVARIANT(event_ring_push(&generation->ring, event));
    if (!generation->touched) {
        generation->touched = true;
        generation->next_touched = touched->first;
        touched->first = generation;
    }
}

void emit_started(struct touched *touched, struct generation *generation)
{
    generation->started = true;
    atomic_store(&generation->started_ns, clock_monotonic_ns());
    push(touched,
         generation,
         &(struct event){.kind = EVENT_STARTED,
                         .n_prompt_tokens = generation->n_prompt,
                         .n_cached_tokens = generation->n_cached});
}

void emit_token(struct touched *touched,
                struct sequence *sequence,
                const struct sampler_choice *choice,
                struct bytes text)
{
    const bool logprobs = sequence->generation->logprobs;
    push(touched,
         sequence->generation,
         &(struct event){
             .kind = EVENT_TOKEN,
             .choice = sequence->choice,
             .token = choice->token,
             .text = text,
             .logprob = choice->logprob,
             .n_top = logprobs ? choice->n_top : 0,
             .top = choice->top,
         });
}

/* Off its list, without pages. */
static void retire(struct engine_model *model, struct sequence *sequence)
{
    if (sequence->state == SEQUENCE_PREFILL || sequence->state == SEQUENCE_DECODE) {
        sequence_list_remove(&model->running, sequence);
    } else if (sequence->state == SEQUENCE_WAITING) {
        sequence_list_remove(&model->waiting, sequence);
    }
    page_table_truncate(sequence->pages, 0);
    sequence->state = SEQUENCE_ENDED;
    sequence->step_rows = 0;
}

static void count_end(struct stats *stats, const struct generation *generation, realm_finish finish)
{
    if (generation->status == REALM_OK) {
        const uint64_t now_ns = clock_monotonic_ns();
        stats_observe(stats, ENGINE_REQUEST_LATENCY, now_ns - generation->submitted_ns);
        stats_add(&stats->requests_finished, 1);
    } else if (finish == REALM_FINISH_CANCELLED) {
        stats_add(&stats->requests_cancelled, 1);
    } else {
        stats_add(&stats->requests_failed, 1);
    }
}

void emit_finished(struct engine_model *model,
                   struct touched *touched,
                   struct sequence *sequence,
                   realm_finish finish,
                   token_id stop_token,
                   struct bytes text,
                   const struct realm_error *error)
{
    struct generation *const generation = sequence->generation;
    realm_status status = error != NULL ? error->status : REALM_OK;
    if (finish == REALM_FINISH_CANCELLED) {
        status = REALM_CANCELLED;
    }
    retire(model, sequence);
    if (generation->status == REALM_OK) {
        generation->status = status;
    }
    generation->n_completion += sequence_n_completion(sequence);
    generation->n_live--;
    push(touched,
         generation,
         &(struct event){
             .kind = EVENT_FINISHED,
             .choice = sequence->choice,
             .text = text,
             .finish = finish,
             .stop_token = stop_token,
             .n_completion_tokens = sequence_n_completion(sequence),
             .status = status,
             .message = error != NULL ? error->message : NULL,
         });
    if (generation->n_live > 0) {
        return;
    }
    atomic_store(&generation->ended_ns, clock_monotonic_ns());
    count_end(&model->stats, generation, finish);
    atomic_fetch_sub(model->n_pending, 1);
    fairness_depart(model->fairness, generation->account);
    account_leave(generation->account);
    push(touched,
         generation,
         &(struct event){
             .kind = EVENT_DONE,
             .n_prompt_tokens = generation->n_prompt,
             .n_cached_tokens = generation->n_cached,
             .n_completion_tokens = generation->n_completion,
             .status = generation->status,
         });
}

void emit_signal(struct touched *touched)
{
    struct generation *generation = touched->first;
    struct wake_call last = {.wake = NULL};
    touched->first = NULL;
    while (generation != NULL) {
        struct generation *const next = generation->next_touched;
        generation->touched = false;
        generation->next_touched = NULL;
        generation_signal(generation, &last);
        if (generation->n_live == 0) {
            generation_drop(generation);
        }
        generation = next;
    }
}
