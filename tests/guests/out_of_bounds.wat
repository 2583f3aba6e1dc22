;; Reads past its own memory.
(module
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32) (i32.load (i32.const 65536))))
