//! Instruction sets: one detection, and the macro that compiles a kernel once per level.

pub mod gates;
pub mod half;
pub mod math;
pub mod vector;

use std::sync::OnceLock;

/// The instruction set that kernels use, from poor to rich.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Scalar,
    Neon,
    Avx2,
    Avx512,
}

impl Level {
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// The levels this machine can run, the best one last.
pub fn available() -> Vec<Level> {
    let mut levels = vec![Level::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("bmi2")
        {
            levels.push(Level::Avx2);
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                levels.push(Level::Avx512);
            }
        }
    }
    #[cfg(target_arch = "aarch64")]
    levels.push(Level::Neon);
    levels
}

/// The level in use: the best one, or what `LECTORIUM_SIMD` names. A level that the machine
/// lacks, or a word that names none, falls back to the best one (see [`request_error`]).
#[inline]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let levels = available();
        let best = levels[levels.len() - 1];
        match std::env::var("LECTORIUM_SIMD") {
            Ok(word) => levels.into_iter().find(|l| l.name() == word).unwrap_or(best),
            Err(_) => best,
        }
    })
}

/// Why `LECTORIUM_SIMD` cannot be obeyed, if it is set and cannot.
pub fn request_error() -> Option<String> {
    let word = std::env::var("LECTORIUM_SIMD").ok().filter(|word| !word.is_empty())?;
    let names: Vec<_> = available().into_iter().map(Level::name).collect();
    (!names.contains(&word.as_str()))
        .then(|| format!("LECTORIUM_SIMD={word}: this machine has {}", names.join(", ")))
}

/// On a cache line of its own.
#[repr(align(64))]
struct Line<T>(T);

/// The same value by way of memory, between a loop over lanes and one that joins them: the compiler then
/// sees consecutive elements in both and keeps to whole vectors, which a tree would otherwise pull apart.
/// Aligned, so that no store crosses a line: parts of one that does are read late.
#[inline(always)]
pub fn by_memory<T>(lanes: T) -> T {
    std::hint::black_box(Line(lanes)).0
}

/// Compiles the function's body for every level of the architecture and dispatches at the call.
///
/// The body becomes an `#[inline(always)]` function, inlined into one `#[target_feature]` function
/// a level, so plain loops over slices vectorise with that level's registers. Rust contracts no
/// `a * b + c`, so all levels give the same bits.
#[macro_export]
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($g:ident $(: $bound:path)?),+>)? ($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$($g $(: $bound)?),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body $(<$($g $(: $bound)?),+>)? ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
                #[allow(clippy::too_many_arguments)]
                fn avx512 $(<$($g $(: $bound)?),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body $(::<$($g),+>)? ($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,bmi2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$($g $(: $bound)?),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body $(::<$($g),+>)? ($($arg),*)
                }
                match $crate::simd::level() {
                    // SAFETY: the level is only reported where the machine has its features.
                    $crate::simd::Level::Avx512 => return unsafe { avx512 $(::<$($g),+>)? ($($arg),*) },
                    // SAFETY: as above.
                    $crate::simd::Level::Avx2 => return unsafe { avx2 $(::<$($g),+>)? ($($arg),*) },
                    _ => {}
                }
            }
            body $(::<$($g),+>)? ($($arg),*)
        }
    };
}
