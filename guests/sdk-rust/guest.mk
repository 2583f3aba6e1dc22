# Builds PROGRAM.wasm of the Cargo package here, with any Rust that has the target wasm32-unknown-unknown
# (rustup target add wasm32-unknown-unknown).
OUT ?= .
CARGO ?= cargo
TARGET_DIR ?= $(OUT)/target

.PHONY: all clean
all:
	$(CARGO) build --quiet $(if $(wildcard Cargo.lock),--locked) --release --target wasm32-unknown-unknown --target-dir $(TARGET_DIR)
	cp $(TARGET_DIR)/wasm32-unknown-unknown/release/$(subst -,_,$(PROGRAM)).wasm $(OUT)/$(PROGRAM).wasm

clean:
	rm -rf $(TARGET_DIR) $(OUT)/$(PROGRAM).wasm
