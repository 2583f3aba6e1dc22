/* Any bytes as a model file: it opens or is refused, and what opens can be walked to its end.  Then
 * once more while memory runs out at a place that the input chooses. */
#include "gguf/gguf.h"
#include "support/gguf_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void require(bool holds)
{
    if (!holds) {
        __builtin_trap();
    }
}

static void look_up(const struct gguf *gguf)
{
    uint32_t number;
    float real;
    bool flag;
    struct bytes string;
    const struct gguf_value *array;
    for (size_t i = 0; i < gguf_n_values(gguf); i++) {
        const char *key = gguf_value_at(gguf, i)->key;
        struct realm_error error;
        (void)(gguf_get_u32(gguf, key, &number, &error) == REALM_OK);
        (void)(gguf_get_f32(gguf, key, &real, &error) == REALM_OK);
        (void)(gguf_get_bool(gguf, key, &flag, &error) == REALM_OK);
        (void)(gguf_get_string(gguf, key, &string, &error) == REALM_OK);
        (void)(gguf_get_array(gguf, key, GGUF_STRING, &array, &error) == REALM_OK);
    }
}

static void open_and_walk(struct bytes bytes)
{
    struct gguf *gguf;
    struct realm_error error = {.status = REALM_OK, .message = ""};
    const realm_status status = gguf_open_bytes(bytes, &gguf, &error);
    require(error.status == status);
    if (status == REALM_OK) {
        require(gguf_walk(gguf) != 0);
        look_up(gguf);
        gguf_close(gguf);
    } else {
        require(gguf == NULL && error.message[0] != '\0');
    }
    require(alloc_held_bytes(ALLOC_MODEL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    const struct bytes bytes = {data, n_bytes};
    open_and_walk(bytes);
    if (n_bytes > 0) {
        alloc_fail_after(data[n_bytes - 1] % 32);
        open_and_walk(bytes);
        alloc_fail_after(UINT64_MAX);
    }
    return 0;
}
