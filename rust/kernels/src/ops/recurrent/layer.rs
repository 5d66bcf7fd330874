//! A layer without a gradient, its input's part of the gates made here too: one call where a step of one
//! sequence is little more than its calls.

use super::{Kind, Sequence, sequence};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::ops::elementwise::{Binary, Operand, binary};
use crate::ops::matmul::addmm_bias;
use crate::tensor::Tensor;

/// The outputs and the final state of a layer of a kind whose gates see the input through one linear map.
///
/// Other than for [`sequence`], `x` is the input itself, `[steps, batch, inputs]` or packed rows; the weights
/// are w_ih, w_hh, b_ih, b_hh, and the second recurrent weight of kinds that have one; and the state may have
/// an axis for this one layer, `[1, batch, n]`, as the final one then has.
pub fn layer(l: &Sequence<'_>) -> Result<(Tensor, Vec<Tensor>)> {
    let op = l.kind.name();
    if matches!(l.kind, Kind::Mut1 | Kind::Mut2 | Kind::Mut3 | Kind::LayerNormLstm) {
        return Err(Error::value(
            op,
            "its gates are not one linear map of the input; make them, then recurrent()",
        ));
    }
    let needs = l.kind.weights() + 3 - (l.kind == Kind::Gru) as usize;
    let (w_ih, w_hh, b_ih, b_hh) = match l.weights {
        [Some(w_ih), Some(w_hh), b_ih, b_hh, ..] if l.weights.len() == needs => {
            (w_ih, w_hh, b_ih.as_ref(), b_hh.as_ref())
        }
        _ => {
            return Err(Error::value(
                op,
                format!("expected {needs} parameters, w_ih, w_hh, b_ih, b_hh first, got {}", l.weights.len()),
            ));
        }
    };
    let (bias, second) = match (l.kind, b_ih, b_hh) {
        // Its reset gate acts on a product that has its bias already.
        (Kind::Gru, ..) => (b_ih.cloned(), Some(b_hh.cloned())),
        (_, Some(a), Some(b)) => {
            let sum = binary(Binary::Add, Operand::Tensor(a), Operand::Tensor(b), None)?;
            (Some(sum), l.weights.get(4).cloned())
        }
        (_, a, b) => (a.or(b).cloned(), l.weights.get(4).cloned()),
    };
    let gates = addmm_bias(l.x, w_ih, bias.as_ref(), false)?;
    let weights: Vec<_> = [Some(w_hh.clone())].into_iter().chain(second).collect();
    let lone = |t: &Tensor| t.ndim() == 3 && t.shape()[0] == 1;
    let of_layer = |t: &Tensor| if lone(t) { t.with_layout(t.layout().select(0, 0)) } else { t.clone() };
    let state: Vec<_> = l.state.iter().map(of_layer).collect();
    let mut out = sequence(&Sequence { x: &gates, state: &state, weights: &weights, ..*l }, false)?;
    for (last, first) in out.state.iter_mut().zip(l.state) {
        if lone(first) {
            *last = last.with_layout(Layout::contiguous(first.shape()));
        }
    }
    Ok((out.y, out.state))
}
