#include "sandbox/steps.h"

#include "sandbox/state.h"

#include <realm_guest.h>

#define MAX_OPERATIONS 512u

static void wake_guest(void *context)
{
    instance_wake(context);
}

/* The instance's session for a sequence's model and adapter, made at first use. */
static realm_status get_session(struct instance *instance,
                                const struct guest_sequence *sequence,
                                struct session **out,
                                struct realm_error *error)
{
    for (const struct guest_session *one = instance->sessions; one != NULL; one = one->next) {
        if (one->model == sequence->model && one->adapter == sequence->adapter) {
            *out = one->session;
            return REALM_OK;
        }
    }
    struct guest_session *made = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct guest_session));
    if (made == NULL) {
        return realm_error_out_of_memory(error, sizeof(struct guest_session), "a session");
    }
    const uint64_t sequences = instance->limits.sequences;
    const struct session_options options = {
        .model = sequence->model,
        .account = instance->account,
        .adapter = sequence->adapter,
        .max_sequences =
            sequences < SESSION_MAX_SEQUENCES ? (uint32_t)sequences : SESSION_MAX_SEQUENCES,
        .max_operations = MAX_OPERATIONS,
        .max_top = REALM_MAX_STEP_TOP,
        .no_text = true,
        .wake = wake_guest,
        .wake_context = instance,
    };
    const realm_status status =
        session_create(instance->sandbox->engine, &options, &made->session, error);
    if (status != REALM_OK) {
        alloc_free(made);
        return status;
    }
    made->model = sequence->model;
    made->adapter = sequence->adapter;
    made->next = instance->sessions;
    instance->sessions = made;
    *out = made->session;
    return REALM_OK;
}

void steps_end(struct instance *instance)
{
    while (instance->sessions != NULL) {
        struct guest_session *one = instance->sessions;
        instance->sessions = one->next;
        session_release(one->session);
        alloc_free(one);
    }
}

/* Makes the engine's sequence a beginning of the list. */
static realm_status
bring_up(struct instance *instance, struct guest_sequence *sequence, struct realm_error *error)
{
    sequence->computed = true;
    if (sequence->number == 0) {
        REALM_TRY(get_session(instance, sequence, &sequence->session, error));
        REALM_TRY(session_sequence_create(sequence->session, 0, &sequence->number, error));
        sequence->n_there = 0;
        sequence->n_common = 0;
    }
    if (sequence->n_common < sequence->n_there) {
        REALM_TRY(
            session_truncate(sequence->session, sequence->number, sequence->n_common, NULL, error));
        sequence->n_there = sequence->n_common;
    }
    return REALM_OK;
}

static void note_sent(struct guest_sequence *sequence)
{
    sequence->n_there = (uint32_t)sequence->tokens.length;
    sequence->n_common = sequence->n_there;
}

static realm_status ask(struct instance *instance,
                        struct guest_sequence *sequence,
                        struct session_step *step,
                        session_ticket *ticket,
                        struct realm_error *error)
{
    REALM_TRY(bring_up(instance, sequence, error));
    step->sequence = sequence->number;
    step->tokens = sequence->tokens.ids + sequence->n_there;
    step->n_tokens = (uint32_t)sequence->tokens.length - sequence->n_there;
    REALM_TRY(session_step(sequence->session, step, 1, ticket, error));
    note_sent(sequence);
    return REALM_OK;
}

static realm_status verify(struct instance *instance,
                           struct guest_sequence *sequence,
                           const struct steps_draft *draft,
                           session_ticket *ticket,
                           struct realm_error *error)
{
    REALM_TRY(bring_up(instance, sequence, error));
    const uint32_t n_left = (uint32_t)sequence->tokens.length - sequence->n_there;
    if (n_left > 0) {
        REALM_TRY(session_append(sequence->session,
                                 sequence->number,
                                 sequence->tokens.ids + sequence->n_there,
                                 n_left,
                                 NULL,
                                 error));
        note_sent(sequence);
    }
    return session_verify(sequence->session,
                          sequence->number,
                          draft->tokens,
                          draft->n_tokens,
                          draft->sampling,
                          ticket,
                          error);
}

realm_status steps_ask(struct instance *instance,
                       struct guest_sequence *sequence,
                       struct session_step *step,
                       session_ticket *ticket,
                       struct realm_error *error)
{
    const realm_status status = ask(instance, sequence, step, ticket, error);
    if (status != REALM_OK) {
        steps_forget(sequence);
    }
    return status;
}

realm_status steps_verify(struct instance *instance,
                          struct guest_sequence *sequence,
                          const struct steps_draft *draft,
                          session_ticket *ticket,
                          struct realm_error *error)
{
    const realm_status status = verify(instance, sequence, draft, ticket, error);
    if (status != REALM_OK) {
        steps_forget(sequence);
    }
    return status;
}

void steps_fork(struct guest_sequence *original, struct guest_sequence *copy)
{
    session_sequence number;
    if (original->number == 0 ||
        session_fork(original->session, original->number, &number, NULL, NULL) != REALM_OK) {
        return;
    }
    copy->session = original->session;
    copy->number = number;
    copy->n_there = original->n_there;
    copy->n_common = original->n_common;
}

void steps_note_cut(struct guest_sequence *sequence)
{
    if (sequence->n_common > sequence->tokens.length) {
        sequence->n_common = (uint32_t)sequence->tokens.length;
    }
}

void steps_forget(struct guest_sequence *sequence)
{
    if (sequence->number != 0) {
        (void)REALM_INVARIANT(session_drop(sequence->session, sequence->number, NULL) == REALM_OK);
        sequence->number = 0;
    }
}

bool steps_next(struct instance *instance, struct event *out, struct session **from)
{
    for (const struct guest_session *one = instance->sessions; one != NULL; one = one->next) {
        if (session_next(one->session, out)) {
            *from = one->session;
            return true;
        }
    }
    return false;
}
