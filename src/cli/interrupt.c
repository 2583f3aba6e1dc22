#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A signal handler reaches nothing but static storage; this is all of it. */
static volatile sig_atomic_t seen;

static void on_signal(int number)
{
    if (seen != 0) {
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
    seen = 1;
}

void interrupt_catch(void)
{
    /* No SA_RESTART: a read that waits for the user's line returns. */
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    seen = 0;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

void interrupt_restore(void)
{
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
}

bool interrupt_seen(void)
{
    return seen != 0;
}

void interrupt_clear(void)
{
    seen = 0;
}
