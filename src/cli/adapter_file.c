#include "cli/adapter_file.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#define MAX_CONFIG_BYTES ((size_t)256 << 10)
#define MAX_HEADER_BYTES ((uint64_t)16 << 20)
#define MAX_JOINED_BYTES ((size_t)1 << 30)
#define PATH_BYTES       4096
#define CONFIG_NAME      "adapter_config.json"
#define NUMBERS_NAME     "adapter_model.safetensors"

static bool is_folder(const char *path)
{
    struct stat known;
    return stat(path, &known) == 0 && S_ISDIR(known.st_mode);
}

static int append_dumped(const char *text, size_t n_bytes, void *out)
{
    return strbuf_append(out, text, n_bytes) ? 0 : -1;
}

/* Appends length, header and numbers. */
static realm_status
append_file(json_t *header, struct bytes numbers, struct strbuf *out, struct realm_error *error)
{
    uint8_t length[8];
    struct strbuf text;
    strbuf_init(&text, ALLOC_BASE, 2 * (size_t)MAX_HEADER_BYTES);
    bool whole = json_dump_callback(header, append_dumped, &text, JSON_COMPACT) == 0;
    while (text.length % sizeof length != 0) { /* so that numbers lie where they can be read */
        whole = strbuf_append_char(&text, ' ') && whole;
    }
    for (size_t i = 0; i < sizeof length; i++) {
        length[i] = (uint8_t)((uint64_t)text.length >> 8 * i);
    }
    whole = whole && strbuf_append(out, (const char *)length, sizeof length) &&
            strbuf_append(out, text.text, text.length) &&
            strbuf_append(out, (const char *)numbers.data, numbers.length);
    strbuf_deinit(&text);
    return whole ? REALM_OK : realm_error_out_of_memory(error, numbers.length, "the adapter");
}

/* safetensors: the file as PEFT wrote it. */
static realm_status
join(struct bytes safetensors, const char *config, struct strbuf *out, struct realm_error *error)
{
    struct byte_cursor cursor = {.bytes = safetensors};
    struct bytes text;
    uint64_t n_header;
    json_t *header = NULL;
    if (byte_cursor_u64(&cursor, &n_header) && n_header <= MAX_HEADER_BYTES &&
        byte_cursor_take(&cursor, (size_t)n_header, &text)) {
        header = json_loadb((const char *)text.data, text.length, 0, NULL);
    }
    if (!json_is_object(header)) {
        json_decref(header);
        return realm_error_set(
            error, REALM_INVALID_FORMAT, NUMBERS_NAME " has no header of safetensors");
    }
    json_t *metadata = json_object_get(header, "__metadata__");
    bool made = true;
    if (!json_is_object(metadata)) {
        metadata = json_object();
        made = json_object_set_new(header, "__metadata__", metadata) == 0;
    }
    made = made && json_object_set_new(metadata, CONFIG_NAME, json_string(config)) == 0;
    struct bytes numbers;
    (void)byte_cursor_take(&cursor, byte_cursor_left(&cursor), &numbers);
    const realm_status status =
        made ? append_file(header, numbers, out, error)
             : realm_error_set(
                   error, REALM_INVALID_FORMAT, CONFIG_NAME " is not UTF-8, or memory is out");
    json_decref(header);
    return status;
}

static realm_status
open_folder(const char *folder, struct adapter_file *out, struct realm_error *error)
{
    char path[PATH_BYTES];
    char *config;
    size_t n_bytes;
    if (snprintf(path, sizeof path, "%s/" CONFIG_NAME, folder) >= (int)sizeof path) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the path is too long");
    }
    REALM_TRY(file_read(path, MAX_CONFIG_BYTES, &config, &n_bytes, error));
    struct file_map map;
    (void)snprintf(path, sizeof path, "%.*s/" NUMBERS_NAME, PATH_BYTES - 64, folder);
    realm_status status = file_map_open(path, &map, error);
    if (status == REALM_OK) {
        status = join(map.bytes, config, &out->joined, error);
        file_map_close(&map);
    }
    alloc_free(config);
    out->bytes =
        (struct bytes){.data = (const uint8_t *)out->joined.text, .length = out->joined.length};
    return status;
}

realm_status
adapter_file_open(const char *path, struct adapter_file *out, struct realm_error *error)
{
    *out = (struct adapter_file){.bytes = {.data = NULL}};
    strbuf_init(&out->joined, ALLOC_BASE, MAX_JOINED_BYTES);
    realm_status status;
    if (is_folder(path)) {
        status = open_folder(path, out, error);
    } else {
        status = file_map_open(path, &out->map, error);
        out->bytes = out->map.bytes;
    }
    if (status != REALM_OK) {
        adapter_file_close(out);
    }
    return status;
}

void adapter_file_close(struct adapter_file *file)
{
    file_map_close(&file->map);
    strbuf_deinit(&file->joined);
}
