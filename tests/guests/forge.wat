;; Tries numbers as handles: small, large, negative, its own after they were dropped.  The request
;; brings a handle of somebody else's, as four bytes.  Returns how many were taken.
(module
  (import "realm_v1" "request_read" (func $request_read (param i32 i32 i32) (result i32)))
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_read" (func $sequence_read (param i32 i32 i32) (result i32)))
  (import "realm_v1" "drop" (func $drop (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $taken (mut i32) (i32.const 0))
  (func $try (param i32)
    (if (i32.ne (call $drop (local.get 0)) (i32.const -3))
      (then (global.set $taken (i32.add (global.get $taken) (i32.const 1)))))
    (if (i32.ne (call $sequence_read (local.get 0) (i32.const 0) (i32.const 0)) (i32.const -3))
      (then (global.set $taken (i32.add (global.get $taken) (i32.const 1))))))
  (func (export "realm_run") (result i32)
    (local $i i32) (local $model i32) (local $sequence i32)
    (loop $small
      (call $try (local.get $i))
      (call $try (i32.sub (i32.const 0) (local.get $i)))
      (call $try (i32.shl (local.get $i) (i32.const 12)))
      (call $try (i32.or (i32.shl (local.get $i) (i32.const 12)) (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $small (i32.lt_u (local.get $i) (i32.const 5000))))
    (drop (call $request_read (i32.const 0) (i32.const 256) (i32.const 4)))
    (call $try (i32.load (i32.const 256)))
    (local.set $model (call $model_open (i32.const 0) (i32.const 0)))
    (local.set $sequence (call $sequence_create (local.get $model)))
    ;; a live one of the wrong kind
    (if (i32.ne (call $sequence_read (local.get $model) (i32.const 0) (i32.const 0)) (i32.const -3))
      (then (return (i32.const 1000))))
    (if (call $sequence_read (local.get $sequence) (i32.const 0) (i32.const 0))
      (then (return (i32.const 1001))))
    (if (call $drop (local.get $sequence)) (then (return (i32.const 1002))))
    (call $try (local.get $sequence)) ;; stale
    (drop (call $sequence_create (local.get $model))) ;; the same place, used anew
    (call $try (local.get $sequence))
    (global.get $taken)))
