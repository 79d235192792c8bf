;; A module that shares its memory with a heap. Its own data lies in the first page; records lie wherever they are put.
;;
;;   0      4    8   16   24    25  26     28       32      40
;;   | next | id | x | y  | kind |  | level | weight | stamp |     next: 0 ends the list
(module
  (import "js" "memory" (memory 2 256 MEMORY))
  (import "js" "malloc" (func $malloc (param i32) (result i32)))
  (import "js" "free" (func $free (param i32)))

  ;; 16: how often `scale` was called. 1024: a text.
  (data (i32.const 1024) "the neighbour's own")

  ;; The sum of what the records of a list hold, x times y each.
  (func (export "digest") (param $at i32) (result f64)
    (local $sum f64)
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $at)))
        (local.set $sum (f64.add (local.get $sum) (f64.mul (f64.load offset=8 (local.get $at)) (f64.load offset=16 (local.get $at)))))
        (local.set $sum (f64.add (local.get $sum) (f64.convert_i32_u (i32.load offset=4 (local.get $at)))))
        (local.set $sum (f64.add (local.get $sum) (f64.convert_i32_u (i32.load8_u offset=24 (local.get $at)))))
        (local.set $sum (f64.add (local.get $sum) (f64.convert_i32_s (i32.load16_s offset=26 (local.get $at)))))
        (local.set $sum (f64.add (local.get $sum) (f64.promote_f32 (f32.load offset=28 (local.get $at)))))
        (local.set $sum (f64.add (local.get $sum) (f64.convert_i64_s (i64.load offset=32 (local.get $at)))))
        (local.set $at (i32.load (local.get $at)))
        (br $next)))
    (local.get $sum))

  ;; Multiplies each x, and negates each stamp.
  (func (export "scale") (param $at i32) (param $by f64)
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $at)))
        (f64.store offset=8 (local.get $at) (f64.mul (f64.load offset=8 (local.get $at)) (local.get $by)))
        (i64.store offset=32 (local.get $at) (i64.sub (i64.const 0) (i64.load offset=32 (local.get $at))))
        (local.set $at (i32.load (local.get $at)))
        (br $next))))

  ;; Makes a list of records with the ids count - 1 to 0; they come from JavaScript's malloc.
  (func (export "build") (param $count i32) (result i32)
    (local $id i32) (local $first i32) (local $at i32)
    (block $end
      (loop $next
        (br_if $end (i32.eq (local.get $id) (local.get $count)))
        (local.set $at (call $malloc (i32.const 40)))
        (i32.store (local.get $at) (local.get $first))
        (i32.store offset=4 (local.get $at) (local.get $id))
        (f64.store offset=8 (local.get $at) (f64.convert_i32_u (local.get $id)))
        (f64.store offset=16 (local.get $at) (f64.const 0.5))
        (i32.store8 offset=24 (local.get $at) (i32.const 200))
        (i32.store16 offset=26 (local.get $at) (i32.const -3))
        (f32.store offset=28 (local.get $at) (f32.const 0.25))
        (i64.store offset=32 (local.get $at) (i64.const -5))
        (local.set $first (local.get $at))
        (local.set $id (i32.add (local.get $id) (i32.const 1)))
        (br $next)))
    (local.get $first))

  ;; Gives every record of a list to JavaScript's free.
  (func (export "destroy") (param $at i32)
    (local $next i32)
    (block $end
      (loop $again
        (br_if $end (i32.eqz (local.get $at)))
        (local.set $next (i32.load (local.get $at)))
        (call $free (local.get $at))
        (local.set $at (local.get $next))
        (br $again))))

  ;; Appends pages to the memory, as a module's own malloc does.
  (func (export "grow") (param $pages i32) (result i32)
    (memory.grow (local.get $pages))))
