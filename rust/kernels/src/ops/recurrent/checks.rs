//! What a sequence must look like.

use super::frame::{Frame, Num};
use super::{Back, Kind, Sequence};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::checked_numel;
use crate::ops::copy;
use crate::tensor::Tensor;

/// The shapes of a kind, for `h` hidden units and outputs of `r`.
struct Shapes {
    gates: usize,
    /// Names and shapes of the states, without the batch.
    state: Vec<(&'static str, usize)>,
    /// Names and shapes of the weights, and whether each may be missing.
    weights: Vec<(&'static str, Vec<usize>, bool)>,
}

impl Kind {
    /// Gates in the input, and in the recurrent weight.
    pub(super) fn gates(self) -> (usize, usize) {
        match self {
            Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn | Kind::SkipRnn => (1, 1),
            Kind::Lstm | Kind::PeepholeLstm | Kind::LayerNormLstm => (4, 4),
            Kind::Mut1 => (3, 2),
            Kind::Gru | Kind::GruResetBefore | Kind::Mut2 | Kind::Mut3 => (3, 3),
        }
    }

    /// How many weights it has.
    pub(super) fn weights(self) -> usize {
        match self {
            Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn => 1,
            Kind::GruResetBefore | Kind::Mut1 | Kind::Mut2 | Kind::Mut3 => 1,
            Kind::Lstm | Kind::PeepholeLstm | Kind::Gru | Kind::SkipRnn => 2,
            Kind::LayerNormLstm => 4,
        }
    }

    /// How many states; the skip network has as many as it skips steps.
    fn states(self, given: usize) -> usize {
        match self {
            Kind::Lstm | Kind::PeepholeLstm | Kind::LayerNormLstm => 2,
            Kind::SkipRnn => given.max(1),
            _ => 1,
        }
    }

    fn shapes(self, h: usize, r: usize, states: usize) -> Shapes {
        let (gates, products) = self.gates();
        let w_hh = ("w_hh", vec![products * h, r], false);
        let (state, weights) = match self {
            Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn => (vec![("h", h)], vec![w_hh]),
            Kind::GruResetBefore | Kind::Mut1 | Kind::Mut2 | Kind::Mut3 => (vec![("h", h)], vec![w_hh]),
            Kind::Lstm => (vec![("h", r), ("c", h)], vec![w_hh, ("w_hr", vec![r, h], true)]),
            Kind::PeepholeLstm => (vec![("h", h), ("c", h)], vec![w_hh, ("p", vec![3 * h], false)]),
            Kind::LayerNormLstm => (
                vec![("h", h), ("c", h)],
                vec![
                    w_hh,
                    ("the gain of the products", vec![4 * h], false),
                    ("the gain of c", vec![h], false),
                    ("the bias of c", vec![h], true),
                ],
            ),
            Kind::SkipRnn => (vec![("h", h); states], vec![w_hh, ("w_skip", vec![h, h], false)]),
            Kind::Gru => (vec![("h", h)], vec![w_hh, ("b_hh", vec![3 * h], true)]),
        };
        Shapes { gates, state, weights }
    }
}

/// A sequence whose parts fit, all of them row-major.
pub(super) struct Checked {
    pub op: &'static str,
    pub kind: Kind,
    pub x: Tensor,
    pub state: Vec<Tensor>,
    pub weights: Vec<Option<Tensor>>,
    /// Rows of each step, in memory.
    sizes: Vec<usize>,
    reverse: bool,
    dense: bool,
    pub h: usize,
    /// Columns of the output.
    pub r: usize,
}

pub(super) struct CheckedBack {
    pub y: Tensor,
    pub saved: Option<Tensor>,
    pub dy: Option<Tensor>,
    pub dstate: Vec<Option<Tensor>>,
    need: Vec<bool>,
    states: usize,
}

/// `name`: what it is called, in two parts, as most calls have no need of the whole.
fn expect(op: &'static str, name: [&str; 2], t: &Tensor, shape: &[usize], dtype: DType) -> Result<()> {
    t.expect_cpu(op)?;
    if t.shape() != shape {
        return Err(Error::shape(
            op,
            format!("expected shape {shape:?} for {}, got {:?}", name.concat(), t.shape()),
        ));
    }
    if t.dtype() != dtype {
        return Err(Error::dtype(
            op,
            format!(
                "{} is {}, expected {dtype} as the input; convert one with .to()",
                name.concat(),
                t.dtype()
            ),
        ));
    }
    Ok(())
}

impl Checked {
    pub fn new(s: &Sequence<'_>) -> Result<Checked> {
        let (op, kind) = (s.kind.name(), s.kind);
        let x = s.x;
        x.expect_cpu(op)?;
        if !matches!(x.dtype(), DType::F32 | DType::F64) {
            return Err(Error::dtype(
                op,
                format!("expected float32 or float64, got {}; convert with .float()", x.dtype()),
            ));
        }
        let axes = if s.batch_sizes.is_some() { 2 } else { 3 };
        if x.ndim() != axes {
            return Err(Error::shape(
                op,
                format!(
                    "expected the input's part of the gates as {}, got shape {:?}",
                    if axes == 2 { "packed rows [rows, gates]" } else { "[steps, batch, gates]" },
                    x.shape()
                ),
            ));
        }
        let (states, weights) = (kind.states(s.state.len()), kind.weights());
        if s.state.len() != states || s.weights.len() != weights {
            return Err(Error::value(
                op,
                format!(
                    "expected {states} states and {weights} weights, got {} and {}",
                    s.state.len(),
                    s.weights.len()
                ),
            ));
        }
        let (gates, products) = kind.gates();
        let w_hh = match &s.weights[0] {
            Some(w) if w.ndim() == 2 => w,
            other => {
                return Err(Error::shape(
                    op,
                    format!(
                        "expected w_hh of shape [{products} * hidden, hidden], got {:?}",
                        other.as_ref().map(|w| w.shape())
                    ),
                ));
            }
        };
        let (h, r) = (w_hh.shape()[0] / products, w_hh.shape()[1]);
        let projected = kind == Kind::Lstm && s.weights[1].is_some();
        if h == 0 || r == 0 || h * products != w_hh.shape()[0] || (r != h && !projected) || r > h {
            return Err(Error::shape(
                op,
                format!(
                    "expected w_hh of shape [{products} * hidden, hidden]{}, got {:?}",
                    if kind == Kind::Lstm {
                        " or, with w_hr, [4 * hidden, proj], proj at most hidden"
                    } else {
                        ""
                    },
                    w_hh.shape()
                ),
            ));
        }
        if gates.checked_mul(h) != Some(x.shape()[axes - 1]) {
            return Err(Error::shape(
                op,
                format!(
                    "the input's part of the gates has {} columns, expected {gates} for each of the {h} hidden units of w_hh {:?}",
                    x.shape()[axes - 1],
                    w_hh.shape()
                ),
            ));
        }
        // Before any list of steps: what has a row for each in memory has no absurd number of them.
        let x = copy::contiguous(op, x)?;
        let sizes = match s.batch_sizes {
            None => {
                if x.shape()[0] == 0 || x.shape()[1] == 0 {
                    return Err(Error::shape(
                        op,
                        format!(
                            "expected at least one step and one sequence, got {} steps of {} sequences",
                            x.shape()[0],
                            x.shape()[1]
                        ),
                    ));
                }
                vec![x.shape()[1]; x.shape()[0]]
            }
            Some(sizes) => {
                if sizes.is_empty() || sizes.contains(&0) || sizes.windows(2).any(|w| w[0] < w[1]) {
                    return Err(Error::value(
                        op,
                        format!(
                            "batch_sizes must be one or more positive numbers that never rise, got {sizes:?}"
                        ),
                    ));
                }
                let rows = sizes.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
                if rows != Some(x.shape()[0]) {
                    return Err(Error::shape(
                        op,
                        format!(
                            "batch_sizes {sizes:?} do not add up to the {} rows of the input",
                            x.shape()[0]
                        ),
                    ));
                }
                sizes.to_vec()
            }
        };
        let shapes = kind.shapes(h, r, states);
        for (t, &(name, columns)) in s.state.iter().zip(&shapes.state) {
            expect(op, ["the initial state ", name], t, &[sizes[0], columns], x.dtype())?;
        }
        for (t, (name, shape, optional)) in s.weights.iter().zip(&shapes.weights) {
            match t {
                Some(t) => expect(op, [name, ""], t, shape, x.dtype())?,
                None if *optional => {}
                None => return Err(Error::value(op, format!("{name} is missing, expected shape {shape:?}"))),
            }
        }
        // What workspaces are made of stays far from overflowing.
        checked_numel(op, &[x.numel(), 8 * shapes.gates, h + 64])?;
        let row_major = |t: &Tensor| copy::contiguous(op, t);
        Ok(Checked {
            op,
            kind,
            x,
            state: s.state.iter().map(row_major).collect::<Result<_>>()?,
            weights: s
                .weights
                .iter()
                .map(|w| w.as_ref().map(row_major).transpose())
                .collect::<Result<_>>()?,
            sizes,
            reverse: s.reverse,
            dense: s.batch_sizes.is_none(),
            h,
            r,
        })
    }

    pub fn frame<T: Num>(&self) -> Frame {
        Frame::new::<T>(&self.sizes, self.reverse, self.h)
    }

    /// An output or a gradient over all rows, with so many columns.
    pub fn rows_of(&self, columns: usize) -> Result<Tensor> {
        let total = self.sizes.iter().sum();
        if self.dense {
            Tensor::empty(self.op, &[self.sizes.len(), self.sizes[0], columns], self.x.dtype())
        } else {
            Tensor::empty(self.op, &[total, columns], self.x.dtype())
        }
    }

    /// A state, or its gradient.
    pub fn state_of(&self, columns: usize) -> Result<Tensor> {
        Tensor::empty(self.op, &[self.sizes[0], columns], self.x.dtype())
    }

    pub fn weight(&self, i: usize) -> &Tensor {
        self.weights[i].as_ref().expect("a weight that was checked to be there")
    }

    /// Room for `slots` vectors of each row's tasks.
    pub fn room_to_save<T: Num>(&self, f: &Frame, slots: usize) -> Result<Tensor> {
        Tensor::empty(self.op, &[f.total, f.tasks * f.nr, slots], T::DTYPE)
    }

    pub fn checked_back(&self, b: &Back<'_>) -> Result<CheckedBack> {
        let op = self.op;
        let (states, weights) = (self.state.len(), self.kind.weights());
        if b.dstate.len() != states || b.need.len() != 1 + states + weights {
            return Err(Error::value(
                op,
                format!("expected {states} gradients of states and {} needs", 1 + states + weights),
            ));
        }
        let total: usize = self.sizes.iter().sum();
        let y_shape: Vec<usize> =
            if self.dense { vec![self.sizes.len(), self.sizes[0], self.r] } else { vec![total, self.r] };
        expect(op, ["the output", ""], b.y, &y_shape, self.x.dtype())?;
        if let Some(dy) = b.dy {
            expect(op, ["the output's gradient", ""], dy, &y_shape, self.x.dtype())?;
        }
        for (d, t) in b.dstate.iter().zip(&self.state) {
            if let Some(d) = d {
                expect(op, ["the final state's gradient", ""], d, t.shape(), self.x.dtype())?;
            }
        }
        let row_major = |t: &Tensor| copy::contiguous(op, t);
        Ok(CheckedBack {
            y: row_major(b.y)?,
            saved: b.saved.map(row_major).transpose()?,
            dy: b.dy.map(row_major).transpose()?,
            dstate: b.dstate.iter().map(|d| d.as_ref().map(row_major).transpose()).collect::<Result<_>>()?,
            need: b.need.to_vec(),
            states,
        })
    }
}

impl CheckedBack {
    pub fn need_x(&self) -> bool {
        self.need[0]
    }
    pub fn need_state(&self, i: usize) -> bool {
        self.need[1 + i]
    }
    pub fn need_weight(&self, i: usize) -> bool {
        self.need[1 + self.states + i]
    }

    /// What was saved, `slots` vectors for each row's tasks.
    pub fn saved<T: Num>(&self, op: &'static str, f: &Frame, slots: usize) -> Result<*mut T> {
        let fits = |t: &&Tensor| t.dtype() == T::DTYPE && t.shape() == [f.total, f.tasks * f.nr, slots];
        match self.saved.as_ref().filter(fits) {
            Some(t) => Ok(t.ptr::<T>()),
            None => Err(Error::value(op, "expected what its forward saved for the gradient")),
        }
    }
}

/// A pointer to a tensor's elements; null for none.
pub(super) fn pointer<T: Num>(t: Option<&Tensor>) -> *mut T {
    t.map_or(std::ptr::null_mut(), |t| t.ptr::<T>())
}
