//! Operands held with the channels last: the operation runs over rows of channels, and its result
//! stays in this order.

use super::Operand;
use crate::dtype::Scalar;
use crate::error::Result;
use crate::ops::copy;
use crate::ops::reduce::reshaped;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// An operand of the same operation over rows.
pub(super) enum Rows {
    Tensor(Tensor),
    Scalar(Scalar),
}

impl Rows {
    pub fn operand(&self) -> Operand<'_> {
        match self {
            Rows::Tensor(t) => Operand::Tensor(t),
            Rows::Scalar(s) => Operand::Scalar(*s),
        }
    }
}

/// The full shape, the operands as rows, and the memory of the output if it is given.
pub(super) type OfChannels<'a> = (&'a [usize], SmallVec<[Rows; 3]>, Option<Tensor>);

/// The shape, the operands as rows and the memory of `out`, if an operand of the full shape is held
/// with the channels last, as `out` is if there is one, and the others fit.
pub(super) fn of_channels<'a>(
    op: &'static str,
    operands: &[Operand<'a>],
    out: Option<&Tensor>,
) -> Result<Option<OfChannels<'a>>> {
    let held = |o: &Operand<'a>| match *o {
        Operand::Tensor(t) => t.channels_last().map(|_| t.shape()),
        Operand::Scalar(_) => None,
    };
    let Some(shape) = operands.iter().find_map(held) else { return Ok(None) };
    let to = match out {
        None => None,
        Some(out) => match out.channels_last() {
            Some(rows) if out.shape() == shape => Some(rows),
            _ => return Ok(None),
        },
    };
    // No memory is moved before it is sure that all operands fit.
    let fits = operands.iter().all(|o| match o {
        Operand::Tensor(t) => t.shape() == shape || per_channel(t, shape).is_some(),
        Operand::Scalar(_) => true,
    });
    if !fits {
        return Ok(None);
    }
    let mut rows = SmallVec::new();
    for &operand in operands {
        rows.push(match operand {
            Operand::Scalar(s) => Rows::Scalar(s),
            Operand::Tensor(t) if t.shape() == shape => Rows::Tensor(t.to_channels_last(op)?),
            Operand::Tensor(t) => {
                let seen = per_channel(t, shape).expect("checked above");
                Rows::Tensor(reshaped(&copy::contiguous(op, t)?, &seen))
            }
        });
    }
    Ok(Some((shape, rows, to)))
}

/// The shape against rows `[n, positions, c]` of an operand that broadcasts over all positions: a
/// number, one value a channel, or one a channel and image.
fn per_channel(t: &Tensor, shape: &[usize]) -> Option<SmallVec<[usize; 3]>> {
    if t.ndim() > shape.len() {
        return None;
    }
    let size = |axis: usize| match (axis + t.ndim()).checked_sub(shape.len()) {
        Some(own) => t.shape()[own],
        None => 1,
    };
    let (n, c) = (size(0), size(1));
    let fits = (n == 1 || n == shape[0]) && (c == 1 || c == shape[1]);
    if !fits || (2..shape.len()).any(|axis| size(axis) != 1) {
        return None;
    }
    let seen = [n, 1, c];
    Some(if t.ndim() == 0 { SmallVec::new() } else { SmallVec::from_slice(&seen) })
}
