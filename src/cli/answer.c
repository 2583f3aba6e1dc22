#include "cli/answer.h"

#include "base/clock.h"
#include "cli/interrupt.h"
#include "cli/term.h"

#define POLL_MS 100u /* how soon a Ctrl-C is noticed between tokens */

static realm_status
take_event(const struct event *event, FILE *shown, struct answer *answer, struct realm_error *error)
{
    switch (event->kind) {
    case EVENT_STARTED:
        answer->n_prompt_tokens = event->n_prompt_tokens;
        return REALM_OK;
    case EVENT_DONE:
        answer->n_prompt_tokens = event->n_prompt_tokens;
        answer->n_completion_tokens = event->n_completion_tokens;
        return REALM_OK;
    case EVENT_FINISHED:
        answer->finish = event->finish;
        break;
    case EVENT_TOKEN:
        break;
    case EVENT_LOGITS:
        return REALM_OK; /* of a session, not of a request */
    }
    if (event->text.length > 0) {
        strbuf_append(&answer->text, (const char *)event->text.data, event->text.length);
        if (shown != NULL) {
            term_write(shown, event->text);
            (void)fflush(shown);
        }
    }
    if (event->kind == EVENT_FINISHED && event->finish == REALM_FINISH_ERROR) {
        return realm_error_set(error,
                               event->status,
                               "%s",
                               event->message != NULL ? event->message : "the answer failed");
    }
    return REALM_OK;
}

realm_status answer_run(struct engine *engine,
                        const struct request *request,
                        FILE *shown,
                        struct answer *out,
                        struct realm_error *error)
{
    struct generation *generation;
    *out = (struct answer){.finish = REALM_FINISH_NONE};
    strbuf_init(&out->text, ALLOC_REQUEST, SIZE_MAX);
    const uint64_t begin_ns = clock_monotonic_ns();
    REALM_TRY(engine_submit(engine, request, &generation, error));
    realm_status status = REALM_OK;
    bool done = false;
    while (!done) {
        struct event event;
        if (interrupt_seen()) {
            generation_cancel(generation);
        }
        if (!generation_wait(generation, POLL_MS)) {
            continue;
        }
        while (!done && generation_next(generation, &event)) {
            if (event.kind == EVENT_TOKEN && out->first_token_ns == 0) {
                out->first_token_ns = clock_monotonic_ns() - begin_ns;
            }
            const realm_status taken = take_event(&event, shown, out, error);
            status = status == REALM_OK ? taken : status;
            done = event.kind == EVENT_DONE;
        }
    }
    out->total_ns = clock_monotonic_ns() - begin_ns;
    generation_release(generation);
    if (status == REALM_OK && out->text.failed) {
        status = realm_error_out_of_memory(error, out->text.length, "the answer");
    }
    return status;
}

double answer_rate(const struct answer *answer)
{
    const uint64_t ns = answer->total_ns - answer->first_token_ns;
    return answer->n_completion_tokens > 1 && ns > 0
               ? (double)(answer->n_completion_tokens - 1) * 1e9 / (double)ns
               : 0;
}

const char *answer_finish_name(realm_finish finish)
{
    switch (finish) {
    case REALM_FINISH_STOP:
        return "stop";
    case REALM_FINISH_LENGTH:
        return "length";
    case REALM_FINISH_CANCELLED:
        return "cancelled";
    case REALM_FINISH_ERROR:
        return "error";
    case REALM_FINISH_NONE:
        break;
    }
    return "none";
}
