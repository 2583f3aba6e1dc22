# One program for all kernels, run once per level this build has.  77: the machine lacks the level.
file(GLOB sources CONFIGURE_DEPENDS kernels/*.c)
realm_test_program(kernels backend SOURCES ${sources})
get_property(levels GLOBAL PROPERTY realm_isa_levels)
foreach(level IN LISTS levels)
    add_test(NAME kernels_${level} COMMAND kernels --cpu=${level})
    realm_register(kernels_${level} quick 300)
    set_tests_properties(kernels_${level} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()
