//! Ways to combine a value with what is there: replace or add.

use crate::dtype::Bool;

/// Addition as tensors do it: integers wrap, bools "or".
pub(crate) trait Accumulate: Copy {
    fn plus(self, other: Self) -> Self;
}

macro_rules! accumulate {
    ($($t:ty => |$a:ident, $b:ident| $e:expr),* $(,)?) => {$(
        impl Accumulate for $t {
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                $e
            }
        }
    )*};
}
accumulate!(
    Bool => |a, b| Bool(a.0 | b.0),
    u8 => |a, b| a.wrapping_add(b),
    i32 => |a, b| a.wrapping_add(b),
    i64 => |a, b| a.wrapping_add(b),
    f32 => |a, b| a + b,
    f64 => |a, b| a + b,
);

/// What a write does with the old value.
pub(super) trait Combine<T: Copy>: Sync {
    fn combine(old: T, new: T) -> T;
}

pub(super) struct Set;
pub(super) struct Add;

impl<T: Copy> Combine<T> for Set {
    #[inline(always)]
    fn combine(_: T, new: T) -> T {
        new
    }
}

impl<T: Accumulate> Combine<T> for Add {
    #[inline(always)]
    fn combine(old: T, new: T) -> T {
        old.plus(new)
    }
}

/// Combines `n` elements of `src` (step `ss`) into `dst` (step `ds`).
///
/// # Safety
/// Both runs are valid, and they do not overlap each other.
#[inline(always)]
pub(super) unsafe fn combine_run<T: Copy, C: Combine<T>>(
    dst: *mut T,
    ds: isize,
    src: *const T,
    ss: isize,
    n: usize,
) {
    if ds == 1 && ss == 1 {
        let (d, s) = (std::slice::from_raw_parts_mut(dst, n), std::slice::from_raw_parts(src, n));
        for (d, &s) in d.iter_mut().zip(s) {
            *d = C::combine(*d, s);
        }
    } else {
        for i in 0..n as isize {
            let d = dst.offset(i * ds);
            *d = C::combine(*d, *src.offset(i * ss));
        }
    }
}
