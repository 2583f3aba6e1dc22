# The program `realm`, at the top of the build directory.
if(NOT REALM_RUST_DEPS OR NOT EXISTS "${CMAKE_SOURCE_DIR}/src/cli/main.c")
    message(STATUS "realm: left out (no src/cli/main.c, or REALM_RUST_DEPS is OFF)")
    return()
endif()
add_executable(realm "${CMAKE_SOURCE_DIR}/src/cli/main.c")
target_link_libraries(realm PRIVATE realm_cli realm_flags)
set_target_properties(realm PROPERTIES POSITION_INDEPENDENT_CODE ON)
install(TARGETS realm RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES "${CMAKE_SOURCE_DIR}/tools/completion.bash"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME realm OPTIONAL)
