//! Recurrent layers: one layer in one direction over a whole sequence, forward and back through time.
//!
//! The input's part of the gates comes ready made. A step is a product of the state with the recurrent
//! weights, packed once for the sequence, and a pass over the gates. Each thread owns a range of hidden
//! units across all gates and meets the others once a step (`parallel::for_steps`). The gradient of a
//! weight is one product over all steps, after the loop back.

mod carry;
mod checks;
mod frame;
mod gated;
mod gated_back;
mod gru;
mod layer;
mod layer_norm;
mod layer_norm_back;
mod lstm;
mod lstm_back;
mod rnn;
mod skip;
#[cfg(test)]
mod tests;
mod weights;

use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;
use checks::Checked;
use frame::Num;
pub use layer::layer;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    RnnTanh,
    RnnRelu,
    ResidualRnn,
    Lstm,
    PeepholeLstm,
    Gru,
    GruResetBefore,
    Mut1,
    Mut2,
    Mut3,
    SkipRnn,
    LayerNormLstm,
}

impl Kind {
    pub const ALL: [Kind; 12] = [
        Kind::RnnTanh,
        Kind::RnnRelu,
        Kind::ResidualRnn,
        Kind::Lstm,
        Kind::PeepholeLstm,
        Kind::Gru,
        Kind::GruResetBefore,
        Kind::Mut1,
        Kind::Mut2,
        Kind::Mut3,
        Kind::SkipRnn,
        Kind::LayerNormLstm,
    ];

    /// As errors have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::RnnTanh => "rnn_tanh",
            Kind::RnnRelu => "rnn_relu",
            Kind::ResidualRnn => "residual_rnn",
            Kind::Lstm => "lstm",
            Kind::PeepholeLstm => "peephole_lstm",
            Kind::Gru => "gru",
            Kind::GruResetBefore => "gru_reset_before",
            Kind::Mut1 => "mut1",
            Kind::Mut2 => "mut2",
            Kind::Mut3 => "mut3",
            Kind::SkipRnn => "skip_rnn",
            Kind::LayerNormLstm => "layer_norm_lstm",
        }
    }
}

/// A sequence's input, initial state and weights.
pub struct Sequence<'a> {
    pub kind: Kind,
    /// The input's part of all gates: `[steps, batch, gates * hidden]`, or packed rows.
    pub x: &'a Tensor,
    pub state: &'a [Tensor],
    pub weights: &'a [Option<Tensor>],
    /// The rows of each step where sequences have several lengths, falling.
    pub batch_sizes: Option<&'a [usize]>,
    pub reverse: bool,
}

/// The outputs of all steps, the final state, and what the way back needs.
pub struct Outcome {
    pub y: Tensor,
    pub state: Vec<Tensor>,
    pub saved: Option<Tensor>,
}

/// What comes back: gradients of the outputs and of the final state, None where there is none.
pub struct Back<'a> {
    pub y: &'a Tensor,
    pub saved: Option<&'a Tensor>,
    pub dy: Option<&'a Tensor>,
    pub dstate: &'a [Option<Tensor>],
    /// Who asks for a gradient: the input, the state, the weights.
    pub need: &'a [bool],
}

/// Gradients, as far as needed.
pub struct Gradients {
    pub x: Option<Tensor>,
    pub state: Vec<Option<Tensor>>,
    pub weights: Vec<Option<Tensor>>,
}

/// Runs a layer over a sequence. With `save` the outcome has what [`sequence_grad`] needs.
pub fn sequence(s: &Sequence<'_>, save: bool) -> Result<Outcome> {
    let c = Checked::new(s)?;
    match s.x.dtype() {
        DType::F64 => ahead::<f64>(&c, save),
        _ => ahead::<f32>(&c, save),
    }
}

fn ahead<T: Num>(c: &Checked, save: bool) -> Result<Outcome> {
    match c.kind {
        Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn => rnn::ahead::<T>(c, save),
        Kind::Lstm | Kind::PeepholeLstm => lstm::ahead::<T>(c, save),
        Kind::Gru => gru::ahead::<T>(c, save),
        Kind::GruResetBefore | Kind::Mut1 | Kind::Mut2 | Kind::Mut3 => gated::ahead::<T>(c, save),
        Kind::SkipRnn => skip::ahead::<T>(c),
        Kind::LayerNormLstm => layer_norm::ahead::<T>(c, save),
    }
}

/// The gradients of [`sequence`].
pub fn sequence_grad(s: &Sequence<'_>, b: &Back<'_>) -> Result<Gradients> {
    let c = Checked::new(s)?;
    let b = c.checked_back(b)?;
    match s.x.dtype() {
        DType::F64 => back::<f64>(&c, &b),
        _ => back::<f32>(&c, &b),
    }
}

fn back<T: Num>(c: &Checked, b: &checks::CheckedBack) -> Result<Gradients> {
    match c.kind {
        Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn => rnn::back::<T>(c, b),
        Kind::Lstm | Kind::PeepholeLstm => lstm_back::back::<T>(c, b),
        Kind::Gru => gru::back::<T>(c, b),
        Kind::GruResetBefore | Kind::Mut1 | Kind::Mut2 | Kind::Mut3 => gated_back::back::<T>(c, b),
        Kind::SkipRnn => skip::back::<T>(c, b),
        Kind::LayerNormLstm => layer_norm_back::back::<T>(c, b),
    }
}
