;; Asks for ever more memory and writes all of it.
(module
  (memory (export "memory") 1)
  (func (export "realm_run") (result i32)
    (local $at i32)
    (loop $more
      (local.set $at (i32.shl (memory.size) (i32.const 16)))
      (drop (memory.grow (i32.const 16)))
      (memory.fill (local.get $at) (i32.const 165) (i32.const 1048576))
      (br $more))
    (i32.const 0)))
