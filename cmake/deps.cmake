# System libraries by pkg-config, and the Rust libraries that deps/build.sh builds once.
find_package(Threads REQUIRED)
add_library(pthread_and_math INTERFACE)
target_link_libraries(pthread_and_math INTERFACE Threads::Threads m)
if(CMAKE_DL_LIBS)
    target_link_libraries(pthread_and_math INTERFACE ${CMAKE_DL_LIBS})
endif()

# realm_system_library(<target> <pkg-config module> <Debian package>)
function(realm_system_library target module package)
    find_package(PkgConfig QUIET)
    if(NOT PKG_CONFIG_FOUND)
        message(FATAL_ERROR "pkg-config is missing; the Debian package is pkg-config.  "
                            "\"make setup\" installs what is missing.")
    endif()
    pkg_check_modules(${target} QUIET IMPORTED_TARGET ${module})
    if(NOT ${target}_FOUND)
        message(FATAL_ERROR "The library ${module} is missing; the Debian package is ${package}.  "
                            "\"make setup\" installs what is missing.")
    endif()
    add_library(realm_system_${target} INTERFACE)
    target_link_libraries(realm_system_${target} INTERFACE PkgConfig::${target})
    set_property(GLOBAL PROPERTY realm_system_${target}_module ${module})
endfunction()

if(NOT REALM_KERNELS_ONLY)
    realm_system_library(crypto libcrypto libssl-dev)
    realm_system_library(ssl libssl libssl-dev)
    realm_system_library(pcre2-8 libpcre2-8 libpcre2-dev)
    realm_system_library(sqlite3 sqlite3 libsqlite3-dev)
    realm_system_library(curl libcurl libcurl4-openssl-dev)
    realm_system_library(websockets libwebsockets libwebsockets-dev)
    realm_system_library(jansson jansson libjansson-dev)
    realm_system_library(yaml yaml-0.1 libyaml-dev)
endif()

add_library(realm_deps INTERFACE)
if(NOT REALM_RUST_DEPS)
    return()
endif()

set(prefix "${REALM_DEPS_PREFIX}")
if(prefix STREQUAL "")
    if(CMAKE_CROSSCOMPILING)
        message(FATAL_ERROR "Cross builds need -DREALM_DEPS_PREFIX=... or -DREALM_RUST_DEPS=OFF")
    endif()
    execute_process(COMMAND "${CMAKE_SOURCE_DIR}/deps/build.sh"
        RESULT_VARIABLE result OUTPUT_VARIABLE output OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "deps/build.sh failed (${result}); its messages are above.")
    endif()
    string(REGEX REPLACE ".*\n" "" prefix "${output}")
    file(GLOB_RECURSE inputs CONFIGURE_DEPENDS
        "${CMAKE_SOURCE_DIR}/deps/src/*" "${CMAKE_SOURCE_DIR}/deps/include/*")
    list(APPEND inputs "${CMAKE_SOURCE_DIR}/deps/Cargo.toml" "${CMAKE_SOURCE_DIR}/deps/Cargo.lock"
        "${CMAKE_SOURCE_DIR}/deps/build.sh")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${inputs})
endif()
set(REALM_DEPS_ARCHIVE "${prefix}/lib/librealm_deps.a")
if(NOT EXISTS "${REALM_DEPS_ARCHIVE}")
    message(FATAL_ERROR "${REALM_DEPS_ARCHIVE} is missing (REALM_DEPS_PREFIX or deps/build.sh)")
endif()
file(STRINGS "${prefix}/lib/realm_deps.link" REALM_DEPS_LINK LIMIT_COUNT 1)
separate_arguments(REALM_DEPS_LINK UNIX_COMMAND "${REALM_DEPS_LINK}")
message(STATUS "Rust dependencies: ${prefix}")

add_library(realm_deps_archive STATIC IMPORTED GLOBAL)
set_target_properties(realm_deps_archive PROPERTIES
    IMPORTED_LOCATION "${REALM_DEPS_ARCHIVE}"
    INTERFACE_INCLUDE_DIRECTORIES "${prefix}/include"
    INTERFACE_LINK_LIBRARIES "${REALM_DEPS_LINK}")
target_link_libraries(realm_deps INTERFACE realm_deps_archive)
