/* Messages of a client for what it has running: `recv` of a program reads them.
 *
 * A message that comes before the run has begun is kept, and handed over when the run is there.
 * I/O thread only. */
#ifndef REALM_SERVER_WS_INPUT_H
#define REALM_SERVER_WS_INPUT_H

#include "server/ws_session.h"

#define WS_MAX_INPUT_BYTES ((size_t)64 << 10) /* of one message */
#define WS_MAX_EARLY_BYTES ((size_t)256 << 10)
#define WS_MAX_EARLY       64u

void ws_input_init(struct ws_input *input);
void ws_input_deinit(struct ws_input *input);
/* WS_INPUT and WS_INPUT_END.  On error nothing has changed, and the problem says what the client is
 * told. */
REALM_MUST_CHECK realm_status ws_input_take(struct ws_request *request,
                                            const struct ws_message *message,
                                            struct problem *problem);
/* The request was prepared: hands over what came before, and tells the client of what was not
 * taken. */
void ws_input_hand_over(struct ws_request *request);

#endif
