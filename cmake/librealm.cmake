# librealm: base..engine for other programs, static and shared, with pkg-config and CMake config.
set(librealm_folders base gguf quant plan model tokenizer backend kv sample engine)
realm_has_sources(has_library ${librealm_folders})
if(NOT has_library OR NOT REALM_RUST_DEPS)
    message(STATUS "librealm: left out (a folder has no sources yet, or REALM_RUST_DEPS is OFF)")
    return()
endif()
list(TRANSFORM librealm_folders PREPEND realm_ OUTPUT_VARIABLE librealm_targets)

# Static.  One object with only realm_* global, so that gguf_*, plan_* and the like cannot collide
# with another library's in one process.  The Rust archive stays apart.
set(librealm_archive "${CMAKE_BINARY_DIR}/librealm.a")
set(librealm_object "${CMAKE_BINARY_DIR}/CMakeFiles/librealm.o")
set(archives)
foreach(target IN LISTS librealm_targets)
    list(APPEND archives $<TARGET_FILE:${target}>)
endforeach()
add_custom_command(OUTPUT "${librealm_archive}" "${librealm_object}"
    COMMAND "${CMAKE_C_COMPILER}" -r -nostdlib -o "${librealm_object}"
        -Wl,--whole-archive ${archives} -Wl,--no-whole-archive
    COMMAND "${CMAKE_OBJCOPY}" --wildcard --keep-global-symbol=realm_* "${librealm_object}"
    COMMAND "${CMAKE_COMMAND}" -E rm -f "${librealm_archive}"
    COMMAND "${CMAKE_AR}" rcs "${librealm_archive}" "${librealm_object}"
    DEPENDS ${librealm_targets}
    COMMENT "Linking librealm.a, realm_* only" VERBATIM)
add_custom_target(realm_static_archive ALL DEPENDS "${librealm_archive}")
set(librealm_private_targets
    pthread_and_math realm_system_pcre2-8 realm_system_crypto realm_deps)
add_library(realm_static INTERFACE)
add_dependencies(realm_static realm_static_archive)
target_include_directories(realm_static INTERFACE "${CMAKE_SOURCE_DIR}/include")
target_link_libraries(realm_static INTERFACE "${librealm_archive}" ${librealm_private_targets})
target_link_options(realm_static INTERFACE $<TARGET_PROPERTY:realm_flags,INTERFACE_LINK_OPTIONS>)

# Shared, from the same object.  Not under sanitizers: their run time belongs to the program.
if(REALM_SANITIZE STREQUAL "")
    add_library(realm_shared SHARED "${librealm_object}")
    set_source_files_properties("${librealm_object}" PROPERTIES
        EXTERNAL_OBJECT TRUE GENERATED TRUE)
    set_target_properties(realm_shared PROPERTIES OUTPUT_NAME realm LINKER_LANGUAGE C
        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
    add_dependencies(realm_shared realm_static_archive)
    target_include_directories(realm_shared PUBLIC "${CMAKE_SOURCE_DIR}/include")
    target_link_libraries(realm_shared PRIVATE realm_flags ${librealm_private_targets})
    target_link_options(realm_shared PRIVATE
        -Wl,--exclude-libs,librealm_deps.a -Wl,--no-undefined
        "-Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/librealm.map")
    set_property(TARGET realm_shared APPEND PROPERTY
        LINK_DEPENDS "${CMAKE_SOURCE_DIR}/cmake/librealm.map")
    install(TARGETS realm_shared LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
endif()

# The example builds against what users get.
if(EXISTS "${CMAKE_SOURCE_DIR}/examples/embed.c")
    add_executable(embed "${CMAKE_SOURCE_DIR}/examples/embed.c")
    target_link_libraries(embed PRIVATE realm_static realm_flags)
    install(FILES "${CMAKE_SOURCE_DIR}/examples/embed.c"
        DESTINATION "${CMAKE_INSTALL_DOCDIR}/examples")
endif()

install(FILES "${librealm_archive}" "${REALM_DEPS_ARCHIVE}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${CMAKE_SOURCE_DIR}/include/realm.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

string(REPLACE ";" " " REALM_DEPS_LINK_LINE "${REALM_DEPS_LINK}")
configure_file("${CMAKE_SOURCE_DIR}/cmake/realm.pc.in" "${CMAKE_BINARY_DIR}/realm.pc" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/realm.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

include(CMakePackageConfigHelpers)
configure_package_config_file("${CMAKE_SOURCE_DIR}/cmake/realm-config.cmake.in"
    "${CMAKE_BINARY_DIR}/realm-config.cmake"
    INSTALL_DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/realm"
    PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/realm-config-version.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/realm-config.cmake" "${CMAKE_BINARY_DIR}/realm-config-version.cmake"
    DESTINATION "${CMAKE_INSTALL_LIBDIR}/cmake/realm")
