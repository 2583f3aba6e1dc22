/* From a model's path to printed tokens:  embed MODEL.gguf "The capital of France is" */
#include <realm.h>

#include <stdio.h>

static bool print_text(void *context, const char *text, size_t n_bytes)
{
    (void)context;
    fwrite(text, 1, n_bytes, stdout);
    return fflush(stdout) == 0;
}

static realm_status
answer(struct realm *realm, const char *path, const char *prompt, struct realm_error *error)
{
    const struct realm_request request = {.model = "model", .prompt = prompt, .max_tokens = 32};
    const realm_status status = realm_load_model(realm, "model", path, error);
    return status != REALM_OK ? status
                              : realm_generate(realm, &request, print_text, NULL, NULL, error);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.gguf PROMPT\n", argv[0]);
        return 2;
    }
    struct realm_error error = {.status = REALM_OK};
    struct realm *realm;
    realm_status status = realm_open(NULL, &realm, &error);
    if (status == REALM_OK) {
        status = answer(realm, argv[1], argv[2], &error);
        realm_close(realm);
    }
    if (status != REALM_OK) {
        fprintf(stderr, "%s: %s\n", realm_status_name(status), error.message);
    }
    printf("\n");
    return status == REALM_OK ? 0 : 1;
}
