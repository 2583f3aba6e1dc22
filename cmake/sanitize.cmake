# REALM_SANITIZE into flags.  The first report ends the process, so that a test cannot pass over it.
if(REALM_SANITIZE STREQUAL "fuzzer")
    set(sanitize fuzzer-no-link,address,undefined)
else()
    string(REPLACE ";" "," sanitize "${REALM_SANITIZE}")
    string(REPLACE "+" "," sanitize "${sanitize}")
endif()
if(NOT sanitize STREQUAL "")
    target_compile_options(realm_flags INTERFACE
        -fsanitize=${sanitize} -fno-sanitize-recover=all)
    target_link_options(realm_flags INTERFACE -fsanitize=${sanitize})
endif()
