/* step: one step of several sequences, the guest at the wheel.
 *
 * Every item becomes one operation of the engine; all are queued before the first is waited for, so
 * they are computed in the same batches.  What comes back is written to the items in the guest's
 * memory, which stands still meanwhile. */
#include "sandbox/call_stream.h"
#include "sandbox/call_text.h"
#include "sandbox/steps.h"

#include <math.h>

_Static_assert(REALM_MAX_STEP_TOP <= SESSION_MAX_TOP, "the engine tells as many");
_Static_assert(REALM_MAX_STEP_DRAFTS <= SESSION_MAX_DRAFT, "the engine takes as many");

#define KNOWN_FLAGS ((uint32_t)REALM_STEP_LOGPROB)

struct step_part {
    struct guest_sequence *sequence;
    session_ticket ticket; /* 0: the item has ended */
    uint32_t n_drafts;
    token_id drafts[REALM_MAX_STEP_DRAFTS];
};

struct step_run {
    uint32_t n;
    uint32_t n_running;
    struct step_part parts[];
};

static struct realm_step_item read_item(const uint8_t *items, uint32_t i)
{
    struct realm_step_item item;
    memcpy(&item, items + i * sizeof(item), sizeof(item));
    return item;
}

static void write_item(uint8_t *items, uint32_t i, const struct realm_step_item *item)
{
    memcpy(items + i * sizeof(*item), item, sizeof(*item));
}

/* --- beginning ---------------------------------------------------------------------------------
 */

/* Handles and bounds of an item; 0 or its error. */
static int64_t check_item(struct call *call,
                          const struct realm_step_item *item,
                          struct guest_sequence **sequence,
                          const struct guest_sampler **sampler)
{
    const struct handle_table *handles = &call->instance->handles;
    uint8_t *top;
    *sequence = handles_get(handles, item->sequence, HANDLE_SEQUENCE);
    *sampler = handles_get(handles, item->sampler, HANDLE_SAMPLER);
    if (*sequence == NULL || (item->sampler != 0 && *sampler == NULL)) {
        return call_bad_handle(call);
    }
    if (!call_span(call, item->top, item->n_top, sizeof(struct realm_token_score), &top)) {
        return call_bad_pointer(call);
    }
    if (item->n_top > REALM_MAX_STEP_TOP || item->n_drafts > REALM_MAX_STEP_DRAFTS) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "%u scores and %u drafts; at most %u and %u",
                         item->n_top,
                         item->n_drafts,
                         REALM_MAX_STEP_TOP,
                         REALM_MAX_STEP_DRAFTS);
    }
    if ((item->flags & ~KNOWN_FLAGS) != 0) {
        return call_fail(call, REALM_GUEST_INVALID_ARGUMENT, "flags %u; there is 1", item->flags);
    }
    if (item->n_drafts > 0 && (*sampler == NULL || item->n_top > 0 || item->flags != 0)) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "drafts need a sampler, and no scores are told with them");
    }
    return 0;
}

/* The item's tokens to the sequence, its drafts to the part.  0 or an error. */
static int64_t take_tokens(struct call *call,
                           const struct realm_step_item *item,
                           struct guest_sequence *sequence,
                           struct step_part *part)
{
    struct token_list tokens = {.ids = NULL};
    int64_t result = 0;
    if (call_tokens(call, sequence->model, item->drafts, item->n_drafts, &tokens, &result)) {
        part->n_drafts = item->n_drafts;
        if (item->n_drafts > 0) {
            memcpy(part->drafts, tokens.ids, item->n_drafts * sizeof(token_id));
        }
        tokens.length = 0;
        if (call_tokens(call, sequence->model, item->tokens, item->n_tokens, &tokens, &result)) {
            result = guest_sequence_append(call, sequence, tokens.ids, tokens.length);
        }
    }
    token_list_deinit(&tokens);
    if (result == 0) {
        return call_fail(call, REALM_GUEST_INVALID_ARGUMENT, "the sequence is empty");
    }
    return result < 0 ? result : 0;
}

static realm_status queue_item(struct instance *instance,
                               const struct realm_step_item *item,
                               const struct guest_sampler *sampler,
                               struct step_part *part,
                               struct realm_error *error)
{
    struct guest_sequence *sequence = part->sequence;
    struct session_sampling sampling = {.n_drawn = item->n_drawn};
    if (sampler != NULL) {
        sampling.options = sampler->options;
        sampling.options.logprobs = (item->flags & REALM_STEP_LOGPROB) != 0;
    }
    if (part->n_drafts > 0) {
        const struct steps_draft draft = {
            .tokens = part->drafts, .n_tokens = part->n_drafts, .sampling = &sampling};
        return steps_verify(instance, sequence, &draft, &part->ticket, error);
    }
    struct session_step step = {
        .n_top = item->n_top,
        .draw = sampler != NULL,
        .sampling = sampling,
    };
    return steps_ask(instance, sequence, &step, &part->ticket, error);
}

static int64_t begin_item(struct call *call, struct realm_step_item *item, struct step_part *part)
{
    struct guest_sequence *sequence;
    const struct guest_sampler *sampler;
    item->n_accepted = 0;
    item->n_top_out = 0;
    item->token = TOKEN_NONE;
    item->logprob = NAN;
    int64_t result = check_item(call, item, &sequence, &sampler);
    if (result != 0) {
        return result;
    }
    if (sequence->stream != NULL || sequence->stepping) {
        return call_fail(call, REALM_GUEST_BUSY, "the sequence is in use");
    }
    result = take_tokens(call, item, sequence, part);
    if (result != 0) {
        return result;
    }
    struct realm_error error;
    part->sequence = sequence;
    if (queue_item(call->instance, item, sampler, part, &error) != REALM_OK) {
        part->ticket = 0;
        return call_fail_with(call, &error);
    }
    sequence->stepping = true;
    instance_count_tokens(call->instance, item->n_tokens, 0);
    item->n_length = (uint32_t)sequence->tokens.length;
    return 0;
}

/* Queues every item that can be; CALL_ENDS, or 0. */
static int64_t begin(struct call *call, uint8_t *items, struct step_run *run)
{
    for (uint32_t i = 0; i < run->n; i++) {
        struct realm_step_item item = read_item(items, i);
        const int64_t result = begin_item(call, &item, &run->parts[i]);
        if (result == CALL_ENDS) {
            return result;
        }
        item.status = (int32_t)result;
        run->n_running += result == 0 ? 1 : 0;
        write_item(items, i, &item);
    }
    return 0;
}

/* --- what comes back ---------------------------------------------------------------------------
 */

static void take_logits(struct call *call, struct realm_step_item *item, const struct event *event)
{
    uint8_t *top;
    item->token = event->token;
    item->logprob = (item->flags & REALM_STEP_LOGPROB) != 0 ? event->logprob : NAN;
    item->n_top_out = event->n_top < item->n_top ? event->n_top : item->n_top;
    instance_count_tokens(call->instance, 0, event->token != TOKEN_NONE ? 1 : 0);
    if (!call_span(call, item->top, item->n_top, sizeof(struct realm_token_score), &top)) {
        return; /* the guest wrote items over each other: its own fields are elsewhere now */
    }
    for (uint32_t i = 0; i < item->n_top_out; i++) {
        const struct realm_token_score score = {.token = event->top[i].token,
                                                .score = event->top[i].logprob};
        memcpy(top + i * sizeof(score), &score, sizeof(score));
    }
}

/* The drafts that were accepted are in the engine's sequence already. */
static int64_t take_accepted(struct call *call,
                             struct realm_step_item *item,
                             struct step_part *part,
                             const struct event *event)
{
    struct guest_sequence *sequence = part->sequence;
    const uint32_t n = event->n_accepted < part->n_drafts ? event->n_accepted : part->n_drafts;
    item->n_accepted = n;
    item->token = event->token;
    instance_count_tokens(call->instance, 0, n + (event->token != TOKEN_NONE ? 1 : 0));
    const int64_t result = guest_sequence_append(call, sequence, part->drafts, n);
    if (result < 0) {
        return result;
    }
    sequence->n_there += n;
    sequence->n_common += n;
    return 0;
}

static int64_t end_item(struct call *call,
                        struct realm_step_item *item,
                        struct step_part *part,
                        const struct event *event)
{
    int64_t result = 0;
    part->ticket = 0;
    part->sequence->stepping = false;
    if (event->status != REALM_OK) {
        struct realm_error error;
        (void)realm_error_set(
            &error, event->status, "%s", event->message != NULL ? event->message : "failed");
        result = call_fail_with(call, &error);
        steps_forget(part->sequence);
    } else if (part->n_drafts > 0) {
        result = take_accepted(call, item, part, event);
    }
    item->n_length = (uint32_t)part->sequence->tokens.length;
    item->status = result != CALL_ENDS ? (int32_t)result : 0;
    return result;
}

/* Gives an event to the item that waits for it; events of others are of no interest. */
static int64_t take_event(struct call *call,
                          uint8_t *items,
                          struct step_run *run,
                          const struct session *from,
                          const struct event *event)
{
    for (uint32_t i = 0; i < run->n; i++) {
        struct step_part *part = &run->parts[i];
        if (part->ticket == 0 || part->ticket != event->ticket || part->sequence->session != from) {
            continue;
        }
        struct realm_step_item item = read_item(items, i);
        int64_t result = 0;
        if (event->kind == EVENT_LOGITS) {
            take_logits(call, &item, event);
        } else if (event->kind == EVENT_DONE) {
            result = end_item(call, &item, part, event);
            run->n_running--;
        }
        write_item(items, i, &item);
        return result == CALL_ENDS ? CALL_ENDS : 0;
    }
    return 0;
}

static struct step_run *make_run(struct instance *instance, uint32_t n)
{
    alloc_free(instance->step);
    instance->step =
        alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct step_run) + n * sizeof(struct step_part));
    if (instance->step != NULL) {
        instance->step->n = n;
    }
    return instance->step;
}

int64_t call_step(struct call *call)
{
    struct instance *instance = call->instance;
    const uint64_t n = call->arguments[1];
    uint8_t *items;
    if (!call_span(call, call->arguments[0], n, sizeof(struct realm_step_item), &items)) {
        return call_bad_pointer(call);
    }
    if (n == 0 || n > REALM_MAX_STEP_ITEMS) {
        return call_fail(call,
                         REALM_GUEST_INVALID_ARGUMENT,
                         "a step of %llu sequences; 1 to %u",
                         (unsigned long long)n,
                         REALM_MAX_STEP_ITEMS);
    }
    if (!call->begun) {
        call->begun = true;
        struct step_run *made = make_run(instance, (uint32_t)n);
        if (made == NULL) {
            return call_fail(call, REALM_GUEST_FAILED, "out of memory");
        }
        if (begin(call, items, made) == CALL_ENDS) {
            return CALL_ENDS;
        }
    }
    struct step_run *run = instance->step;
    struct event event;
    struct session *from;
    while (run->n_running > 0 && steps_next(instance, &event, &from)) {
        if (take_event(call, items, run, from, &event) == CALL_ENDS) {
            return CALL_ENDS;
        }
    }
    return run->n_running > 0 ? CALL_WAITS : 0;
}
