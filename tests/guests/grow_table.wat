;; Asks for ever more room in a table.
(module
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (func (export "realm_run") (result i32)
    (loop (drop (table.grow $table (ref.null func) (i32.const 1000))) (br 0))
    (i32.const 0)))
