# realm_folder(<name> USES <folders...> LINK <libraries...> RUST <files...>)
#
# The static library realm_<name> of src/<name>/*.c (an empty INTERFACE library while there are none).
#   USES   folders it may include; nothing else is linked, so a call upwards cannot link
#   LINK   libraries from outside: pthread_and_math, realm_deps, or a name of cmake/deps.cmake
#   RUST   files left out when REALM_RUST_DEPS is OFF
# After it, the directory's variable realm_folder_target names the target.
function(realm_folder name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "USES;LINK;RUST;EXTRA")
    set(target realm_${name})
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
    list(FILTER sources EXCLUDE REGEX "/cli/main\\.c$")
    if(NOT REALM_RUST_DEPS)
        foreach(file IN LISTS arg_RUST)
            list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
            string(REGEX REPLACE "\\.c$" "" stem "${file}")
            set_property(GLOBAL APPEND PROPERTY realm_left_out "${name}_${stem}")
        endforeach()
    endif()
    list(APPEND sources ${arg_EXTRA})

    if(sources)
        add_library(${target} STATIC ${sources})
        set(scope PUBLIC)
        target_link_libraries(${target} PRIVATE realm_flags)
        # Whoever links our objects needs the sanitizer's run time too.
        target_link_options(${target} INTERFACE
            $<TARGET_PROPERTY:realm_flags,INTERFACE_LINK_OPTIONS>)
    else()
        add_library(${target} INTERFACE)
        set(scope INTERFACE)
    endif()
    target_include_directories(${target} ${scope}
        "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include")
    foreach(folder IN LISTS arg_USES)
        if(NOT TARGET realm_${folder})
            message(FATAL_ERROR "src/${name} uses ${folder}, which is not below it in the layers")
        endif()
        target_link_libraries(${target} ${scope} realm_${folder})
    endforeach()
    foreach(library IN LISTS arg_LINK)
        if(TARGET realm_system_${library})
            set(library realm_system_${library})
        endif()
        if(TARGET ${library})
            target_link_libraries(${target} ${scope} ${library})
        elseif(NOT REALM_KERNELS_ONLY)
            message(FATAL_ERROR "src/${name} links ${library}, which cmake/deps.cmake does not know")
        endif()
    endforeach()
    set_property(GLOBAL PROPERTY realm_${name}_has_sources "${sources}")
endfunction()

# realm_has_sources(<out> <folders...>): TRUE when every one of them has sources.
function(realm_has_sources out)
    set(all TRUE)
    foreach(folder IN LISTS ARGN)
        get_property(sources GLOBAL PROPERTY realm_${folder}_has_sources)
        if(NOT sources)
            set(all FALSE)
        endif()
    endforeach()
    set(${out} ${all} PARENT_SCOPE)
endfunction()
