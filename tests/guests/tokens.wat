;; Forks a sequence of 100 tokens again and again.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_append" (func $append (param i32 i32 i32) (result i32)))
  (import "realm_v1" "sequence_fork" (func $fork (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32)
    (local $sequence i32)
    (local.set $sequence (call $sequence_create (call $model_open (i32.const 0) (i32.const 0))))
    (drop (call $append (local.get $sequence) (i32.const 1024) (i32.const 100)))
    (loop (drop (call $fork (local.get $sequence))) (br 0))
    (i32.const 0)))
