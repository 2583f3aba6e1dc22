;; Calls itself until the stack is at its end.
(module
  (memory (export "memory") 1)
  (func $deeper (param i64) (result i64)
    (i64.add (local.get 0) (call $deeper (i64.add (local.get 0) (i64.const 1)))))
  (func (export "realm_run") (result i32)
    (i32.wrap_i64 (call $deeper (i64.const 0)))))
