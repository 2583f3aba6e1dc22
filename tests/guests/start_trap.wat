;; Traps before it is asked anything.
(module
  (memory (export "memory") 1)
  (func $start (unreachable))
  (func (export "realm_run") (result i32) (i32.const 0))
  (start $start))
