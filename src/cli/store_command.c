#include "cli/store_command.h"

#include "cli/paths.h"

realm_status store_command_begin(const struct arg_command *command,
                                 int argc,
                                 char **argv,
                                 const char *const *data,
                                 const char **operand,
                                 struct store **store,
                                 struct realm_error *error)
{
    struct arg_operands operands;
    char folder[PATHS_BYTES];
    bool help;
    *store = NULL;
    REALM_TRY(args_parse(command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(command);
        return REALM_OK;
    }
    *operand = operands.n > 0 ? operands.items[0] : NULL;
    if (*data == NULL) {
        REALM_TRY(paths_data_folder(folder, error));
    }
    return tenant_store_open(*data != NULL ? *data : folder, store, error);
}
