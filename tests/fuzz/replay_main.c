/* Stands in for libFuzzer: gives each file named on the command line, and each file in the folders
 * named there, to the fuzz target once.  Nothing to replay is a failure: a lost corpus must not
 * pass. */
#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);
/* Only some targets have one. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

#define PATH_BYTES      4096
#define MAX_INPUT_BYTES ((size_t)64 * 1024 * 1024)

static size_t n_replayed;

static bool replay_file(const char *path)
{
    struct realm_error error;
    char *text;
    size_t n_bytes;
    if (file_read(path, MAX_INPUT_BYTES, &text, &n_bytes, &error) != REALM_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return false;
    }
    /* No byte behind the last one, so that the sanitizer sees a read too far. */
    uint8_t *exact = alloc_bytes(ALLOC_TEST, n_bytes);
    if (exact == NULL) {
        (void)fprintf(stderr, "%s: out of memory\n", path);
        alloc_free(text);
        return false;
    }
    if (n_bytes > 0) {
        memcpy(exact, text, n_bytes);
    }
    alloc_free(text);
    (void)LLVMFuzzerTestOneInput(exact, n_bytes);
    alloc_free(exact);
    n_replayed++;
    return true;
}

static bool replay_folder(DIR *folder, const char *path)
{
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char file[PATH_BYTES];
        const int length = snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof(file) || !replay_file(file)) {
            return false;
        }
    }
    return true;
}

static bool replay(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return replay_file(path);
    }
    const bool passed = replay_folder(folder, path);
    (void)closedir(folder);
    return passed;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize != NULL) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-' && !replay(argv[i])) {
            return 1;
        }
    }
    (void)printf("%zu inputs replayed\n", n_replayed);
    return n_replayed > 0 ? 0 : 1;
}
