/* Ctrl-C as a question that long work asks, instead of the end of the process. */
#ifndef REALM_CLI_INTERRUPT_H
#define REALM_CLI_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT and SIGTERM only set a mark; a second one before interrupt_clear ends the
 * process at once. */
void interrupt_catch(void);
/* The signal's usual effect again. */
void interrupt_restore(void);
bool interrupt_seen(void);
/* Forgets the mark: the next Ctrl-C is a first one again. */
void interrupt_clear(void);

#endif
