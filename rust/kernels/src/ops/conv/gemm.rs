//! A plain matrix product, until the blocked one of `ops::matmul` is used here.
pub trait GemmElement: crate::simd::vector::Float {}
impl GemmElement for f32 {}
impl GemmElement for f64 {}

pub unsafe fn gemm<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: *const T,
    rsa: isize,
    csa: isize,
    b: *const T,
    rsb: isize,
    csb: isize,
    beta: T,
    c: *mut T,
    rsc: isize,
    csc: isize,
) {
    for i in 0..m as isize {
        for j in 0..n as isize {
            let mut s = T::default();
            for p in 0..k as isize {
                s += *a.offset(i * rsa + p * csa) * *b.offset(p * rsb + j * csb);
            }
            let at = c.offset(i * rsc + j * csc);
            *at = alpha * s + if beta == T::default() { beta } else { beta * *at };
        }
    }
}
