//! Every operation, one file (or folder) a family.

pub mod activation;
pub mod attention;
pub mod conv;
pub mod copy;
pub mod crf;
pub mod ctc;
pub mod elementwise;
pub mod index;
pub mod loss;
pub mod matmul;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod scan;
pub mod shape;
pub mod softmax;
pub mod sort;
