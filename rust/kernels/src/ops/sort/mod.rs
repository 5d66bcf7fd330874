//! Order: sorting, the largest k, medians, unique values, binary search.
//!
//! Every kernel works on keys: unsigned integers in the order of the values, with the element's
//! place in the low bits. Sorting keys is therefore stable, whatever the algorithm. As in PyTorch
//! NaN counts as larger than any number, and 0.0 equals -0.0.

mod key;
mod radix;
mod rows;
mod select;
mod unique;

pub use rows::sort;
pub use select::{kthvalue, median, topk};
pub use unique::{searchsorted, unique};

#[cfg(test)]
mod tests;
