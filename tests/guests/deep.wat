;; Invokes the program "deep", which is itself, and returns 1 when that has ended.
(module
  (import "realm_v1" "invoke" (func $invoke (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "stream_pipe" (func $pipe (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "deep")
  (func (export "realm_run") (result i32)
    (drop (call $pipe
      (call $invoke (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0))
      (i32.const 64) (i32.const 0)))
    (i32.const 1)))
