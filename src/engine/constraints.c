/* A rule over a model's vocabulary. */
#include "engine/engine.h"
#include "engine/engine_model.h"

static struct bytes token_text(const void *context, token_id token, bool *special)
{
    *special = tokenizer_is_special(context, token) || tokenizer_is_end(context, token);
    return tokenizer_token_bytes(context, token, true);
}

static realm_status vocabulary_of(struct engine_model *model,
                                  const struct constraint_vocabulary **out,
                                  struct realm_error *error)
{
    realm_status status = REALM_OK;
    mutex_lock(&model->constraint_mutex);
    if (model->constraint_vocabulary == NULL) {
        const struct constraint_tokens tokens = {
            .n_tokens = tokenizer_vocabulary(model->tokenizer),
            .text = token_text,
            .context = model->tokenizer,
            .ends = model->end_tokens,
            .n_ends = model->n_end_tokens,
        };
        status = constraint_vocabulary_create(&tokens, &model->constraint_vocabulary, error);
    }
    *out = model->constraint_vocabulary;
    mutex_unlock(&model->constraint_mutex);
    return status;
}

realm_status engine_model_constrain(struct engine_model *model,
                                    const struct constraint_rule *rule,
                                    struct constraint **out,
                                    struct realm_error *error)
{
    *out = NULL;
    const struct constraint_vocabulary *vocabulary;
    REALM_TRY(vocabulary_of(model, &vocabulary, error));
    return constraint_create(vocabulary, rule, out, error);
}
