/* realm tokenize: standard input to token ids; of the model only the vocabulary is read. */
#include "base/utf8.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/json_out.h"
#include "cli/paths.h"
#include "tokenizer/tokenizer.h"

#define MAX_INPUT_BYTES ((size_t)1 << 30)

struct tokenize {
    const char *model_reference;
    bool ids_only;
    bool no_special;
    bool plain;
};

/* What the token stands for; where that is no whole text of its own, its bytes in hex too. */
static void put_token(struct json_out *out, const struct tokenizer *tokenizer, token_id token)
{
    const struct bytes piece = tokenizer_token_bytes(tokenizer, token, true);
    json_out_begin_object(out, NULL);
    json_out_u64(out, "id", token);
    json_out_bytes(out, "piece", piece);
    if (!utf8_valid(piece.data, piece.length)) {
        struct strbuf hex;
        strbuf_init(&hex, ALLOC_BASE, SIZE_MAX);
        for (size_t i = 0; i < piece.length; i++) {
            strbuf_append_format(&hex, "%02x", piece.data[i]);
        }
        json_out_text(out, "bytes", hex.text);
        strbuf_deinit(&hex);
    }
    json_out_end_object(out);
}

static realm_status tokenize_input(const struct tokenize *tokenize,
                                   const struct tokenizer *tokenizer,
                                   struct realm_error *error)
{
    const struct tokenizer_encode_options options = {
        .add_special = !tokenize->no_special,
        .parse_special = !tokenize->plain,
    };
    struct strbuf text;
    struct token_list tokens = {.length = 0};
    struct json_out out;
    strbuf_init(&text, ALLOC_BASE, MAX_INPUT_BYTES);
    realm_status status = input_read(&text, error);
    if (status == REALM_OK) {
        status = tokenizer_encode(tokenizer, text.text, text.length, options, &tokens, error);
    }
    strbuf_deinit(&text);
    if (status == REALM_OK) {
        json_out_init(&out);
        json_out_begin_array(&out, NULL);
        for (size_t i = 0; i < tokens.length; i++) {
            if (tokenize->ids_only) {
                json_out_u64(&out, NULL, tokens.ids[i]);
            } else {
                put_token(&out, tokenizer, tokens.ids[i]);
            }
        }
        json_out_end_array(&out);
        status = json_out_print(&out, error);
    }
    token_list_deinit(&tokens);
    return status;
}

static realm_status open_and_tokenize(const struct tokenize *tokenize, struct realm_error *error)
{
    char path[PATHS_BYTES];
    struct gguf *gguf;
    struct tokenizer *tokenizer = NULL;
    REALM_TRY(paths_find_model(tokenize->model_reference, path, error));
    REALM_TRY(gguf_open(path, &gguf, error));
    realm_status status = tokenizer_create(gguf, &tokenizer, error);
    if (status == REALM_OK) {
        status = tokenize_input(tokenize, tokenizer, error);
    } else {
        status = realm_error_prefix(error, status, "%s", path);
    }
    tokenizer_destroy(tokenizer);
    gguf_close(gguf);
    return status;
}

realm_status cmd_tokenize(int argc, char **argv, struct realm_error *error)
{
    struct tokenize tokenize = {.model_reference = NULL};
    const struct arg_option options[] = {
        {"model",
         'm',
         ARG_TEXT,
         &tokenize.model_reference,
         "MODEL",
         "a path, or a name of `realm models list` (smollm2)",
         0,
         0},
        {"ids",
         0,
         ARG_FLAG,
         &tokenize.ids_only,
         NULL,
         "an array of numbers, without the pieces of text",
         0,
         0},
        {"no-special",
         0,
         ARG_FLAG,
         &tokenize.no_special,
         NULL,
         "do not add the BOS and EOS the model wants",
         0,
         0},
        {"plain",
         0,
         ARG_FLAG,
         &tokenize.plain,
         NULL,
         "special tokens written in the text are plain text",
         0,
         0},
        {0},
    };
    const struct arg_command command = {
        .usage = "realm tokenize -m MODEL [--ids] < TEXT",
        .summary = "Writes the tokens of standard input as a JSON array.",
        .examples = "  echo -n 'Hello world' | realm tokenize -m smollm2 --ids\n"
                    "  realm tokenize -m model.gguf < text.txt | jq length\n",
        .options = options,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    return open_and_tokenize(&tokenize, error);
}
