/* Where an answer comes from, piece by piece, once a prepare thread has begun it: a completion of
 * the engine, the run of a program.
 *
 * A source is made and begun on a prepare thread, and belongs to its exchange and the I/O thread
 * from then on. */
#ifndef REALM_SERVER_SOURCE_H
#define REALM_SERVER_SOURCE_H

#include "base/bytes.h"
#include "engine/engine.h"
#include "server/frames.h"
#include "server/problem.h"

struct source;

enum source_progress {
    SOURCE_WAITING, /* nothing more until the server is woken */
    SOURCE_MORE,    /* stopped at max_bytes: there is more */
    SOURCE_DONE,    /* the whole answer was given, or the source failed */
};

/* What a request has used, for the log and the ledger. */
struct source_usage {
    const char *model;    /* "" for none */
    const char *end_user; /* who the client says is behind the request; "" for nobody */
    uint64_t prompt_tokens;
    uint64_t cached_tokens; /* of the prompt's */
    uint64_t completion_tokens;
    const char *finish_reason; /* of the first choice; NULL: it has not ended, or has none */
    struct generation_moments moments; /* of the first prompt; zeros where there is none */
};

struct source_type {
    /* A stream: appends events until about max_bytes.  Otherwise: gathers, and appends the whole
     * answer, one JSON value, to frames->out at its end. */
    enum source_progress (*pull)(struct source *source, struct frames *frames, size_t max_bytes);
    /* Whether there is something to pull. */
    bool (*readable)(const struct source *source);
    void (*usage)(const struct source *source, struct source_usage *out);
    /* What usage() tells is of what was pulled.  Then what is there already is pulled for a client
     * that went away, too; it must come to an end, for the I/O thread does that. */
    bool counts_what_is_pulled;
    /* A client's message for what runs, JSON text, copied; NULL: it takes none.  On error it was
     * not taken, and the problem says why: I/O thread. */
    realm_status (*deliver)(struct source *source, struct bytes message, struct problem *problem);
    /* No more of them comes.  NULL as `deliver` is. */
    void (*close_input)(struct source *source);
    /* Cancels what still runs. */
    void (*destroy)(struct source *source);
};

/* First member of what a source is. */
struct source {
    const struct source_type *type;
    bool stream;
    bool failed; /* `problem` says why; nothing of it was written */
    struct problem problem;
};

#endif
