#include "sandbox/program.h"

#include "base/strbuf.h"
#include "sandbox/artefact.h"
#include "sandbox/compile.h"
#include "sandbox/limits.h"
#include "sandbox/module_scan.h"
#include "sandbox/state.h"

#include <jansson.h>

#define DEFAULT_FUNCTION  "realm_run"
#define COMMAND_FUNCTION  "_start"
#define INITIALIZE_EXPORT "_initialize"
#define DESCRIBE_EXPORT   "realm_describe"

/* What a change of the compiler or of its settings must change. */
static const char compiler_version[] = RUNTIME_WASMTIME " realm_v1 settings 1";

/* --- code --------------------------------------------------------------------------------------
 */

static realm_status get_code(struct sandbox *sandbox,
                             struct bytes module,
                             const struct sandbox_limits *limits,
                             wasmtime_module_t **out,
                             struct realm_error *error)
{
    uint8_t key[ARTEFACT_KEY_BYTES];
    REALM_TRY(artefact_key(module, compiler_version, key, error));
    size_t n_bytes = 0;
    uint8_t *code = artefact_find(&sandbox->artefacts, key, &n_bytes);
    if (code != NULL) {
        wasmtime_error_t *wasm_error =
            wasmtime_module_deserialize(sandbox->runtime.engine, code, n_bytes, out);
        alloc_free(code);
        if (wasm_error == NULL) {
            return REALM_OK;
        }
        /* Made for another processor: compiled anew below. */
        wasmtime_error_delete(wasm_error);
    }
    REALM_TRY(compile_module(sandbox, module, limits, &code, &n_bytes, error));
    wasmtime_error_t *wasm_error =
        wasmtime_module_deserialize(sandbox->runtime.engine, code, n_bytes, out);
    if (wasm_error == NULL) {
        artefact_keep(&sandbox->artefacts, key, (struct bytes){.data = code, .length = n_bytes});
    }
    alloc_free(code);
    return wasm_error == NULL ? REALM_OK : runtime_error(error, REALM_INVALID_FORMAT, wasm_error);
}

/* --- exports -----------------------------------------------------------------------------------
 */

static bool is_named(const wasm_exporttype_t *export, const char *name)
{
    const wasm_name_t *own = wasm_exporttype_name(export);
    return own->size == strlen(name) && memcmp(own->data, name, own->size) == 0;
}

/* () -> i32 with n_results 1, () -> () with 0. */
static bool is_function(const wasm_exporttype_t *export, size_t n_results)
{
    const wasm_functype_t *type = wasm_externtype_as_functype_const(wasm_exporttype_type(export));
    if (type == NULL || wasm_functype_params(type)->size != 0) {
        return false;
    }
    const wasm_valtype_vec_t *results = wasm_functype_results(type);
    return results->size == n_results &&
           (n_results == 0 || wasm_valtype_kind(results->data[0]) == WASM_I32);
}

static realm_status add_function(struct program *program,
                                 const char *name,
                                 size_t n_bytes,
                                 const char *description,
                                 const char *parameters,
                                 bool streaming,
                                 struct realm_error *error)
{
    if (program->n_functions == PROGRAM_MAX_FUNCTIONS) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "more than %u functions are declared",
                               PROGRAM_MAX_FUNCTIONS);
    }
    struct program_function *function = &program->functions[program->n_functions];
    function->name = arena_string(&program->arena, name, n_bytes);
    function->description = arena_string(&program->arena, description, strlen(description));
    function->parameters_json = arena_string(&program->arena, parameters, strlen(parameters));
    function->streaming = streaming;
    if (function->name == NULL || function->description == NULL ||
        function->parameters_json == NULL) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "the declared functions take more than 1 MiB");
    }
    program->n_functions++;
    return REALM_OK;
}

static realm_status look_at_exports(struct program *program,
                                    const wasm_exporttype_vec_t *exports,
                                    struct realm_error *error)
{
    bool has_memory = false;
    bool runs = false;
    bool starts = false;
    for (size_t i = 0; i < exports->size; i++) {
        const wasm_exporttype_t *export = exports->data[i];
        const wasm_memorytype_t *memory =
            wasm_externtype_as_memorytype_const(wasm_exporttype_type(export));
        if (memory != NULL && is_named(export, "memory")) {
            has_memory = true;
            program->wide = wasmtime_memorytype_is64(memory);
        }
        runs |= is_named(export, DEFAULT_FUNCTION) && is_function(export, 1);
        starts |= is_named(export, COMMAND_FUNCTION) && is_function(export, 0);
        program->initializes |= is_named(export, INITIALIZE_EXPORT) && is_function(export, 0);
        program->describes |= is_named(export, DESCRIBE_EXPORT) && is_function(export, 1);
    }
    if (!has_memory) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "the module exports no memory under the name \"memory\"");
    }
    const char *name = runs ? DEFAULT_FUNCTION : COMMAND_FUNCTION;
    if (!runs && !starts) {
        return realm_error_set(
            error,
            REALM_INVALID_FORMAT,
            "the module exports neither realm_run () -> i32 nor _start () -> ()");
    }
    return add_function(program, name, strlen(name), "", "{}", true, error);
}

/* Every declared function must be an export that can be called. */
static realm_status check_declared(const struct program *program,
                                   const wasm_exporttype_vec_t *exports,
                                   struct realm_error *error)
{
    for (uint32_t i = 0; i < program->n_functions; i++) {
        const char *name = program->functions[i].name;
        bool found = false;
        for (size_t j = 0; j < exports->size; j++) {
            const wasm_exporttype_t *export = exports->data[j];
            const size_t n_results = strcmp(name, COMMAND_FUNCTION) == 0 ? 0 : 1;
            found |= is_named(export, name) && is_function(export, n_results);
        }
        if (!found) {
            return realm_error_set(error,
                                   REALM_INVALID_FORMAT,
                                   "the declared function \"%s\" is not exported as () -> i32",
                                   name);
        }
    }
    return REALM_OK;
}

static int append_json(const char *text, size_t n_bytes, void *out)
{
    return strbuf_append(out, text, n_bytes) ? 0 : -1;
}

realm_status program_declare(struct program *program, struct bytes json, struct realm_error *error)
{
    json_error_t json_error;
    json_t *list = json_loadb((const char *)json.data, json.length, 0, &json_error);
    if (!json_is_array(list)) {
        json_decref(list);
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "the declaration of functions is not a JSON array (%s)",
                               list == NULL ? json_error.text : "it is another value");
    }
    program->n_functions = 0;
    realm_status status = REALM_OK;
    struct strbuf schema;
    strbuf_init(&schema, ALLOC_GUEST, (size_t)1 << 20);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        const json_t *name = json_object_get(item, "name");
        const char *description = json_string_value(json_object_get(item, "description"));
        const json_t *parameters = json_object_get(item, "parameters");
        if (!json_is_string(name) || (parameters != NULL && !json_is_object(parameters))) {
            status = realm_error_set(error,
                                     REALM_INVALID_FORMAT,
                                     "function %zu of the declaration needs a \"name\", and "
                                     "\"parameters\" must be an object",
                                     i);
            break;
        }
        strbuf_clear(&schema);
        if (parameters == NULL) {
            (void)strbuf_append_text(&schema, "{}");
        } else {
            (void)json_dump_callback(parameters, append_json, &schema, JSON_COMPACT);
        }
        status = add_function(program,
                              json_string_value(name),
                              json_string_length(name),
                              description != NULL ? description : "",
                              schema.text,
                              json_is_true(json_object_get(item, "streaming")),
                              error);
        if (status != REALM_OK) {
            break;
        }
    }
    strbuf_deinit(&schema);
    json_decref(list);
    return status;
}

const char *program_export_of(const struct program *program, const char *function)
{
    if (function == NULL) {
        return program->functions[0].name;
    }
    for (uint32_t i = 0; i < program->n_functions; i++) {
        if (strcmp(program->functions[i].name, function) == 0) {
            return program->functions[i].name;
        }
    }
    /* How a module tells of its functions, asked at loading. */
    return program->describes && strcmp(function, DESCRIBE_EXPORT) == 0 ? DESCRIBE_EXPORT : NULL;
}

/* --- loading -----------------------------------------------------------------------------------
 */

static realm_status make_ready(struct program *program, struct realm_error *error)
{
    wasmtime_error_t *wasm_error = wasmtime_linker_instantiate_pre(
        program->sandbox->runtime.linkers[program->wide], program->module, &program->ready);
    return wasm_error == NULL ? REALM_OK : runtime_error(error, REALM_INVALID_FORMAT, wasm_error);
}

/* Asks a module that declares its functions by code.  Its run has no model and little of all. */
static realm_status
describe(struct program *program, struct sandbox_tenant *tenant, struct realm_error *error)
{
    const struct instance_options options = {
        .program = program, .function = DESCRIBE_EXPORT, .tenant = tenant, .seed = 1};
    struct instance *instance = NULL;
    REALM_TRY(sandbox_start(program->sandbox, &options, &instance, error));
    realm_status status = REALM_INVALID_FORMAT;
    bool declared = false;
    struct guest_event event = {.kind = GUEST_EVENT_TEXT};
    while (event.kind != GUEST_EVENT_FINISHED) {
        if (!instance_wait(instance, 5000)) {
            status = realm_error_set(error, status, DESCRIBE_EXPORT " does not end");
            break;
        }
        while (event.kind != GUEST_EVENT_FINISHED && instance_next(instance, &event)) {
            if (event.kind == GUEST_EVENT_RESULT && !declared) {
                status = program_declare(program, event.bytes, error);
                declared = true;
            }
        }
    }
    if (!declared) {
        status = realm_error_set(error,
                                 REALM_INVALID_FORMAT,
                                 DESCRIBE_EXPORT " emitted no result%s%s",
                                 event.message != NULL ? ": " : "",
                                 event.message != NULL ? event.message : "");
    }
    instance_release(instance);
    return status;
}

static realm_status prepare(struct program *program,
                            struct sandbox_tenant *tenant,
                            struct bytes declaration,
                            struct realm_error *error)
{
    wasm_exporttype_vec_t exports;
    wasmtime_module_exports(program->module, &exports);
    realm_status status = look_at_exports(program, &exports, error);
    if (status == REALM_OK) {
        status = make_ready(program, error);
    }
    if (status == REALM_OK && declaration.data != NULL) {
        status = program_declare(program, declaration, error);
    } else if (status == REALM_OK && program->describes) {
        status = describe(program, tenant, error);
    }
    if (status == REALM_OK) {
        status = check_declared(program, &exports, error);
    }
    if (status == REALM_OK && program->n_functions == 0) {
        status = realm_error_set(error, REALM_INVALID_FORMAT, "no function is declared");
    }
    wasm_exporttype_vec_delete(&exports);
    return status;
}

realm_status program_load(struct sandbox *sandbox,
                          struct sandbox_tenant *tenant,
                          const char *name,
                          struct bytes module,
                          struct program **out,
                          struct realm_error *error)
{
    *out = NULL;
    const struct sandbox_limits limits = tenant_limits(tenant);
    if (module.length > limits.module_bytes) {
        return realm_error_set(error,
                               REALM_RESOURCE_EXHAUSTED,
                               "limit module_bytes: the module has %zu bytes, %llu are allowed; "
                               "make it smaller, or have the tenant's program_module_bytes raised",
                               module.length,
                               (unsigned long long)limits.module_bytes);
    }
    struct bytes declaration;
    REALM_TRY(module_scan(module, &declaration, error));
    struct program *program = alloc_zeroed(ALLOC_GUEST, 1, sizeof(struct program));
    if (program == NULL) {
        return realm_error_out_of_memory(error, sizeof(struct program), "a program");
    }
    atomic_init(&program->owners, 1);
    program->sandbox = sandbox;
    arena_init(&program->arena, ALLOC_GUEST, (size_t)1 << 20);
    program->name = alloc_string(ALLOC_GUEST, name, strlen(name));
    realm_status status = program->name != NULL
                              ? get_code(sandbox, module, &limits, &program->module, error)
                              : realm_error_out_of_memory(error, strlen(name), "a name");
    if (status == REALM_OK) {
        status = prepare(program, tenant, declaration, error);
    }
    if (status != REALM_OK) {
        program_release(program);
        return realm_error_prefix(error, status, "program %s", name);
    }
    *out = program;
    return REALM_OK;
}

void program_acquire(struct program *program)
{
    atomic_fetch_add(&program->owners, 1);
}

void program_release(struct program *program)
{
    if (program == NULL || atomic_fetch_sub(&program->owners, 1) != 1) {
        return;
    }
    if (program->ready != NULL) {
        wasmtime_instance_pre_delete(program->ready);
    }
    if (program->module != NULL) {
        wasmtime_module_delete(program->module);
    }
    arena_deinit(&program->arena);
    alloc_free(program->name);
    alloc_free(program);
}

const char *program_name(const struct program *program)
{
    return program->name;
}

uint32_t program_n_functions(const struct program *program)
{
    return program->n_functions;
}

const struct program_function *program_function_at(const struct program *program, uint32_t index)
{
    return index < program->n_functions ? &program->functions[index] : NULL;
}
