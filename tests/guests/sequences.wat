;; Makes sequences and drops none.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32)
    (local $model i32)
    (local.set $model (call $model_open (i32.const 0) (i32.const 0)))
    (loop (drop (call $sequence_create (local.get $model))) (br 0))
    (i32.const 0)))
