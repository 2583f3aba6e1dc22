;; Emits without end.
(module
  (import "realm_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "all work and no play makes jack a dull boy. ")
  (func (export "realm_run") (result i32)
    (loop (drop (call $emit (i32.const 0) (i32.const 0) (i32.const 44))) (br 0))
    (i32.const 0)))
