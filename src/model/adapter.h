/* A LoRA adapter's file, understood: which of a model's weights it adds to, and with what.
 *
 * Read are GGUF files as llama.cpp's converter writes them: general.type "adapter", adapter.type
 * "lora", general.architecture as the model has it, adapter.lora.alpha, and for each weight it adds
 * to the tensors "<name of the weight>.lora_a" (rank x columns) and "<name>.lora_b" (rows x rank),
 * F32, F16, BF16 or Q8_0.  The scale is alpha / rank; 1 where alpha is 0.
 *
 * And safetensors files as PEFT writes them, with what stood in adapter_config.json beside them
 * under that name in "__metadata__": "...layers.3.self_attn.q_proj.lora_A.weight" is A of
 * blk.3.attn_q. Rows of q and k are put in the order that llama's GGUF files have them in.
 *
 * Owner: whoever called adapter_open.  Immutable then. */
#ifndef REALM_MODEL_ADAPTER_H
#define REALM_MODEL_ADAPTER_H

#include "base/bytes.h"
#include "model/model.h"
#include "plan/adapter.h"

struct adapter;

/* bytes: the file, which outlives the adapter, at an address that is a multiple of 4; the model
 * too.
 * INVALID_FORMAT names the key or tensor, what it has and what the model asks for; UNSUPPORTED: an
 * adapter of another kind or for another architecture, or for a weight that cannot have one;
 * OUT_OF_MEMORY.  Any thread. */
REALM_MUST_CHECK realm_status adapter_open(const struct model *model,
                                           struct bytes bytes,
                                           struct adapter **out,
                                           struct realm_error *error);
/* NULL is fine. */
void adapter_close(struct adapter *adapter);
/* For backend_adapter_create; lives as long as the adapter. */
const struct adapter_part *adapter_parts(const struct adapter *adapter, uint32_t *n_parts);

#endif
