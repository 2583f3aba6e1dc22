/* realm completion: a script for the shell.  The names of commands, subcommands and types are
 * written into it; options it asks the program itself for, by --help. */
#include "cli/command.h"
#include "cli/models.h"
#include "hub/hub.h"
#include "quant/quant.h"

#include <stdio.h>
#include <string.h>

static void print_words(void)
{
    printf("# Bash completion for realm, written by `realm completion bash`.\n\n_realm_commands='");
    for (const struct command_row *c = command_table(); c->name != NULL; c++) {
        printf("%s ", c->name);
    }
    printf("--help --version'\n_realm_models='");
    for (const struct command_row *c = models_table(); c->name != NULL; c++) {
        printf("%s%s", c == models_table() ? "" : " ", c->name);
    }
    printf("'\n_realm_catalogue='");
    for (size_t i = 0; hub_catalogue_at(i) != NULL; i++) {
        printf("%s%s", i == 0 ? "" : " ", hub_catalogue_at(i)->name);
    }
    printf("'\n_realm_types='");
    for (size_t i = 0; quant_mix_at(i) != NULL; i++) {
        printf("%s%s", i == 0 ? "" : " ", quant_mix_name(quant_mix_at(i)));
    }
    printf("'\n");
}

static const char script[] =
    "\n"
    "_realm_options() { # <command words...>\n"
    "    \"${COMP_WORDS[0]}\" \"$@\" --help 2>/dev/null |\n"
    "        sed -nE 's/^  (-., )? *(--[a-z0-9-]+).*/\\2/p; s/^  (-[a-z]), .*/\\1/p'\n"
    "}\n"
    "\n"
    "_realm_words() { # <words>\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n"
    "}\n"
    "\n"
    "# A model: a name from the cache or the catalogue, or a file.\n"
    "_realm_model() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]}\n"
    "    [ \"$word\" != \"=\" ] || word= # bash splits NAME=PATH at the sign\n"
    "    compopt -o filenames 2>/dev/null\n"
    "    mapfile -t COMPREPLY < <(\n"
    "        compgen -W \"$(\"${COMP_WORDS[0]}\" models list --names 2>/dev/null)\" -- \"$word\"\n"
    "        compgen -f -- \"$word\")\n"
    "}\n"
    "\n"
    "_realm() {\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    local command=(\"${COMP_WORDS[1]-}\")\n"
    "    COMPREPLY=()\n"
    "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
    "        _realm_words \"$_realm_commands\"\n"
    "        return\n"
    "    fi\n"
    "    if [ \"${command[0]}\" = models ]; then\n"
    "        if [ \"$COMP_CWORD\" = 2 ]; then\n"
    "            _realm_words \"$_realm_models\"\n"
    "            return\n"
    "        fi\n"
    "        command+=(\"${COMP_WORDS[2]}\")\n"
    "    fi\n"
    "    if [[ $word == -* ]]; then\n"
    "        _realm_words \"$(_realm_options \"${command[@]}\")\"\n"
    "        return\n"
    "    fi\n"
    "    case ${command[*]}:$previous in\n"
    "    *:-m | *:--model | 'models show:'* | serve:=) _realm_model ;;\n"
    "    'models pull:'*) _realm_words \"$_realm_catalogue hf: https://\" ;;\n"
    "    *:--data) mapfile -t COMPREPLY < <(compgen -d -- \"$word\") ;;\n"
    "    *:--host) mapfile -t COMPREPLY < <(compgen -A hostname -- \"$word\") ;;\n"
    "    *:--log-format) _realm_words 'auto text json' ;;\n"
    "    *:--log-level) _realm_words 'error warn info debug' ;;\n"
    "    completion:*) _realm_words bash ;;\n"
    "    quantize:*.gguf) _realm_words \"$_realm_types\"\n"
    "        [ \"$COMP_CWORD\" != 3 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$word\") ;;\n"
    "    *)\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "        ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "complete -F _realm realm\n";

realm_status cmd_completion(int argc, char **argv, struct realm_error *error)
{
    const struct arg_option options[] = {{0}};
    const struct arg_command command = {
        .usage = "realm completion bash",
        .summary = "Writes a completion script for the shell.",
        .examples = "  source <(realm completion bash)\n"
                    "  realm completion bash > /usr/share/bash-completion/completions/realm\n",
        .options = options,
        .min_operands = 1,
        .max_operands = 1,
    };
    struct arg_operands operands;
    bool help;
    REALM_TRY(args_parse(&command, argc, argv, &operands, &help, error));
    if (help) {
        args_print_help(&command);
        return REALM_OK;
    }
    if (strcmp(operands.items[0], "bash") != 0) {
        return realm_error_set(error,
                               REALM_INVALID_ARGUMENT,
                               "no completion for \"%.40s\"; there is: bash",
                               operands.items[0]);
    }
    print_words();
    (void)fputs(script, stdout);
    return REALM_OK;
}
