//! Random numbers from a counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
//! as 1, 2, 3", 2011).
//!
//! Element `i` of a call is a pure function of (seed, offset, i), so the numbers are the same for
//! any number of threads and at every SIMD level, and a backward pass can make them again.

mod dist;
mod dropout;
mod generator;
mod normal;
mod philox;
mod sample;

pub use dist::{bernoulli, exponential, randint, uniform};
pub(crate) use dropout::{DROPOUT_BLOCKS, DROPOUT_TILE};
pub use dropout::{dropout, dropout_grad, dropout_offset_blocks};
pub use generator::Generator;
pub use normal::normal;
pub use sample::{multinomial, randperm};

#[cfg(test)]
mod tests;
