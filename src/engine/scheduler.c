#include "engine/scheduler.h"

#include "engine/generation.h"

void scheduler_preempt(struct engine_model *model, struct sequence *sequence)
{
    sequence_list_remove(&model->running, sequence);
    page_table_truncate(sequence->pages, 0);
    sequence->n_computed = 0;
    sequence->state = SEQUENCE_WAITING;
    sequence_list_prepend(&model->waiting, sequence);
}

/* Records the ring takes in this step, with the end of all choices always kept free. */
static void count_ring_room(struct generation *generation)
{
    const size_t room = event_ring_room(&generation->ring);
    const size_t ending = (size_t)generation->n_live + 1;
    generation->step_room = room > ending ? room - ending : 0;
}

/* A reader that lags parks its sequence: there must be room for what this step may say, one TOKEN
 * or FINISHED record a choice, and for STARTED and DONE. */
static bool take_ring_room(struct sequence *sequence)
{
    struct generation *const generation = sequence->generation;
    /* The step that ends the prompt speaks for all choices at once. */
    const size_t needs = generation->started ? 3 : 3 * (size_t)generation->n_live + 1;
    if (generation->step_room < needs) {
        return false;
    }
    generation->step_room -= needs;
    return true;
}

/* Reserves pages for n_rows more tokens, preempting from the young end when there are too few.
 * False: the sequence itself had to go, or it cannot get them now. */
static bool reserve(struct engine_model *model,
                    struct sequence *sequence,
                    uint32_t n_rows,
                    uint32_t *n_preempted)
{
    for (;;) {
        if (page_table_needs(sequence->pages, n_rows) <= page_pool_n_free(model->pool)) {
            return page_table_reserve(sequence->pages, n_rows, &model->copies, NULL) == REALM_OK;
        }
        struct sequence *const youngest = model->running.last;
        /* One that is in this step already keeps what it has: its rows are counted. */
        if (youngest == NULL || youngest->step_rows > 0) {
            return false;
        }
        scheduler_preempt(model, youngest);
        (*n_preempted)++;
        if (youngest == sequence) {
            return false;
        }
    }
}

static void pick(struct engine_model *model, struct sequence *sequence, uint32_t n_rows)
{
    sequence->step_rows = n_rows;
    sequence->step_wants_logits = sequence->n_computed + n_rows == sequence->n_tokens;
    model->picked[model->n_picked++] = sequence;
}

/* Runs over the running list; a sequence may leave it under our feet, so the next one is looked up
 * first and the walk ends when the list was cut. */
static uint32_t pick_running(struct engine_model *model,
                             enum sequence_state state,
                             uint32_t n_rows_left,
                             uint32_t *n_preempted)
{
    struct sequence *next = NULL;
    for (struct sequence *s = model->running.first; s != NULL; s = next) {
        next = s->next;
        if (s->state != state || s->step_rows > 0) {
            continue;
        }
        if (n_rows_left == 0 || model->n_picked == model->max_sequences) {
            break;
        }
        const uint32_t left = s->n_tokens - s->n_computed;
        const uint32_t n_rows = left < n_rows_left ? left : n_rows_left;
        if (!take_ring_room(s)) {
            continue;
        }
        const uint32_t preempted_before = *n_preempted;
        const bool reserved = reserve(model, s, n_rows, n_preempted);
        if (reserved) {
            pick(model, s, n_rows);
            n_rows_left -= n_rows;
        }
        if (*n_preempted != preempted_before) {
            /* The list lost its tail: what s points to is the truth now. */
            next = reserved ? s->next : NULL;
        }
    }
    return n_rows_left;
}

/* Lets waiting sequences in, oldest first, while there are rows and pages for their whole text.  A
 * parked one is passed over; one that finds too few pages holds those behind it, or it might wait
 * for ever. */
static void admit(struct engine_model *model, uint32_t n_rows_left)
{
    struct sequence *next = NULL;
    for (struct sequence *s = model->waiting.first; s != NULL; s = next) {
        next = s->next;
        if (n_rows_left == 0 || model->n_picked == model->max_sequences ||
            page_table_needs(s->pages, s->n_tokens) > page_pool_n_free(model->pool)) {
            return;
        }
        if (!take_ring_room(s)) {
            continue;
        }
        const uint32_t n_rows = s->n_tokens < n_rows_left ? s->n_tokens : n_rows_left;
        if (page_table_reserve(s->pages, n_rows, &model->copies, NULL) != REALM_OK) {
            return;
        }
        sequence_list_remove(&model->waiting, s);
        s->state = SEQUENCE_PREFILL;
        sequence_list_append(&model->running, s);
        pick(model, s, n_rows);
        n_rows_left -= n_rows;
    }
}

uint32_t scheduler_pick(struct engine_model *model)
{
    uint32_t n_preempted = 0;
    model->n_picked = 0;
    model->copies.n = 0;
    for (struct sequence *s = model->running.first; s != NULL; s = s->next) {
        s->step_rows = 0;
        count_ring_room(s->generation);
    }
    for (struct sequence *s = model->waiting.first; s != NULL; s = s->next) {
        s->step_rows = 0;
        count_ring_room(s->generation);
    }
    uint32_t n_rows_left = model->max_rows;
    n_rows_left = pick_running(model, SEQUENCE_DECODE, n_rows_left, &n_preempted);
    n_rows_left = pick_running(model, SEQUENCE_PREFILL, n_rows_left, &n_preempted);
    if (n_preempted == 0) {
        admit(model, n_rows_left);
    }
    return n_preempted;
}
