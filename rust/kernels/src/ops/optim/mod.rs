//! Optimizer steps: one call updates all parameters in place, with PyTorch's formulas in its order
//! of operations. The work is cut into pieces across parameters, so one large layer and a hundred
//! small ones are shared among threads alike.

mod adam;
mod adaptive;
mod group;
mod norm;
mod sgd;

pub use adam::{AdamSpec, adam};
pub use adaptive::{AdadeltaSpec, AdagradSpec, RmspropSpec, adadelta, adagrad, rmsprop};
pub use norm::{grad_norm, scale_all};
pub use sgd::{SgdSpec, sgd};

#[cfg(test)]
mod tests;
