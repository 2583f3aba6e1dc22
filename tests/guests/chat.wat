;; The plainest program: the request's bytes are the prompt, the completion is the answer.
(module
  (import "realm_v1" "request_read" (func $request_read (param i32 i32 i32) (result i32)))
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_append_text"
    (func $append_text (param i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "generate" (func $generate (param i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "stream_pipe" (func $pipe (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; realm_generate_options at 64: size 28, max_tokens 20, IGNORE_END
  (data (i32.const 64) "\1c\00\00\00" "\00\00\00\00" "\00\00\00\00" "\14\00\00\00" "\00\00\00\00"
    "\01\00\00\00" "\00\00\00\00")
  (func (export "realm_run") (result i32)
    (local $n i32) (local $sequence i32) (local $stream i32)
    (local.set $n (call $request_read (i32.const 0) (i32.const 1024) (i32.const 4096)))
    (local.set $sequence (call $sequence_create (call $model_open (i32.const 0) (i32.const 0))))
    (drop (call $append_text (local.get $sequence) (i32.const 1024) (local.get $n) (i32.const 0)))
    (local.set $stream
      (call $generate (local.get $sequence) (i32.const 64) (i32.const 28) (i32.const 0)
        (i32.const 0)))
    (if (i32.le_s (local.get $stream) (i32.const 0)) (then (return (local.get $stream))))
    (if (i32.ne (call $pipe (local.get $stream) (i32.const 8192) (i32.const 200)) (i32.const 20))
      (then (return (i32.const 1))))
    (i32.const 0)))
