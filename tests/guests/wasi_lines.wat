;; Writes a line in three pieces, two of them in one call.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "one line\0a")
  ;; at 32: "one", "", " li"; at 64: "ne\n"
  (data (i32.const 32) "\00\00\00\00\03\00\00\00" "\00\00\00\00\00\00\00\00" "\03\00\00\00\03\00\00\00")
  (data (i32.const 64) "\06\00\00\00\03\00\00\00")
  (func (export "realm_run") (result i32)
    (drop (call $write (i32.const 2) (i32.const 32) (i32.const 3) (i32.const 128)))
    (drop (call $write (i32.const 2) (i32.const 64) (i32.const 1) (i32.const 128)))
    (i32.const 0)))
