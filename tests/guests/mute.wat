;; Generates 200 tokens and reads them all without a word of it, then waits for a message.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_append_text"
    (func $append_text (param i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "generate" (func $generate (param i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "stream_next"
    (func $next (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "recv" (func $recv (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Once upon a time")
  ;; generate: size 28, max_tokens 200, IGNORE_END
  (data (i32.const 64) "\1c\00\00\00" "\00\00\00\00" "\00\00\00\00" "\c8\00\00\00" "\00\00\00\00"
    "\01\00\00\00" "\00\00\00\00")
  (func (export "realm_run") (result i32)
    (local $sequence i32) (local $stream i32)
    (local.set $sequence (call $sequence_create (call $model_open (i32.const 0) (i32.const 0))))
    (drop (call $append_text (local.get $sequence) (i32.const 0) (i32.const 16) (i32.const 0)))
    (local.set $stream
      (call $generate (local.get $sequence) (i32.const 64) (i32.const 28) (i32.const 0)
        (i32.const 0)))
    (loop $more
      (br_if $more (i32.eq (i32.const 1)
        (call $next (local.get $stream) (i32.const 1024) (i32.const 200) (i32.const 2048)
          (i32.const 4096) (i32.const -1)))))
    (drop (call $recv (i32.const 1024) (i32.const 4096) (i32.const -1)))
    (i32.const 0)))
