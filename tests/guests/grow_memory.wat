;; Asks for ever more memory.
(module
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32)
    (loop (drop (memory.grow (i32.const 16))) (br 0))
    (i32.const 0)))
