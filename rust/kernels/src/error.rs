//! The one error type. Each variant becomes one Python exception class.

use thiserror::Error as ThisError;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in which operation (`op`), in words that name what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
pub enum Error {
    /// `ShapeError` in Python (a ValueError and a RuntimeError).
    #[error("{op}: {msg}")]
    Shape { op: &'static str, msg: String },
    /// TypeError in Python.
    #[error("{op}: {msg}")]
    DType { op: &'static str, msg: String },
    /// RuntimeError in Python.
    #[error("{op}: {msg}")]
    Device { op: &'static str, msg: String },
    /// IndexError in Python: an axis or an index out of range.
    #[error("{op}: {msg}")]
    Index { op: &'static str, msg: String },
    /// ValueError in Python: an argument outside its domain.
    #[error("{op}: {msg}")]
    Value { op: &'static str, msg: String },
    /// MemoryError in Python.
    #[error("{op}: {msg}")]
    Memory { op: &'static str, msg: String },
    /// RuntimeError in Python: everything else.
    #[error("{op}: {msg}")]
    Runtime { op: &'static str, msg: String },
}

macro_rules! constructors {
    ($($name:ident => $variant:ident),*) => {
        impl Error {
            $(pub fn $name(op: &'static str, msg: impl Into<String>) -> Error {
                Error::$variant { op, msg: msg.into() }
            })*
        }
    };
}

constructors!(shape => Shape, dtype => DType, device => Device, index => Index, value => Value,
    memory => Memory, runtime => Runtime);
