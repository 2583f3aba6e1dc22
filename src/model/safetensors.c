#include "model/safetensors.h"

#include "base/alloc.h"
#include "base/checked.h"
#include "base/json_scan.h"

#include <stdlib.h>

#define MAX_HEADER_BYTES ((uint64_t)16 << 20)
#define MAX_CONFIG_BYTES ((size_t)256 << 10)
#define MAX_KEY_BYTES    32

struct safetensors {
    struct safetensor *tensors;
    uint32_t n_tensors;
    uint32_t capacity;
    char *config;
};

/* A tensor as its header tells of it. */
struct told {
    char type[16];
    uint64_t shape[2];
    uint32_t n_dims; /* 3: more than two */
    uint64_t begin;
    uint64_t end;
    uint32_t n_offsets;
};

static realm_status bad_json(const struct json_scan *scan, struct realm_error *error)
{
    return realm_error_set(error,
                           REALM_INVALID_FORMAT,
                           "the header's JSON is wrong at byte %zu: %s",
                           scan->at,
                           scan->wrong != NULL ? scan->wrong : "the object has no end");
}

static void read_shape(struct json_scan *scan, struct told *told)
{
    bool first = true;
    if (!json_scan_array(scan)) {
        return;
    }
    while (json_scan_item(scan, &first)) {
        uint64_t n = 0;
        if (json_scan_u64(scan, &n) && told->n_dims < 2) {
            told->shape[told->n_dims] = n;
        }
        told->n_dims += told->n_dims < 3;
    }
}

static void read_offsets(struct json_scan *scan, struct told *told)
{
    bool first = true;
    if (!json_scan_array(scan)) {
        return;
    }
    while (json_scan_item(scan, &first)) {
        uint64_t n = 0;
        (void)json_scan_u64(scan, &n);
        told->begin = told->n_offsets == 0 ? n : told->begin;
        told->end = n;
        told->n_offsets += told->n_offsets < 3;
    }
}

static void read_told(struct json_scan *scan, struct told *told)
{
    char key[MAX_KEY_BYTES];
    bool first = true;
    if (!json_scan_object(scan)) {
        return;
    }
    while (json_scan_member(scan, &first, key, sizeof key)) {
        if (strcmp(key, "dtype") == 0) {
            (void)json_scan_string(scan, told->type, sizeof told->type);
        } else if (strcmp(key, "shape") == 0) {
            read_shape(scan, told);
        } else if (strcmp(key, "data_offsets") == 0) {
            read_offsets(scan, told);
        } else {
            (void)json_scan_skip(scan);
        }
    }
}

static bool find_type(const char *name, enum tensor_type *out, uint32_t *bytes)
{
    static const struct {
        const char *name;
        enum tensor_type type;
        uint32_t bytes;
    } types[] = {{"F32", TENSOR_F32, 4}, {"F16", TENSOR_F16, 2}, {"BF16", TENSOR_BF16, 2}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            *out = types[i].type;
            *bytes = types[i].bytes;
            return true;
        }
    }
    return false;
}

/* data: all numbers of the file; data_at: where they begin in it. */
static realm_status check_told(const struct told *told,
                               struct bytes data,
                               uint64_t data_at,
                               struct safetensor *out,
                               struct realm_error *error)
{
    uint32_t number_bytes;
    uint64_t wanted;
    if (!find_type(told->type, &out->type, &number_bytes)) {
        return realm_error_set(error,
                               REALM_UNSUPPORTED,
                               "tensor %s is \"%s\"; F32, F16 and BF16 can be read",
                               out->name,
                               told->type);
    }
    if (told->n_dims < 1 || told->n_dims > 2 ||
        !checked_narrow_u32(told->n_dims == 2 ? told->shape[0] : 1, &out->rows) ||
        !checked_narrow_u32(told->shape[told->n_dims - 1], &out->columns) || out->rows == 0 ||
        out->columns == 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: one or two dimensions from 1 to %u are allowed",
                               out->name,
                               UINT32_MAX);
    }
    if (!checked_mul_u64((uint64_t)out->rows * out->columns, number_bytes, &wanted) ||
        told->n_offsets != 2 || told->begin > told->end || told->end > data.length ||
        told->end - told->begin != wanted || (data_at + told->begin) % number_bytes != 0) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "tensor %s: its place %llu to %llu is not that of %u x %u %s in %zu "
                               "bytes",
                               out->name,
                               (unsigned long long)told->begin,
                               (unsigned long long)told->end,
                               out->rows,
                               out->columns,
                               told->type,
                               data.length);
    }
    out->data = (struct bytes){.data = data.data + told->begin, .length = (size_t)wanted};
    return REALM_OK;
}

static realm_status
add(struct safetensors *file, const struct safetensor *tensor, struct realm_error *error)
{
    if (file->n_tensors == SAFETENSORS_MAX_TENSORS) {
        return realm_error_set(
            error, REALM_INVALID_FORMAT, "more than %u tensors", SAFETENSORS_MAX_TENSORS);
    }
    if (file->n_tensors == file->capacity) {
        const uint32_t capacity = file->capacity * 2 + 64;
        void *const grown =
            alloc_resize(ALLOC_MODEL, file->tensors, capacity * sizeof *file->tensors);
        if (grown == NULL) {
            return realm_error_out_of_memory(error, capacity * sizeof *file->tensors, "tensors");
        }
        file->tensors = grown;
        file->capacity = capacity;
    }
    file->tensors[file->n_tensors++] = *tensor;
    return REALM_OK;
}

static realm_status
read_metadata(struct safetensors *file, struct json_scan *scan, struct realm_error *error)
{
    char key[MAX_KEY_BYTES];
    bool first = true;
    if (!json_scan_object(scan)) {
        return bad_json(scan, error);
    }
    while (json_scan_member(scan, &first, key, sizeof key)) {
        if (strcmp(key, SAFETENSORS_CONFIG) != 0 || file->config != NULL) {
            (void)json_scan_skip(scan);
            continue;
        }
        const size_t left = scan->text.length - scan->at;
        const size_t room = left < MAX_CONFIG_BYTES ? left + 1 : MAX_CONFIG_BYTES;
        file->config = alloc_bytes(ALLOC_MODEL, room);
        if (file->config == NULL) {
            return realm_error_out_of_memory(error, room, "an adapter's settings");
        }
        file->config[0] = '\0';
        (void)json_scan_string(scan, file->config, room);
    }
    return scan->wrong == NULL ? REALM_OK : bad_json(scan, error);
}

static realm_status read_header(struct safetensors *file,
                                struct bytes header,
                                struct bytes data,
                                struct realm_error *error)
{
    struct json_scan scan = json_scan_of(header);
    struct safetensor tensor = {.rows = 0};
    bool first = true;
    if (!json_scan_object(&scan)) {
        return bad_json(&scan, error);
    }
    while (json_scan_member(&scan, &first, tensor.name, sizeof tensor.name)) {
        if (strcmp(tensor.name, "__metadata__") == 0) {
            REALM_TRY(read_metadata(file, &scan, error));
            continue;
        }
        struct told told = {.type = ""};
        read_told(&scan, &told);
        if (scan.wrong != NULL) {
            break;
        }
        REALM_TRY(check_told(&told, data, header.length + sizeof(uint64_t), &tensor, error));
        REALM_TRY(add(file, &tensor, error));
    }
    return json_scan_end(&scan) ? REALM_OK : bad_json(&scan, error);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct safetensor *)a)->name, ((const struct safetensor *)b)->name);
}

static realm_status
read_file(struct safetensors *file, struct bytes bytes, struct realm_error *error)
{
    struct byte_cursor cursor = {.bytes = bytes};
    struct bytes header;
    struct bytes data;
    uint64_t n_header;
    if (!byte_cursor_u64(&cursor, &n_header) || n_header > MAX_HEADER_BYTES ||
        !byte_cursor_take(&cursor, (size_t)n_header, &header)) {
        return realm_error_set(error,
                               REALM_INVALID_FORMAT,
                               "no safetensors file: its first eight bytes are not the length of a "
                               "header that is there");
    }
    (void)byte_cursor_take(&cursor, byte_cursor_left(&cursor), &data);
    REALM_TRY(read_header(file, header, data, error));
    if (file->n_tensors > 0) {
        qsort(file->tensors, file->n_tensors, sizeof *file->tensors, by_name);
    }
    for (uint32_t i = 1; i < file->n_tensors; i++) {
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0) {
            return realm_error_set(
                error, REALM_INVALID_FORMAT, "tensor %s is there twice", file->tensors[i].name);
        }
    }
    return REALM_OK;
}

realm_status
safetensors_open(struct bytes bytes, struct safetensors **out, struct realm_error *error)
{
    *out = NULL;
    struct safetensors *const file = alloc_zeroed(ALLOC_MODEL, 1, sizeof *file);
    if (file == NULL) {
        return realm_error_out_of_memory(error, sizeof *file, "a safetensors file");
    }
    const realm_status status = read_file(file, bytes, error);
    if (status != REALM_OK) {
        safetensors_close(file);
        return status;
    }
    *out = file;
    return REALM_OK;
}

void safetensors_close(struct safetensors *file)
{
    if (file == NULL) {
        return;
    }
    alloc_free(file->tensors);
    alloc_free(file->config);
    alloc_free(file);
}

uint32_t safetensors_n(const struct safetensors *file)
{
    return file->n_tensors;
}

const struct safetensor *safetensors_at(const struct safetensors *file, uint32_t index)
{
    return &file->tensors[index];
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
    uint32_t begin = 0;
    uint32_t end = file->n_tensors;
    while (begin < end) {
        const uint32_t middle = begin + (end - begin) / 2;
        const int order = strcmp(file->tensors[middle].name, name);
        if (order == 0) {
            return &file->tensors[middle];
        }
        begin = order < 0 ? middle + 1 : begin;
        end = order < 0 ? end : middle;
    }
    return NULL;
}

const char *safetensors_config(const struct safetensors *file)
{
    return file->config;
}
