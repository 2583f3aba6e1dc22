;; Keeps value after value, each under a new key, until one is refused; returns the refusal.
(module
  (import "realm_v1" "kv_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "realm_run") (result i32)
    (local $refused i32)
    (loop $next
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (local.set $refused
        (call $set (i32.const 0) (i32.const 4) (i32.const 64) (i32.const 65536)))
      (br_if $next (i32.eqz (local.get $refused))))
    (local.get $refused)))
