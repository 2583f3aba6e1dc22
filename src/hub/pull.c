/* hub_pull: from what a person writes to files in the cache. */
#include "hub/checksum.h"
#include "hub/choose.h"
#include "hub/download.h"

#include <stdio.h>
#include <string.h>

#define MAX_LIST_BYTES ((size_t)16 << 20)

struct pull {
    const struct hub_options *options;
    struct source source;
    struct repository repository;
    char folder[HUB_PATH_BYTES]; /* where its files go */
};

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static realm_status target_of(const struct pull *pull,
                              const char *file,
                              char out[HUB_PATH_BYTES],
                              struct realm_error *error)
{
    const int n = snprintf(out, HUB_PATH_BYTES, "%s/%s", pull->folder, name_of(file));
    return n > 0 && (size_t)n < HUB_PATH_BYTES
               ? REALM_OK
               : realm_error_set(error, REALM_INVALID_ARGUMENT, "the cache's path is too long");
}

static realm_status list_repository(struct pull *pull, struct realm_error *error)
{
    char url[SOURCE_URL_BYTES];
    struct strbuf text;
    REALM_TRY(source_list_url(&pull->source, pull->options->base_url, url, error));
    strbuf_init(&text, ALLOC_BASE, MAX_LIST_BYTES);
    realm_status status = download_text(pull->options, url, pull->options->token, &text, error);
    if (status == REALM_OK) {
        status = repository_parse(text.text, text.length, &pull->repository, error);
    }
    strbuf_deinit(&text);
    if (status == REALM_NOT_FOUND) {
        return realm_error_set(error,
                               REALM_NOT_FOUND,
                               "there is no repository %s/%s at revision %s",
                               pull->source.owner,
                               pull->source.repo,
                               pull->source.revision);
    }
    return status;
}

/* One file of the repository, or one part of a split one. */
static realm_status fetch_repository_file(const struct pull *pull,
                                          const char *path,
                                          uint32_t part,
                                          uint32_t n_parts,
                                          struct realm_error *error)
{
    char url[SOURCE_URL_BYTES];
    char target[HUB_PATH_BYTES];
    const struct repository_file *const file = repository_find(&pull->repository, path);
    if (file == NULL) {
        return realm_error_set(
            error, REALM_NOT_FOUND, "part %u of %u is missing: %.140s", part, n_parts, path);
    }
    REALM_TRY(source_file_url(&pull->source, pull->options->base_url, path, url, error));
    REALM_TRY(target_of(pull, path, target, error));
    const struct download download = {
        .url = url,
        .target = target,
        .token = pull->options->token,
        .sha256 = file->sha256[0] != '\0' ? file->sha256 : NULL,
        .bytes = file->bytes,
        .part = part,
        .n_parts = n_parts,
    };
    return download_file(pull->options, &download, error);
}

static realm_status
refuse_one_checksum(uint32_t n_parts, const struct hub_options *options, struct realm_error *error)
{
    return n_parts > 1 && options->sha256 != NULL
               ? realm_error_set(error,
                                 REALM_INVALID_ARGUMENT,
                                 "the model has %u files: one checksum does not fit",
                                 n_parts)
               : REALM_OK;
}

static realm_status
pull_repository(struct pull *pull, char out[HUB_PATH_BYTES], struct realm_error *error)
{
    const struct repository_file *chosen = NULL;
    char path[SOURCE_PATH_BYTES];
    uint32_t part;
    REALM_TRY(list_repository(pull, error));
    REALM_TRY(repository_choose(
        &pull->repository, pull->source.wanted, pull->source.site->quant, &chosen, error));
    const uint32_t n_parts = source_n_parts(chosen->path, &part);
    REALM_TRY(refuse_one_checksum(n_parts, pull->options, error));
    (void)snprintf(path, sizeof path, "%s", chosen->path);
    for (part = 1; part <= n_parts; part++) {
        if (n_parts > 1) {
            source_part_name(chosen->path, part, path);
        }
        REALM_TRY(fetch_repository_file(pull, path, part, n_parts, error));
    }
    if (n_parts > 1) {
        source_part_name(chosen->path, 1, path);
    }
    return target_of(pull, path, out, error);
}

/* The address of another part: the file's name stands last, before ? and #. */
static realm_status part_url(const struct source *source,
                             const char *file,
                             char out[SOURCE_URL_BYTES],
                             struct realm_error *error)
{
    const size_t n_path = strcspn(source->url, "?#");
    const size_t n_file = strlen(file);
    if (n_path < n_file || strncmp(source->url + n_path - n_file, source->file, n_file) != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "%.160s: the other parts' addresses cannot be told from it",
                               source->url);
    }
    (void)snprintf(out,
                   SOURCE_URL_BYTES,
                   "%.*s%s%s",
                   (int)(n_path - n_file),
                   source->url,
                   file,
                   source->url + n_path);
    return REALM_OK;
}

static realm_status pull_url(struct pull *pull, char out[HUB_PATH_BYTES], struct realm_error *error)
{
    const struct source *const source = &pull->source;
    char file[SOURCE_PATH_BYTES];
    char url[SOURCE_URL_BYTES];
    char target[HUB_PATH_BYTES];
    uint32_t part;
    const uint32_t n_parts = source_n_parts(source->file, &part);
    REALM_TRY(refuse_one_checksum(n_parts, pull->options, error));
    for (part = 1; part <= n_parts; part++) {
        (void)snprintf(file, sizeof file, "%s", source->file);
        (void)snprintf(url, sizeof url, "%s", source->url);
        if (n_parts > 1) {
            source_part_name(source->file, part, file);
            REALM_TRY(part_url(source, file, url, error));
        }
        REALM_TRY(target_of(pull, file, target, error));
        const struct download download = {
            .url = url, .target = target, .part = part, .n_parts = n_parts};
        REALM_TRY(download_file(pull->options, &download, error));
        if (part == 1) {
            (void)snprintf(out, HUB_PATH_BYTES, "%s", target);
        }
    }
    return REALM_OK;
}

realm_status hub_pull(const struct hub_options *options,
                      const char *source,
                      char out[HUB_PATH_BYTES],
                      struct realm_error *error)
{
    struct pull pull = {.options = options};
    int n;
    if (options->sha256 != NULL && !checksum_is_sha256(options->sha256)) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "\"%.80s\" is no SHA-256: 64 hex digits",
                               options->sha256);
    }
    REALM_TRY(source_parse(source, &pull.source, error));
    if (pull.source.site != NULL) {
        n = snprintf(pull.folder,
                     sizeof pull.folder,
                     "%s/models/%s/%s",
                     options->cache_folder,
                     pull.source.owner,
                     pull.source.repo);
    } else {
        n = snprintf(pull.folder, sizeof pull.folder, "%s/models", options->cache_folder);
    }
    if (n < 0 || (size_t)n >= sizeof pull.folder) {
        return realm_error_set(error, REALM_INVALID_ARGUMENT, "the cache's path is too long");
    }
    const realm_status status =
        pull.source.site != NULL ? pull_repository(&pull, out, error) : pull_url(&pull, out, error);
    repository_deinit(&pull.repository);
    return status;
}
