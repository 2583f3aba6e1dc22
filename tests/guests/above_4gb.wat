;; Writes and reads above 4 GB of a 64-bit memory, and hands the host a pointer up there.
(module
  (import "realm_v1" "emit" (func $emit (param i32 i64 i64) (result i32)))
  (memory (export "memory") i64 66000)
  (func (export "realm_run") (result i32)
    (i64.store (i64.const 4300000000) (i64.const 0x6f6c6c6568)) ;; "hello"
    (if (i64.ne (i64.load (i64.const 4300000000)) (i64.const 0x6f6c6c6568))
      (then (return (i32.const 1))))
    (call $emit (i32.const 0) (i64.const 4300000000) (i64.const 5))))
