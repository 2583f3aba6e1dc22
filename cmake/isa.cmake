# Instruction-set folders of src/backend/cpu/ and their compile flags: the only place where -m flags
# are written.  After this, for every known folder F:
#   realm_isa_<F>         flags, or empty where this processor cannot be its target
#   realm_isa_defines     REALM_HAVE_<F>=0|1 for the table of levels in select.c
set(realm_isa_folders avx2 avx512vnni avx512bf16 amxint8 neondot neoni8mm neonbf16)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(realm_isa_avx2 -mavx2 -mfma -mf16c -mbmi2)
    set(realm_isa_avx512vnni
        ${realm_isa_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni)
    set(realm_isa_avx512bf16 ${realm_isa_avx512vnni} -mavx512bf16)
    set(realm_isa_amxint8 ${realm_isa_avx512bf16} -mamx-tile -mamx-int8)
    if(REALM_SIMDE)
        # The same sources with AVX2 instructions only; simd_x86.h takes SIMDe's names instead.
        set(realm_isa_avx512vnni ${realm_isa_avx2})
        set(realm_isa_avx512bf16 ${realm_isa_avx2})
        set(realm_isa_amxint8 ${realm_isa_avx2})
    endif()
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(realm_isa_neondot -march=armv8.2-a+dotprod+fp16)
    set(realm_isa_neoni8mm -march=armv8.2-a+dotprod+fp16+i8mm)
    set(realm_isa_neonbf16 -march=armv8.2-a+dotprod+fp16+i8mm+bf16)
endif()

# realm_isa_objects(<out>): an object library per folder that has sources and suits the processor.
# Sets <out> to their objects, realm_isa_defines and realm_isa_levels (names, lowest first).
function(realm_isa_objects out)
    set(objects)
    set(levels scalar)
    set(defines REALM_SIMDE=$<BOOL:${REALM_SIMDE}>)
    foreach(folder IN LISTS realm_isa_folders)
        string(TOUPPER ${folder} upper)
        file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/cpu/${folder}/*.c")
        # Sanitizers cannot see into kernels; the widest ones would only cost their compilation there.
        if(NOT REALM_SANITIZE STREQUAL "" AND folder MATCHES "^(avx512|amx)")
            set(sources)
        endif()
        if(NOT sources OR NOT realm_isa_${folder})
            list(APPEND defines REALM_HAVE_${upper}=0)
            continue()
        endif()
        list(APPEND defines REALM_HAVE_${upper}=1)
        list(APPEND levels ${folder})
        add_library(realm_isa_${folder} OBJECT ${sources})
        target_include_directories(realm_isa_${folder} PRIVATE
            "${CMAKE_SOURCE_DIR}/src" "${CMAKE_SOURCE_DIR}/include")
        target_compile_options(realm_isa_${folder} PRIVATE ${realm_isa_${folder}} -O2)
        target_link_libraries(realm_isa_${folder} PRIVATE realm_flags)
        target_compile_definitions(realm_isa_${folder} PRIVATE REALM_SIMDE=$<BOOL:${REALM_SIMDE}>)
        if(REALM_SIMDE AND folder MATCHES "^(avx512|amx)")
            realm_find_simde()
            target_include_directories(realm_isa_${folder} SYSTEM PRIVATE "${REALM_SIMDE_INCLUDE}")
            target_compile_options(realm_isa_${folder} PRIVATE -Wno-psabi)
        endif()
        # Without sanitizers and with line numbers only: instrumented, these bodies take minutes to compile.
        # Their bounds are held by guard pages in tests/kernels; the scalar twins are instrumented.
        set(options -g1)
        if(NOT REALM_SANITIZE STREQUAL "")
            list(APPEND options -fno-sanitize=all)
        endif()
        set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${options}")
        list(APPEND objects $<TARGET_OBJECTS:realm_isa_${folder}>)
    endforeach()
    set(${out} ${objects} PARENT_SCOPE)
    set(realm_isa_defines ${defines} PARENT_SCOPE)
    set(realm_isa_levels ${levels} PARENT_SCOPE)
endfunction()

# Kernels are optimised in every build: a debug build should still answer.  Only the scalar ones are not
# where coverage is measured.
# -O2: the kernels are unrolled by hand, and -O3 takes four times as long for the same code.
set(realm_kernel_optimisation $<$<NOT:$<CONFIG:Coverage>>:-O2>)

function(realm_find_simde)
    find_path(REALM_SIMDE_INCLUDE simde/x86/avx512.h)
    if(NOT REALM_SIMDE_INCLUDE)
        message(FATAL_ERROR "REALM_SIMDE: SIMDe is missing; the Debian package is libsimde-dev.  "
                            "\"make setup\" installs what is missing.")
    endif()
endfunction()
