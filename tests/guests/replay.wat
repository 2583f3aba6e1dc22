;; Four sequences, sampled at a temperature by one sampler with a stream of numbers each, all at once;
;; what each generates is emitted in turn, and 8 random numbers as letters behind it.
(module
  (import "realm_v1" "model_open" (func $model_open (param i32 i32) (result i32)))
  (import "realm_v1" "sequence_create" (func $sequence_create (param i32) (result i32)))
  (import "realm_v1" "sequence_append_text"
    (func $append_text (param i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "sampler_create" (func $sampler_create (param i32 i32) (result i32)))
  (import "realm_v1" "generate" (func $generate (param i32 i32 i32 i32 i32) (result i32)))
  (import "realm_v1" "stream_pipe" (func $pipe (param i32 i32 i32) (result i32)))
  (import "realm_v1" "random" (func $random (param i32 i32) (result i32)))
  (import "realm_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "Once upon a time there was a")
  ;; generate: size 28, the sampler, max_tokens 24, IGNORE_END
  (data (i32.const 64) "\1c\00\00\00" "\00\00\00\00" "\00\00\00\00" "\18\00\00\00" "\00\00\00\00"
    "\01\00\00\00" "\00\00\00\00")
  ;; sampler: size 80, temperature 1.5; its stream of numbers at 68
  (data (i32.const 128) "\50\00\00\00" "\00\00\c0\3f")
  (func (export "realm_run") (result i32)
    (local $model i32) (local $sequence i32) (local $i i32)
    (local.set $model (call $model_open (i32.const 0) (i32.const 0)))
    (loop $begin
      (i32.store (i32.const 196) (local.get $i))
      (i32.store (i32.const 68) (call $sampler_create (i32.const 128) (i32.const 80)))
      (local.set $sequence (call $sequence_create (local.get $model)))
      (drop (call $append_text (local.get $sequence) (i32.const 0) (i32.const 28) (i32.const 0)))
      (i32.store (i32.add (i32.const 512) (i32.shl (local.get $i) (i32.const 2)))
        (call $generate (local.get $sequence) (i32.const 64) (i32.const 28) (i32.const 0)
          (i32.const 0)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $begin (i32.lt_u (local.get $i) (i32.const 4))))
    (local.set $i (i32.const 0))
    (loop $read
      (if (i32.ne (i32.const 24)
            (call $pipe (i32.load (i32.add (i32.const 512) (i32.shl (local.get $i) (i32.const 2))))
              (i32.const 1024) (i32.const 200)))
        (then (return (i32.const 1))))
      (drop (call $emit (i32.const 0) (i32.const 600) (i32.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $read (i32.lt_u (local.get $i) (i32.const 4))))
    (drop (call $random (i32.const 700) (i32.const 8)))
    (local.set $i (i32.const 0))
    (loop $letter
      (i32.store8 (i32.add (i32.const 700) (local.get $i))
        (i32.add (i32.const 97) (i32.and (i32.const 15)
          (i32.load8_u (i32.add (i32.const 700) (local.get $i))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $letter (i32.lt_u (local.get $i) (i32.const 8))))
    (call $emit (i32.const 0) (i32.const 700) (i32.const 8)))
  (data (i32.const 600) "|"))
