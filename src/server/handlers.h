/* The functions behind the routes. */
#ifndef REALM_SERVER_HANDLERS_H
#define REALM_SERVER_HANDLERS_H

#include "server/exchange.h"

void answer_ws(struct exchange *exchange);
void answer_health(struct exchange *exchange);
void answer_ready(struct exchange *exchange);
void answer_metrics(struct exchange *exchange);
void prepare_models(struct exchange *exchange);
void prepare_model(struct exchange *exchange);
void prepare_chat(struct exchange *exchange);
void prepare_embeddings(struct exchange *exchange);
void prepare_apply_template(struct exchange *exchange);
void prepare_tokenize(struct exchange *exchange);
void prepare_detokenize(struct exchange *exchange);
void prepare_response(struct exchange *exchange);
void prepare_response_get(struct exchange *exchange);
void prepare_response_delete(struct exchange *exchange);
void prepare_response_cancel(struct exchange *exchange);
void prepare_response_items(struct exchange *exchange);
void prepare_openapi(struct exchange *exchange);
void prepare_text(struct exchange *exchange);

/* programs.c */
void prepare_programs_list(struct exchange *exchange);
void prepare_programs_patch(struct exchange *exchange);
void prepare_program_show(struct exchange *exchange);
void prepare_program_push(struct exchange *exchange);
void prepare_program_delete(struct exchange *exchange);
void prepare_program_version_delete(struct exchange *exchange);
void prepare_program_activate(struct exchange *exchange);
void prepare_program_logs(struct exchange *exchange);
void prepare_program_run(struct exchange *exchange);
void prepare_program_function(struct exchange *exchange);

/* adapters.c */
void prepare_adapters_list(struct exchange *exchange);
void prepare_adapter_show(struct exchange *exchange);
void prepare_adapter_push(struct exchange *exchange);
void prepare_adapter_delete(struct exchange *exchange);

/* admin_tenants.c, admin_keys.c, admin_usage.c */
void prepare_admin_tenant_create(struct exchange *exchange);
void prepare_admin_tenant_list(struct exchange *exchange);
void prepare_admin_tenant_show(struct exchange *exchange);
void prepare_admin_tenant_set(struct exchange *exchange);
void prepare_admin_tenant_delete(struct exchange *exchange);
void prepare_admin_key_create(struct exchange *exchange);
void prepare_admin_key_list(struct exchange *exchange);
void prepare_admin_key_show(struct exchange *exchange);
void prepare_admin_key_set(struct exchange *exchange);
void prepare_admin_key_revoke(struct exchange *exchange);
void prepare_admin_key_rotate(struct exchange *exchange);
void prepare_admin_usage(struct exchange *exchange);
void prepare_admin_price_list(struct exchange *exchange);
void prepare_admin_price_set(struct exchange *exchange);
void prepare_admin_price_remove(struct exchange *exchange);
void prepare_admin_audit(struct exchange *exchange);

#endif
