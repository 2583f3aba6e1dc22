/* Any bytes as a safetensors file: it opens or is refused, and what opens can be read to its end
 * and taken for an adapter.  Then once more while memory runs out at a place that the input
 * chooses. */
#include "base/alloc.h"
#include "model/adapter.h"
#include "model/safetensors.h"
#include "support/tiny_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static struct model *tiny(void)
{
    static struct model *model;
    static struct strbuf bytes;
    if (model == NULL) {
        struct tiny_file file;
        struct realm_error error;
        tiny_model(&file, "llama", TENSOR_F32);
        strbuf_init(&bytes, ALLOC_TEST, SIZE_MAX);
        tiny_write(&file, &bytes);
        const struct bytes view = {(const uint8_t *)bytes.text, bytes.length};
        require(model_open_bytes(view, NULL, &model, &error) == REALM_OK);
    }
    return model;
}

static uint64_t sum_of(struct bytes bytes)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < bytes.length; i++) {
        sum += bytes.data[i];
    }
    return sum;
}

static void walk(const struct safetensors *file)
{
    for (uint32_t i = 0; i < safetensors_n(file); i++) {
        const struct safetensor *const tensor = safetensors_at(file, i);
        uint64_t row_bytes;
        require(tensor_type_row_bytes(tensor->type, tensor->columns, &row_bytes));
        require(tensor->data.length == row_bytes * tensor->rows);
        require(sum_of(tensor->data) > 0);
        require(safetensors_find(file, tensor->name) == tensor);
    }
    const char *const config = safetensors_config(file);
    require(config == NULL || strlen(config) < 1 << 20);
}

static void open_all(const struct model *model, struct bytes bytes)
{
    const uint64_t held = alloc_held_bytes(ALLOC_MODEL);
    struct safetensors *file;
    struct adapter *adapter;
    struct realm_error error = {.status = REALM_OK};
    realm_status status = safetensors_open(bytes, &file, &error);
    require(error.status == status && (status == REALM_OK) == (file != NULL));
    if (status == REALM_OK) {
        walk(file);
        safetensors_close(file);
    }
    error = (struct realm_error){.status = REALM_OK};
    status = adapter_open(model, bytes, &adapter, &error);
    require(error.status == status && (status == REALM_OK) == (adapter != NULL));
    if (status == REALM_OK) {
        uint32_t n_parts;
        const struct adapter_part *const parts = adapter_parts(adapter, &n_parts);
        for (uint32_t i = 0; i < n_parts; i++) {
            const struct bytes b = {parts[i].b.bytes.data, parts[i].b.bytes.n_bytes};
            require(sum_of(b) > 0);
        }
        adapter_close(adapter);
    } else {
        require(error.message[0] != '\0');
    }
    require(alloc_held_bytes(ALLOC_MODEL) == held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const struct model *const model = tiny();
    /* A file lies at an address that numbers can be read from. */
    char *const copy = alloc_string(ALLOC_TEST, (const char *)data, n_bytes);
    require(copy != NULL);
    const struct bytes bytes = {(const uint8_t *)copy, n_bytes};
    open_all(model, bytes);
    if (n_bytes > 0) {
        alloc_fail_after(data[n_bytes - 1] % 16);
        open_all(model, bytes);
        alloc_fail_after(UINT64_MAX);
    }
    alloc_free(copy);
    return 0;
}
