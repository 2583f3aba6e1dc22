# Files as a C table that goes into the program:
#
#   cmake -DOUT=out.c -DHEADER=face.h -DTABLE=name "-DFILES=name=path;..." -P embed_files.cmake
#
# The table is `const struct embedded_file name[]`, ended by a row without a name.
set(arrays "")
set(rows "")
set(i 0)
foreach(entry IN LISTS FILES)
    string(REGEX MATCH "^([^=]+)=(.*)$" whole "${entry}")
    set(name "${CMAKE_MATCH_1}")
    file(READ "${CMAKE_MATCH_2}" bytes HEX)
    # 16 bytes a line, so that no compiler meets a line of a million columns.
    string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND arrays "static const unsigned char file_${i}[] = {\n${bytes}0};\n")
    string(APPEND rows "    {\"${name}\", file_${i}, sizeof(file_${i}) - 1},\n")
    math(EXPR i "${i} + 1")
endforeach()
file(WRITE "${OUT}" "/* Made by cmake/embed_files.cmake. */\n#include \"${HEADER}\"\n\n${arrays}
const struct embedded_file ${TABLE}[] = {\n${rows}    {NULL, NULL, 0},\n};\n")
