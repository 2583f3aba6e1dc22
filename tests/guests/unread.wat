;; Generates 3 tokens, waits for a message, and drops the stream without having read any.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_append_text"
    (func $append_text (param i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "generate" (func $generate (param i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "recv" (func $recv (param i32 i32 i32) (result i32)))
  (import "realm_v1" "drop" (func $drop (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "hello")
  ;; generate: size 28, max_tokens 3, IGNORE_END
  (data (i32.const 64) "\1c\00\00\00" "\00\00\00\00" "\00\00\00\00" "\03\00\00\00" "\00\00\00\00"
    "\01\00\00\00" "\00\00\00\00")
  (func (export "realm_run") (result i32)
    (local $sequence i32) (local $stream i32)
    (local.set $sequence (call $sequence_create (call $model_open (i32.const 0) (i32.const 0))))
    (drop (call $append_text (local.get $sequence) (i32.const 0) (i32.const 5) (i32.const 0)))
    (local.set $stream
      (call $generate (local.get $sequence) (i32.const 64) (i32.const 28) (i32.const 0)
        (i32.const 0)))
    (drop (call $recv (i32.const 1024) (i32.const 4096) (i32.const -1)))
    (call $drop (local.get $stream))))
