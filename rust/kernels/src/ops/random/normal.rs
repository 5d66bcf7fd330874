//! Normally distributed numbers by Box and Muller's transform, with our own logarithm, sine and
//! cosine: branch-free, so that they vectorise, and the same bits on every machine.

// The coefficients are as their authors print them.
#![allow(clippy::excessive_precision)]

use super::Generator;
use super::dist::{not_float, open_f32, open_f64, wide};
use super::philox::{LANES, WORDS, blocks, fill_tiles, tile};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::multiversion;
use crate::tensor::Tensor;

/// Natural logarithm of a normal number in (0, 1]; about 1 ulp (Cephes' `logf`).
#[inline(always)]
pub(super) fn ln_f32(x: f32) -> f32 {
    // x = 2^e * m with m in [sqrt(1/2), sqrt(2)).
    let shifted = x.to_bits().wrapping_sub(0x3f35_04f3);
    let e = ((shifted as i32) >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
    let z = m * m;
    let mut p = 7.037_683_6e-2f32;
    p = p * m - 1.151_461e-1;
    p = p * m + 1.167_699_9e-1;
    p = p * m - 1.242_014_1e-1;
    p = p * m + 1.424_932_3e-1;
    p = p * m - 1.666_805_8e-1;
    p = p * m + 2.000_071_5e-1;
    p = p * m - 2.499_999_4e-1;
    p = p * m + 3.333_333_1e-1;
    let y = m * z * p + e * -2.121_944_4e-4 - 0.5 * z;
    m + y + e * 0.693_359_4
}

/// Natural logarithm of a normal number in (0, 1]; below 1 ulp (fdlibm's).
#[inline(always)]
pub(super) fn ln_f64(x: f64) -> f64 {
    let shifted = x.to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd);
    let e = (((shifted as i64) >> 52) as i32) as f64;
    let f = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd)) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    let t2 = z
        * (6.666666666666735130e-01
            + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    let hfsq = 0.5 * f * f;
    e * 6.93147180369123816490e-01 - ((hfsq - (s * (hfsq + t1 + t2) + e * 1.90821492927058770002e-10)) - f)
}

/// Cosine and sine of a full turn times `word / 2^32`.
#[inline(always)]
fn turn_f32(word: u32) -> (f32, f32) {
    // A quarter of the turn by number, the rest as an angle in [-pi/4, pi/4).
    let shifted = word.wrapping_add(1 << 29);
    let quarter = shifted >> 30;
    let a = ((shifted & 0x3fff_ffff) as i32 - (1 << 29)) as f32
        * (std::f32::consts::FRAC_PI_2 / (1 << 30) as f32);
    let z = a * a;
    let s = a + a * z * (-1.666_665_5e-1 + z * (8.332_161e-3 + z * -1.951_529_6e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_731_6e-3 + z * 2.443_315_7e-5));
    let (c, s) = if quarter & 1 == 0 { (c, s) } else { (s, c) };
    // Signs by quarter: cosine + - - +, sine + + - -.
    let c = f32::from_bits(c.to_bits() ^ (((quarter + 1) & 2) << 30));
    let s = f32::from_bits(s.to_bits() ^ ((quarter & 2) << 30));
    (c, s)
}

/// As [`turn_f32`], with 52 bits of the word.
#[inline(always)]
fn turn_f64(word: u64) -> (f64, f64) {
    let shifted = (word >> 12).wrapping_add(1 << 49) & ((1 << 52) - 1);
    let quarter = shifted >> 50;
    let a = ((shifted & ((1 << 50) - 1)) as i64 - (1 << 49)) as f64
        * (std::f64::consts::FRAC_PI_2 / (1u64 << 50) as f64);
    let z = a * a;
    let s = a + a
        * z
        * (-1.66666666666666324348e-01
            + z * (8.33333333332248946124e-03
                + z * (-1.98412698298579493134e-04
                    + z * (2.75573137070700676789e-06
                        + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
    let c = 1.0 - 0.5 * z
        + z * z
            * (4.16666666666666019037e-02
                + z * (-1.38888888888741095749e-03
                    + z * (2.48015872894767294178e-05
                        + z * (-2.75573143513906633035e-07
                            + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)))));
    let (c, s) = if quarter & 1 == 0 { (c, s) } else { (s, c) };
    let c = f64::from_bits(c.to_bits() ^ (((quarter + 1) & 2) << 62));
    let s = f64::from_bits(s.to_bits() ^ ((quarter & 2) << 62));
    (c, s)
}

multiversion! {
    fn normal_f32(seed: u64, block: u64, out: &mut [f32], mean: f32, std: f32) {
        for (t, out) in out.chunks_exact_mut(WORDS).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for w in [0, 2] {
                for l in 0..LANES {
                    let r = (-2.0 * ln_f32(open_f32(words[w][l]))).sqrt();
                    let (c, s) = turn_f32(words[w + 1][l]);
                    out[w * LANES + l] = r * c * std + mean;
                    out[(w + 1) * LANES + l] = r * s * std + mean;
                }
            }
        }
    }
}

multiversion! {
    fn normal_f64(seed: u64, block: u64, out: &mut [f64], mean: f64, std: f64) {
        for (t, out) in out.chunks_exact_mut(WORDS / 2).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for l in 0..LANES {
                let r = (-2.0 * ln_f64(open_f64(wide(words[0][l], words[1][l])))).sqrt();
                let (c, s) = turn_f64(wide(words[2][l], words[3][l]));
                out[l] = r * c * std + mean;
                out[LANES + l] = r * s * std + mean;
            }
        }
    }
}

/// Normally distributed numbers.
pub fn normal(generator: &Generator, shape: &[usize], dtype: DType, mean: f64, std: f64) -> Result<Tensor> {
    let op = "normal";
    if std.is_nan() || std < 0.0 {
        return Err(Error::value(op, format!("the standard deviation must not be negative, got {std}")));
    }
    let out = Tensor::empty(op, shape, dtype)?;
    let n = out.numel();
    match dtype {
        DType::F32 => {
            let (seed, offset) = generator.reserve(blocks(n, WORDS));
            fill_tiles(&out, offset, WORDS, |block, out| {
                normal_f32(seed, block, out, mean as f32, std as f32)
            })?;
        }
        DType::F64 => {
            let (seed, offset) = generator.reserve(blocks(n, WORDS / 2));
            fill_tiles(&out, offset, WORDS / 2, |block, out| normal_f64(seed, block, out, mean, std))?;
        }
        other => return Err(not_float(op, other)),
    }
    Ok(out)
}
