//! float32 to float16 by the processor's own instruction, which rounds to the nearest, ties to even.

/// Converts from the start as many elements as whole vectors hold, and says how many.
pub fn narrow(out: &mut [u16], x: &[f32]) -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        let n = out.len().min(x.len());
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        #[target_feature(enable = "avx512f")]
        fn avx512(out: &mut [[u16; 16]], x: &[[f32; 16]]) {
            for (o, x) in out.iter_mut().zip(x) {
                // SAFETY: both hold sixteen elements.
                unsafe {
                    let v = _mm512_cvtps_ph::<NEAREST>(_mm512_loadu_ps(x.as_ptr()));
                    _mm256_storeu_si256(o.as_mut_ptr().cast(), v);
                }
            }
        }
        #[target_feature(enable = "avx,f16c")]
        fn f16c(out: &mut [[u16; 8]], x: &[[f32; 8]]) {
            for (o, x) in out.iter_mut().zip(x) {
                // SAFETY: both hold eight elements.
                unsafe {
                    let v = _mm256_cvtps_ph::<NEAREST>(_mm256_loadu_ps(x.as_ptr()));
                    _mm_storeu_si128(o.as_mut_ptr().cast(), v);
                }
            }
        }
        match super::level() {
            super::Level::Avx512 => {
                // SAFETY: the level is only reported where the machine has its features.
                unsafe { avx512(out.as_chunks_mut().0, x.as_chunks().0) };
                return n - n % 16;
            }
            super::Level::Avx2 if is_x86_feature_detected!("f16c") => {
                // SAFETY: just looked up, and AVX2 implies AVX.
                unsafe { f16c(out.as_chunks_mut().0, x.as_chunks().0) };
                return n - n % 8;
            }
            _ => {}
        }
    }
    let _ = (out, x);
    0
}
