;; Opens handles and drops none.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32)
    (loop (drop (call $model_open (i32.const 0) (i32.const 0))) (br 0))
    (i32.const 0)))
