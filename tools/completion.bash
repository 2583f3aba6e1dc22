# Bash completion for realm.  Options come from the program's own --help, so they cannot fall behind.

_realm_options() { # <command words...>
    "${COMP_WORDS[0]}" "$@" --help 2>/dev/null | grep -oE -- '(^|[^[:alnum:]-])--?[a-z][a-z-]*' |
        grep -oE -- '--?[a-z][a-z-]*$' | sort -u
}

_realm() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]-}
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "run serve models quantize tokenize perplexity bench doctor --help --version" -- "$word")
        return
    fi
    if [ "$command" = models ] && [ "$COMP_CWORD" = 2 ] && [[ $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "list show pull" -- "$word")
        return
    fi
    if [ "$command" = quantize ] && [ "$COMP_CWORD" = 4 ] && [[ $word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K_S Q3_K_M \
            Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K" -- "$word")
        return
    fi
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_realm_options "$command")" -- "$word")
        return
    fi
    case $previous in
    --host) mapfile -t COMPREPLY < <(compgen -A hostname -- "$word") ;;
    --data) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    *)
        # Files; after NAME= of `serve --model NAME=PATH` too, where bash splits words at the sign.
        [ "$word" != "=" ] || word=
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    esac
}

complete -F _realm realm
