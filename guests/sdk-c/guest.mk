# Builds PROGRAM.wasm of SOURCES with any clang that has wasm32 and its linker (clang and lld).
#
#   PROGRAM   name without .wasm
#   SOURCES   the program's own files
#   SDK       where this file lies; INCLUDE  where realm_guest.h lies
CLANG ?= $(firstword $(foreach c,clang clang-22 clang-21 clang-20 clang-19 clang-18,$(if $(shell command -v $c),$c)))
CFLAGS ?= -O2
OUT ?= .

SDK_SOURCES := $(addprefix $(SDK)/,guest.c json.c text.c memory.c)
SDK_HEADERS := $(addprefix $(SDK)/,guest.h json.h text.h) $(INCLUDE)/realm_guest.h

$(OUT)/$(PROGRAM).wasm: $(SOURCES) $(SDK_SOURCES) $(SDK_HEADERS) $(MAKEFILE_LIST)
	@[ -n "$(CLANG)" ] || { echo "clang is missing: install clang and lld" >&2; exit 1; }
	$(CLANG) --target=wasm32 -mbulk-memory -std=c17 -ffreestanding -nostdlib -Wall -Wextra $(CFLAGS) \
		-I$(SDK) -I$(INCLUDE) -Wl,--no-entry,--stack-first,-zstack-size=131072,--strip-debug \
		-o $@ $(SOURCES) $(SDK_SOURCES)

.PHONY: clean
clean:
	rm -f $(OUT)/$(PROGRAM).wasm
