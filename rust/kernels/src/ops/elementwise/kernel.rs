//! How one line of arithmetic becomes a [`Kernel`](super::engine::Kernel).

use super::engine::Params;
use crate::multiversion;

/// A function of one element.
pub(crate) trait Fn1 {
    type A: Copy;
    type O: Copy;
    fn f(p: &Params, a: Self::A) -> Self::O;
}

/// A function of two elements.
pub(crate) trait Fn2 {
    type A: Copy;
    type B: Copy;
    type O: Copy;
    fn f(p: &Params, a: Self::A, b: Self::B) -> Self::O;
}

/// A function of three elements.
pub(crate) trait Fn3 {
    type A: Copy;
    type B: Copy;
    type C: Copy;
    type O: Copy;
    fn f(p: &Params, a: Self::A, b: Self::B, c: Self::C) -> Self::O;
}

/// The few inputs of a function that its vectorised code leaves to exact scalar code.
pub(crate) trait Rare1: Fn1 {
    fn rare(a: Self::A) -> bool;
    fn exact(a: Self::A) -> Self::O;
}

/// As [`Rare1`] for two operands.
pub(crate) trait Rare2: Fn2 {
    fn rare(a: Self::A, b: Self::B) -> bool;
    fn exact(a: Self::A, b: Self::B) -> Self::O;
}

/// A function whose result may take its operand's place.
pub(crate) trait Over1: Fn1<O = <Self as Fn1>::A> {}
impl<K: Fn1<O = <K as Fn1>::A>> Over1 for K {}

/// As [`Over1`] for the first of two operands.
pub(crate) trait Over2: Fn2<O = <Self as Fn2>::A> {}
impl<K: Fn2<O = <K as Fn2>::A>> Over2 for K {}

/// A slice from the engine's pointers.
///
/// # Safety
/// The engine passes `n` elements of the kernel's types.
#[inline(always)]
unsafe fn view<'a, T>(p: *const u8, n: usize) -> &'a [T] {
    std::slice::from_raw_parts(p.cast(), n)
}

/// As [`view`], of memory that nothing else reaches during the call.
#[inline(always)]
unsafe fn view_mut<'a, T>(p: *mut u8, n: usize) -> &'a mut [T] {
    std::slice::from_raw_parts_mut(p.cast(), n)
}

// By index: adaptors like zip are calls where the compiler does not inline them, and rows are short.
multiversion! {
    fn loop1<K: Fn1>(out: &mut [K::O], a: &[K::A], p: &Params) {
        let a = &a[..out.len()];
        for i in 0..out.len() {
            out[i] = K::f(p, a[i]);
        }
    }
}

multiversion! {
    fn loop2<K: Fn2>(out: &mut [K::O], a: &[K::A], b: &[K::B], p: &Params) {
        let (a, b) = (&a[..out.len()], &b[..out.len()]);
        for i in 0..out.len() {
            out[i] = K::f(p, a[i], b[i]);
        }
    }
}

multiversion! {
    fn loop3<K: Fn3>(out: &mut [K::O], a: &[K::A], b: &[K::B], c: &[K::C], p: &Params) {
        let (a, b, c) = (&a[..out.len()], &b[..out.len()], &c[..out.len()]);
        for i in 0..out.len() {
            out[i] = K::f(p, a[i], b[i], c[i]);
        }
    }
}

/// Elements between two looks for rare inputs.
const BLOCK: usize = 512;

multiversion! {
    fn loop1_rare<K: Rare1>(out: &mut [K::O], a: &[K::A], p: &Params) {
        for (out, a) in out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)) {
            let mut any = false;
            for (o, &a) in out.iter_mut().zip(a) {
                *o = K::f(p, a);
                any |= K::rare(a);
            }
            if any {
                for (o, &a) in out.iter_mut().zip(a) {
                    if K::rare(a) {
                        *o = K::exact(a);
                    }
                }
            }
        }
    }
}

multiversion! {
    fn loop2_rare<K: Rare2>(out: &mut [K::O], a: &[K::A], b: &[K::B], p: &Params) {
        for ((out, a), b) in out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).zip(b.chunks(BLOCK)) {
            let mut any = false;
            for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *o = K::f(p, a, b);
                any |= K::rare(a, b);
            }
            if any {
                for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    if K::rare(a, b) {
                        *o = K::exact(a, b);
                    }
                }
            }
        }
    }
}

pub(crate) fn map1<K: Fn1>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    unsafe { loop1::<K>(view_mut(out, n), view(ins[0], n), p) }
}

pub(crate) fn map2<K: Fn2>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    unsafe { loop2::<K>(view_mut(out, n), view(ins[0], n), view(ins[1], n), p) }
}

pub(crate) fn map3<K: Fn3>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    unsafe { loop3::<K>(view_mut(out, n), view(ins[0], n), view(ins[1], n), view(ins[2], n), p) }
}

pub(crate) fn map1_rare<K: Rare1>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    unsafe { loop1_rare::<K>(view_mut(out, n), view(ins[0], n), p) }
}

pub(crate) fn map2_rare<K: Rare2>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    unsafe { loop2_rare::<K>(view_mut(out, n), view(ins[0], n), view(ins[1], n), p) }
}

#[inline(always)]
fn row2<K: Over2>(out: &mut [K::O], a: &[K::A], b: &[K::B], p: &Params) {
    let (a, b) = (&a[..out.len()], &b[..out.len()]);
    for i in 0..out.len() {
        out[i] = K::f(p, a[i], b[i]);
    }
}

#[inline(always)]
fn row2_left<K: Over2>(out: &mut [K::O], a: K::A, b: &[K::B], p: &Params) {
    let b = &b[..out.len()];
    for i in 0..out.len() {
        out[i] = K::f(p, a, b[i]);
    }
}

#[inline(always)]
fn row2_right<K: Over2>(out: &mut [K::O], a: &[K::A], b: K::B, p: &Params) {
    let a = &a[..out.len()];
    for i in 0..out.len() {
        out[i] = K::f(p, a[i], b);
    }
}

#[inline(always)]
fn row2_over<K: Over2>(out: &mut [K::O], b: &[K::B], p: &Params) {
    let b = &b[..out.len()];
    for i in 0..out.len() {
        out[i] = K::f(p, out[i], b[i]);
    }
}

#[inline(always)]
fn row2_over_right<K: Over2>(out: &mut [K::O], b: K::B, p: &Params) {
    for o in out {
        *o = K::f(p, *o, b);
    }
}

multiversion! {
    fn rows1<K: Over1>(out: *mut u8, a: *const u8, p: &Params, n: usize) {
        let rows = p.rows;
        for i in 0..rows.count as isize {
            // SAFETY: the engine's promise to kernels, for every row.
            unsafe {
                let (to, from) = (out.offset(i * rows.steps[0]), a.offset(i * rows.steps[1]));
                if rows.once != 0 {
                    view_mut::<K::O>(to, n).fill(K::f(p, *from.cast()));
                } else if to.cast_const() == from {
                    for o in view_mut::<K::O>(to, n) {
                        *o = K::f(p, *o);
                    }
                } else {
                    for (o, &a) in view_mut::<K::O>(to, n).iter_mut().zip(view::<K::A>(from, n)) {
                        *o = K::f(p, a);
                    }
                }
            }
        }
    }
}

multiversion! {
    fn rows2<K: Over2>(out: *mut u8, a: *const u8, b: *const u8, p: &Params, n: usize) {
        let rows = p.rows;
        let over = out.cast_const() == a;
        for i in 0..rows.count as isize {
            // SAFETY: the engine's promise to kernels, for every row.
            unsafe {
                let to = view_mut::<K::O>(out.offset(i * rows.steps[0]), n);
                let (a, b) = (a.offset(i * rows.steps[1]), b.offset(i * rows.steps[2]));
                match (rows.once, over) {
                    (0, false) => row2::<K>(to, view(a, n), view(b, n), p),
                    (0, true) => row2_over::<K>(to, view(b, n), p),
                    (2, false) => row2_right::<K>(to, view(a, n), *b.cast(), p),
                    (2, true) => row2_over_right::<K>(to, *b.cast(), p),
                    (1, _) => row2_left::<K>(to, *a.cast(), view(b, n), p),
                    _ => to.fill(K::f(p, *a.cast(), *b.cast())),
                }
            }
        }
    }
}

/// As [`map1`] for frequent operations: by rows, and the output may be the operand.
pub(crate) fn over1<K: Over1>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    rows1::<K>(out, ins[0], p, n)
}

/// As [`map2`] for frequent operations: by rows, and the output may be the first operand.
pub(crate) fn over2<K: Over2>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    rows2::<K>(out, ins[0], ins[1], p, n)
}

/// Without a version for each instruction set: for library calls and integer divisions.
pub(crate) fn plain1<K: Fn1>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    let (out, a) = unsafe { (view_mut::<K::O>(out, n), view::<K::A>(ins[0], n)) };
    out.iter_mut().zip(a).for_each(|(o, &a)| *o = K::f(p, a));
}

/// As [`plain1`] for two operands.
pub(crate) fn plain2<K: Fn2>(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine's promise to kernels.
    let (out, a, b) = unsafe { (view_mut::<K::O>(out, n), view::<K::A>(ins[0], n), view::<K::B>(ins[1], n)) };
    out.iter_mut().zip(a).zip(b).for_each(|((o, &a), &b)| *o = K::f(p, a, b));
}

/// `kernel1!(map1, A => O, |p, a| expression)`: a kernel of one operand.
macro_rules! kernel1 {
    ($how:ident, $A:ty => $O:ty, |$p:ident, $a:ident| $e:expr $(, rare |$r:ident| $rare:expr, $exact:expr)?) => {{
        struct K;
        impl $crate::ops::elementwise::kernel::Fn1 for K {
            type A = $A;
            type O = $O;
            #[inline(always)]
            fn f($p: &$crate::ops::elementwise::engine::Params, $a: $A) -> $O {
                let _ = $p;
                $e
            }
        }
        $(impl $crate::ops::elementwise::kernel::Rare1 for K {
            #[inline(always)]
            fn rare($r: $A) -> bool {
                $rare
            }
            fn exact($r: $A) -> $O {
                $exact
            }
        })?
        $crate::ops::elementwise::kernel::$how::<K> as $crate::ops::elementwise::engine::Kernel
    }};
}
pub(crate) use kernel1;

/// `kernel2!(map2, A, B => O, |p, a, b| expression)`: a kernel of two operands.
macro_rules! kernel2 {
    ($how:ident, $A:ty, $B:ty => $O:ty, |$p:ident, $a:ident, $b:ident| $e:expr $(, rare |$r:ident, $s:ident| $rare:expr, $exact:expr)?) => {{
        struct K;
        impl $crate::ops::elementwise::kernel::Fn2 for K {
            type A = $A;
            type B = $B;
            type O = $O;
            #[inline(always)]
            fn f($p: &$crate::ops::elementwise::engine::Params, $a: $A, $b: $B) -> $O {
                let _ = $p;
                $e
            }
        }
        $(impl $crate::ops::elementwise::kernel::Rare2 for K {
            #[inline(always)]
            fn rare($r: $A, $s: $B) -> bool {
                $rare
            }
            fn exact($r: $A, $s: $B) -> $O {
                $exact
            }
        })?
        $crate::ops::elementwise::kernel::$how::<K> as $crate::ops::elementwise::engine::Kernel
    }};
}
pub(crate) use kernel2;

/// `kernel3!(A, B, C => O, |p, a, b, c| expression)`: a kernel of three operands.
macro_rules! kernel3 {
    ($A:ty, $B:ty, $C:ty => $O:ty, |$p:ident, $a:ident, $b:ident, $c:ident| $e:expr) => {{
        struct K;
        impl $crate::ops::elementwise::kernel::Fn3 for K {
            type A = $A;
            type B = $B;
            type C = $C;
            type O = $O;
            #[inline(always)]
            fn f($p: &$crate::ops::elementwise::engine::Params, $a: $A, $b: $B, $c: $C) -> $O {
                let _ = $p;
                $e
            }
        }
        $crate::ops::elementwise::kernel::map3::<K> as $crate::ops::elementwise::engine::Kernel
    }};
}
pub(crate) use kernel3;
