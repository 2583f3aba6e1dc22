/* A session over a tiny engine, whose events are kept by ticket. */
#ifndef REALM_TESTS_SUPPORT_TINY_SESSION_H
#define REALM_TESTS_SUPPORT_TINY_SESSION_H

#include "base/alloc.h"
#include "engine/session.h"
#include "support/tiny_engine.h"

#define TINY_MAX_TICKETS 2048u
#define TINY_MAX_PARTS   8u
#define TINY_MAX_TOP     20u

/* What came of one operation. */
struct tiny_told {
    bool done;
    struct event end; /* its pointers are void */
    char message[256];
    token_id tokens[TINY_MAX_TOKENS];
    uint32_t n_tokens;
    char text[2048];
    uint32_t n_logits; /* events of this kind, in order */
    struct event logits[TINY_MAX_PARTS];
    struct sampler_logprob top[TINY_MAX_PARTS][TINY_MAX_TOP];
};

struct tiny_session {
    struct session *session;
    struct tiny_told *told; /* [TINY_MAX_TICKETS] by ticket */
};

static inline void tiny_session_open(struct tiny_session *tiny,
                                     const struct tiny_engine *engine,
                                     const struct session_options *options)
{
    struct realm_error error;
    struct session_options asked = *options;
    asked.model = engine->model;
    tiny->told = alloc_zeroed(ALLOC_TEST, TINY_MAX_TICKETS, sizeof *tiny->told);
    assert_non_null(tiny->told);
    if (session_create(engine->engine, &asked, &tiny->session, &error) != REALM_OK) {
        fail_msg("%s", error.message);
    }
}

static inline void tiny_session_close(struct tiny_session *tiny)
{
    session_release(tiny->session);
    alloc_free(tiny->told);
}

static inline void tiny_keep(struct tiny_session *tiny, const struct event *event)
{
    assert_true(event->ticket > 0 && event->ticket < TINY_MAX_TICKETS);
    struct tiny_told *const told = &tiny->told[event->ticket];
    assert_false(told->done); /* nothing follows DONE */
    if (event->kind == EVENT_TOKEN) {
        assert_true(told->n_tokens < TINY_MAX_TOKENS);
        told->tokens[told->n_tokens++] = event->token;
    } else if (event->kind == EVENT_LOGITS) {
        assert_true(told->n_logits < TINY_MAX_PARTS);
        assert_true(event->n_top <= TINY_MAX_TOP);
        if (event->n_top > 0) {
            memcpy(told->top[told->n_logits], event->top, event->n_top * sizeof *event->top);
        }
        told->logits[told->n_logits++] = *event;
    } else {
        assert_int_equal(event->kind, EVENT_DONE);
        told->done = true;
        told->end = *event;
        if (event->message != NULL) {
            (void)snprintf(told->message, sizeof told->message, "%s", event->message);
        }
    }
    const size_t n = strlen(told->text);
    assert_true(n + event->text.length < sizeof told->text);
    if (event->text.length > 0) {
        memcpy(told->text + n, event->text.data, event->text.length);
    }
}

/* Reads until the operation has ended. */
static inline const struct tiny_told *tiny_await(struct tiny_session *tiny, session_ticket ticket)
{
    while (!tiny->told[ticket].done) {
        struct event event;
        if (session_next(tiny->session, &event)) {
            tiny_keep(tiny, &event);
        } else {
            assert_true(session_wait(tiny->session, TINY_WAIT_MS));
        }
    }
    return &tiny->told[ticket];
}

static inline void assert_ok(realm_status status, const struct realm_error *error)
{
    if (status != REALM_OK) {
        fail_msg("%s", error->message);
    }
}

static inline session_sequence tiny_sequence(struct tiny_session *tiny)
{
    session_sequence sequence;
    struct realm_error error;
    assert_ok(session_sequence_create(tiny->session, 0, &sequence, &error), &error);
    return sequence;
}

static inline session_ticket tiny_append(struct tiny_session *tiny,
                                         session_sequence sequence,
                                         const token_id *tokens,
                                         uint32_t n_tokens)
{
    session_ticket ticket;
    struct realm_error error;
    assert_ok(session_append(tiny->session, sequence, tokens, n_tokens, &ticket, &error), &error);
    return ticket;
}

/* n_tokens of what comes next, the end token or not. */
static inline session_ticket tiny_generate(struct tiny_session *tiny,
                                           session_sequence sequence,
                                           uint32_t n_tokens,
                                           const struct sampler_options *sampling)
{
    session_ticket ticket;
    struct realm_error error;
    struct session_generation generation = {.max_tokens = n_tokens, .ignore_end = true};
    if (sampling != NULL) {
        generation.sampling.options = *sampling;
    }
    assert_ok(session_generate(tiny->session, sequence, &generation, &ticket, &error), &error);
    return ticket;
}

static inline session_sequence tiny_fork(struct tiny_session *tiny, session_sequence sequence)
{
    session_sequence fork;
    struct realm_error error;
    assert_ok(session_fork(tiny->session, sequence, &fork, NULL, &error), &error);
    return fork;
}

static inline void tiny_drop(struct tiny_session *tiny, session_sequence sequence)
{
    struct realm_error error;
    assert_ok(session_drop(tiny->session, sequence, &error), &error);
}

/* What a request of its own says after the tokens. */
static inline void tiny_reference(const struct tiny_engine *tiny,
                                  const token_id *prompt,
                                  uint32_t n_prompt,
                                  uint32_t n_tokens,
                                  const struct sampler_options *sampling,
                                  struct tiny_answer *answer)
{
    struct request request = {.model = tiny->model,
                              .prompt = prompt,
                              .n_prompt = n_prompt,
                              .max_tokens = n_tokens,
                              .ignore_end = true};
    if (sampling != NULL) {
        request.sampling = *sampling;
    }
    tiny_run(tiny, &request, answer);
}

static inline void assert_told(const struct tiny_told *told, const struct tiny_answer *answer)
{
    if (told->end.status != REALM_OK) {
        fail_msg("%s", told->message);
    }
    assert_int_equal(told->n_tokens, answer->n_tokens);
    assert_memory_equal(told->tokens, answer->tokens, answer->n_tokens * sizeof(token_id));
}

#endif
