# The flags that all our targets share, as one interface target: realm_flags.
add_library(realm_flags INTERFACE)

target_compile_options(realm_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
    -Wformat=2 -Wcast-qual
    # Answers must not depend on the compiler's mood: no contraction, and never -ffast-math.
    -fno-math-errno -fno-trapping-math -ffp-contract=off
    -fno-omit-frame-pointer -fstack-protector-strong)
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    target_compile_options(realm_flags INTERFACE -Wthread-safety)
endif()
if(REALM_WERROR)
    target_compile_options(realm_flags INTERFACE -Werror)
endif()

set(CMAKE_C_FLAGS_RELEASE "-O2 -g -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
set(CMAKE_C_FLAGS_COVERAGE "-O0 -g --coverage")
set(CMAKE_EXE_LINKER_FLAGS_COVERAGE "--coverage")
set(CMAKE_SHARED_LINKER_FLAGS_COVERAGE "--coverage")
target_compile_definitions(realm_flags INTERFACE
    REALM_DEBUG=$<IF:$<CONFIG:Release>,0,1>)

# Hardening.  Fortified functions and sanitizers check the same calls; one of them is enough.
target_link_options(realm_flags INTERFACE -Wl,-z,relro,-z,now)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND REALM_SANITIZE STREQUAL "")
    # Some distributions' compilers define it already, to a lower level.
    target_compile_options(realm_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

if(REALM_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    find_program(REALM_CCACHE_PROGRAM ccache)
    if(REALM_CCACHE_PROGRAM)
        set(CMAKE_C_COMPILER_LAUNCHER "${REALM_CCACHE_PROGRAM}")
        set(CMAKE_CXX_COMPILER_LAUNCHER "${REALM_CCACHE_PROGRAM}")
    endif()
endif()
