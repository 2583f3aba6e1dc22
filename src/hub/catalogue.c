#include "hub/hub.h"

#include <string.h>
#include <strings.h>

/* The first is the default model.  All are small enough for a laptop and of architectures that
 * src/model knows. */
static const struct hub_catalogue_entry entries[] = {
    {"smollm2",
     "hf:bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M",
     "SmolLM2-135M-Instruct",
     "SmolLM2 135M Instruct, 0.1 GB: answers at once on any machine"},
    {"smollm2-360m",
     "hf:bartowski/SmolLM2-360M-Instruct-GGUF:Q4_K_M",
     "SmolLM2-360M-Instruct",
     "SmolLM2 360M Instruct, 0.3 GB"},
    {"smollm2-1.7b",
     "hf:bartowski/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M",
     "SmolLM2-1.7B-Instruct",
     "SmolLM2 1.7B Instruct, 1.1 GB"},
    {"gemma3-270m",
     "hf:unsloth/gemma-3-270m-it-GGUF:Q4_K_M",
     "gemma-3-270m",
     "Gemma 3 270M, 0.25 GB: 262,144 tokens, many languages"},
    {"gemma3-1b", "hf:unsloth/gemma-3-1b-it-GGUF:Q4_K_M", "gemma-3-1b", "Gemma 3 1B, 0.8 GB"},
    {"qwen2.5-0.5b",
     "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
     "qwen2.5-0.5b-instruct",
     "Qwen 2.5 0.5B Instruct, 0.5 GB"},
    {"qwen3-0.6b",
     "hf:unsloth/Qwen3-0.6B-GGUF:Q4_K_M",
     "Qwen3-0.6B",
     "Qwen 3 0.6B, 0.4 GB: thinks before it answers"},
    {"qwen3-1.7b", "hf:unsloth/Qwen3-1.7B-GGUF:Q4_K_M", "Qwen3-1.7B", "Qwen 3 1.7B, 1.1 GB"},
    {"llama3.2-1b",
     "hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M",
     "Llama-3.2-1B-Instruct",
     "Llama 3.2 1B Instruct, 0.8 GB"},
    {"phi3-mini",
     "hf:microsoft/Phi-3-mini-4k-instruct-gguf:q4",
     "Phi-3-mini-4k-instruct",
     "Phi 3 mini 3.8B Instruct, 2.4 GB"},
};

const struct hub_catalogue_entry *hub_catalogue_at(size_t index)
{
    return index < sizeof entries / sizeof entries[0] ? &entries[index] : NULL;
}

const struct hub_catalogue_entry *hub_catalogue_find(const char *name)
{
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcasecmp(entries[i].name, name) == 0) {
            return &entries[i];
        }
    }
    return NULL;
}
