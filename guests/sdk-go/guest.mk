# Builds PROGRAM.wasm of the Go package here, with Go 1.24 or newer.
OUT ?= .
GO ?= go

.PHONY: all clean
all:
	GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -trimpath -ldflags="-s -w" -o $(OUT)/$(PROGRAM).wasm .

clean:
	rm -f $(OUT)/$(PROGRAM).wasm
