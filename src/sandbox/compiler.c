/* The child's side of compile.c: reads an order and a module, gives its privileges up, compiles,
 * answers 'c' with the code or 'e' with a message. */
#include "base/alloc.h"
#include "sandbox/compile.h"
#include "sandbox/confine.h"
#include "sandbox/runtime.h"

#include <errno.h>
#include <unistd.h>

static bool read_all(uint8_t *out, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = read(STDIN_FILENO, out, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        out += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool write_all(const char *data, size_t n_bytes)
{
    while (n_bytes > 0) {
        const ssize_t n = write(STDOUT_FILENO, data, n_bytes);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        data += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

static bool answer_error(wasmtime_error_t *error)
{
    wasm_byte_vec_t message;
    wasmtime_error_message(error, &message);
    const bool sent = write_all("e", 1) && write_all(message.data, message.size);
    wasm_byte_vec_delete(&message);
    wasmtime_error_delete(error);
    return sent;
}

static bool compile(wasm_engine_t *engine, const uint8_t *module_bytes, size_t n_bytes)
{
    wasmtime_module_t *module = NULL;
    wasmtime_error_t *error = wasmtime_module_new(engine, module_bytes, n_bytes, &module);
    if (error != NULL) {
        return answer_error(error);
    }
    wasm_byte_vec_t code;
    error = wasmtime_module_serialize(module, &code);
    if (error != NULL) {
        return answer_error(error);
    }
    return write_all("c", 1) && write_all(code.data, code.size);
}

/* The process ends right after, which frees everything. */
int sandbox_compiler_main(void)
{
    struct compile_order order;
    if (!read_all((uint8_t *)&order, sizeof(order))) {
        return 2;
    }
    wasm_engine_t *engine = runtime_compiler_engine();
    if (!confine_process(order.memory_bytes, order.time_ms)) {
        return 3;
    }
    uint8_t *module = alloc_bytes(ALLOC_GUEST, order.module_bytes);
    if (module == NULL || !read_all(module, order.module_bytes)) {
        return 2;
    }
    const bool done = compile(engine, module, order.module_bytes);
    confine_leave(done ? 0 : 2);
}
