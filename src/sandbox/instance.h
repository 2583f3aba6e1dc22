/* One run of one function: a Wasmtime store with the guest's memory, its handles, its output and
 * input, and how far it has come.
 *
 * Two owners: the reader (who started it) and the poller (until it has ended); the last frees it.
 * What lies under "guest" is touched only by the thread that has the instance's turn.
 *
 * Life: STARTING -> INITIALIZING (when the module wants it) -> RUNNING -> ended.  A turn polls the
 * guest until it has ended, waits for something, or has used its slice of time. */
#ifndef REALM_SANDBOX_INSTANCE_H
#define REALM_SANDBOX_INSTANCE_H

#include "base/random.h"
#include "sandbox/handles.h"
#include "sandbox/limits.h"
#include "sandbox/mailbox.h"
#include "sandbox/poller.h"
#include "sandbox/program.h"
#include "sandbox/tally.h"

struct call_wait;
struct generation;
struct guest_session;
struct guest_stream;
struct step_run;

#define OUTPUT_LINE_BYTES 512u

/* What a guest has written to standard output or error since the last end of a line. */
struct output_line {
    uint32_t length;
    char bytes[OUTPUT_LINE_BYTES];
};

enum instance_phase { PHASE_STARTING, PHASE_INITIALIZING, PHASE_RUNNING };

/* Kinds of mailbox messages are guest_event_kind's. */
struct instance {
    struct task task; /* first: the poller's view */
    _Atomic uint32_t owners;
    _Atomic bool cancelled;
    struct sandbox *sandbox;
    struct program *program;
    struct sandbox_tenant *tenant;
    struct engine_model *model;
    struct account *account; /* NULL: the engine's own */
    struct sandbox_limits limits;
    const char *export; /* to be called */
    char *request;
    size_t n_request;
    char *meta;
    size_t n_meta;
    bool takes_input;
    bool only_model;
    uint64_t max_context; /* 0: the model's */
    uint32_t depth;       /* programs above this one */
    uint64_t seed;
    struct tally *tally; /* of its tokens: its caller's too */

    struct mailbox output; /* FINISHED is not in it: see `finished`; nor is what a pipe brings */
    struct mailbox input;
    void (*wake)(void *context);
    void *wake_context;
    struct mutex
        lock; /* finished, its event, the pipe, and that wake is not called after release */
    struct guest_stream *piped; /* pipe.h; NULL: none is open */
    uint64_t n_pipes;           /* opened so far */
    bool finished;
    bool reader_gone;
    struct guest_event end; /* FINISHED */
    char end_message[sizeof(((struct realm_error *)0)->message)];
    /* The reader's: */
    struct message *reading;
    bool told_end;

    /* guest */
    enum instance_phase phase;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasmtime_instance_t wasm;
    wasmtime_memory_t memory;
    bool has_memory;
    wasmtime_func_t function;
    wasmtime_val_t result;
    wasmtime_call_future_t *future;
    wasm_trap_t *trap;
    wasmtime_error_t *error;
    bool counting;            /* processor time since the last host call: */
    uint64_t counted_ns;      /* in turns before this one, */
    uint64_t counted_from_ns; /* and in this turn since its thread had run so long */
    uint64_t turn_from_ns;    /* of its thread's processor time */
    uint64_t quick_ns;        /* of turns on quick threads that ended before their slice did */
    uint64_t calls_in_turn;   /* on a slow thread */
    bool yielded;             /* its slice is over */
    bool waits;               /* its call does; otherwise fuel for a moment is used up */
    bool returns;             /* its call wants a turn of its own on a quick thread */
    bool goes_back;           /* it has been on one for that only: the next tick ends its slice */
    bool ended;               /* what is left to do is to give everything back */
    bool exited;              /* proc_exit: ended by itself, exit_code says how */
    int32_t exit_code;
    struct call_wait *waiting; /* the call it is suspended in */
    struct handle_table handles;
    struct guest_session *sessions; /* of the models whose sequences it steps */
    struct step_run *step;          /* the step it is in, or was in last */
    struct generation *embedding;   /* that it waits for in embed; NULL: none */
    uint64_t n_sequences;
    uint64_t n_sequence_tokens;
    uint64_t fuel_back; /* that programs it invoked have left */
    uint64_t host_calls;
    uint64_t output_bytes;
    uint64_t log_bytes;
    struct output_line lines[2]; /* of standard output, of standard error */
    uint64_t prompt_tokens;      /* with those of programs it invoked that have ended */
    uint64_t completion_tokens;
    struct philox random;
    bool cut_short;      /* the stream it piped out last */
    bool store_was_full; /* a call was refused with QUOTA */
    int32_t breach;      /* enum limit that was passed, or -1 */
    char last_error[256];
};

/* The same as sandbox_start, for a guest's own call; caller NULL: nobody's. */
REALM_MUST_CHECK realm_status instance_start(struct sandbox *sandbox,
                                             const struct instance_options *options,
                                             const struct instance *caller,
                                             const struct sandbox_limits *limits,
                                             struct instance **out,
                                             struct realm_error *error);
/* Makes it run on: what it waits for may be there.  Any thread. */
void instance_wake(struct instance *instance);
/* In a call of a guest that is on a quick thread for its sake: it goes on on a slow one. */
void instance_go_back(struct instance *instance);
/* Tells the reader that there is something to read. */
void instance_signal(struct instance *instance);
/* Tokens it has used itself.  In its turn. */
void instance_count_tokens(struct instance *instance, uint64_t prompt, uint64_t completion);
/* A line of the guest's log; what is over the limit is dropped.  In the instance's turn. */
void instance_log(struct instance *instance, uint32_t level, struct bytes line);

#endif
