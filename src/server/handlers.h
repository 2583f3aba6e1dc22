/* The functions behind the routes. */
#ifndef REALM_SERVER_HANDLERS_H
#define REALM_SERVER_HANDLERS_H

#include "server/exchange.h"

void answer_health(struct exchange *exchange);
void answer_ready(struct exchange *exchange);
void answer_metrics(struct exchange *exchange);
void answer_models(struct exchange *exchange);
void answer_model(struct exchange *exchange);
void prepare_chat(struct exchange *exchange);
void prepare_text(struct exchange *exchange);

#endif
