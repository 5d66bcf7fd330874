//! Parameters, gradients and state checked together and cut into pieces of work.

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use std::ops::{Add, Div, Mul, Neg, Range, Sub};

/// Elements of a piece.
const PIECE: usize = GRAIN / 2;

/// What the update formulas need of float32 and float64.
pub(super) trait Real:
    Element
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    fn of(v: f64) -> Self;
    fn sqrt(self) -> Self;
    fn is_nan(self) -> bool;
}

/// `g + decay * p`; without decay just `g`, also where `p` is infinite.
#[inline(always)]
pub(super) fn decayed<T: Real>(g: T, decay: T, p: T) -> T {
    let pull = decay * p;
    g + if decay == T::default() { T::default() } else { pull }
}

macro_rules! real {
    ($($t:ty),*) => {$(
        impl Real for $t {
            #[inline(always)]
            fn of(v: f64) -> $t {
                v as $t
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    )*};
}
real!(f32, f64);

/// One parameter with its gradient (row-major, apart from all that is written) and its state.
pub(super) struct Member {
    pub param: Tensor,
    pub grad: Tensor,
    pub state: Vec<Tensor>,
}

/// The checked members of one call.
pub(super) struct Group {
    pub members: Vec<Member>,
}

/// Checks one tensor that the step writes.
fn check(op: &'static str, what: &str, i: usize, t: &Tensor, param: &Tensor) -> Result<()> {
    t.expect_cpu(op)?;
    if t.shape() != param.shape() || t.dtype() != param.dtype() {
        return Err(Error::shape(
            op,
            format!(
                "{what} of parameter {i} has shape {:?} and dtype {}, expected {:?} and {}",
                t.shape(),
                t.dtype(),
                param.shape(),
                param.dtype(),
            ),
        ));
    }
    Ok(())
}

fn bytes(t: &Tensor) -> Range<usize> {
    let start = t.storage().ptr() as usize + t.layout().offset() * t.dtype().size();
    start..start + t.numel() * t.dtype().size()
}

/// Checks a list that has one entry a parameter.
pub(super) fn check_len(op: &'static str, what: &str, len: usize, params: usize) -> Result<()> {
    if len == params {
        return Ok(());
    }
    Err(Error::value(op, format!("expected one {what} for each of {params} parameters, got {len}")))
}

/// Checks parameters, gradients and state: one shape and dtype each, row-major where written, and
/// nothing written twice.
pub(super) fn group(
    op: &'static str,
    params: &[&Tensor],
    grads: &[&Tensor],
    state: impl Fn(usize) -> Vec<(&'static str, Tensor)>,
) -> Result<Group> {
    check_len(op, "gradient", grads.len(), params.len())?;
    let mut members = Vec::with_capacity(params.len());
    let mut written: Vec<(Range<usize>, usize)> = Vec::with_capacity(params.len() * 2);
    for (i, (param, grad)) in params.iter().zip(grads).enumerate() {
        param.expect_cpu(op)?;
        if !matches!(param.dtype(), DType::F32 | DType::F64) {
            return Err(Error::dtype(
                op,
                format!("parameter {i} is {}, expected float32 or float64", param.dtype()),
            ));
        }
        check(op, "the gradient", i, grad, param)?;
        let mut tensors = Vec::new();
        for (what, t) in state(i) {
            check(op, what, i, &t, param)?;
            tensors.push((what, t));
        }
        let parameter = ("the tensor", (*param).clone());
        for (what, t) in std::iter::once(&parameter).chain(&tensors) {
            t.expect_writable(op)?;
            if !t.is_contiguous() {
                return Err(Error::runtime(
                    op,
                    format!("{what} of parameter {i} is not contiguous; use .contiguous() when making it"),
                ));
            }
            if t.numel() > 0 {
                written.push((bytes(t), i));
            }
        }
        let grad = copy::contiguous(op, grad)?;
        members.push(Member { param: parameter.1, grad, state: tensors.into_iter().map(|t| t.1).collect() });
    }
    written.sort_unstable_by_key(|w| w.0.start);
    if let Some(pair) = written.windows(2).find(|w| w[0].0.end > w[1].0.start) {
        return Err(Error::value(
            op,
            format!(
                "parameters {} and {} (or their state) share memory; list each parameter once",
                pair[0].1, pair[1].1
            ),
        ));
    }
    // A gradient that is itself a parameter or state is read from a copy.
    for m in &mut members {
        let own = bytes(&m.grad);
        let next = written.partition_point(|w| w.0.start < own.end);
        if next > 0 && written[next - 1].0.end > own.start && !own.is_empty() {
            m.grad = copy::clone(op, &m.grad)?;
        }
    }
    Ok(Group { members })
}

/// The elements of one piece of one member: parameter, gradient, state.
pub(super) struct Piece<'a, T> {
    /// Which member.
    pub index: usize,
    pub param: &'a mut [T],
    pub grad: &'a [T],
    state: &'a [SendPtr<T>],
    start: usize,
}

impl<'a, T> Piece<'a, T> {
    /// The piece of state tensor `k`; ask for each at most once.
    pub fn state(&self, k: usize) -> &'a mut [T] {
        // SAFETY: the tensors of a group were checked to be as long as the parameter and disjoint.
        unsafe { std::slice::from_raw_parts_mut(self.state[k].get().add(self.start), self.param.len()) }
    }
}

/// Consecutive pieces, together worth a task: `(member, elements)`.
pub(super) fn tasks(lengths: &[usize]) -> Vec<Vec<(usize, Range<usize>)>> {
    let mut out: Vec<Vec<(usize, Range<usize>)>> = Vec::new();
    let mut room = 0;
    for (i, &n) in lengths.iter().enumerate() {
        for start in (0..n).step_by(PIECE) {
            let piece = start..(start + PIECE).min(n);
            if room == 0 {
                out.push(Vec::new());
                room = PIECE;
            }
            // Small parameters share a task until it is full.
            room = room.saturating_sub(piece.len());
            if let Some(last) = out.last_mut() {
                last.push((i, piece));
            }
        }
    }
    out
}

impl Group {
    /// Runs `f` on every piece of dtype `T`, in parallel, and counts the change of every tensor written.
    fn update<T: Real>(&self, f: impl Fn(Piece<T>) + Sync) {
        struct Pointers<T> {
            param: SendPtr<T>,
            grad: SendPtr<T>,
            state: Vec<SendPtr<T>>,
        }
        let chosen = |m: &Member| m.param.dtype() == T::DTYPE;
        let lengths: Vec<usize> =
            self.members.iter().map(|m| if chosen(m) { m.param.numel() } else { 0 }).collect();
        let pointers: Vec<Option<Pointers<T>>> = self
            .members
            .iter()
            .map(|m| {
                chosen(m).then(|| Pointers {
                    param: SendPtr(m.param.ptr::<T>()),
                    grad: SendPtr(m.grad.ptr::<T>()),
                    state: m.state.iter().map(|t| SendPtr(t.ptr::<T>())).collect(),
                })
            })
            .collect();
        let tasks = tasks(&lengths);
        for_each(tasks.len(), |task| {
            for (i, range) in &tasks[task] {
                let Some(p) = &pointers[*i] else { continue };
                let (start, n) = (range.start, range.len());
                // SAFETY: pieces are disjoint parts of checked, disjoint tensors.
                let (param, grad) = unsafe {
                    (
                        std::slice::from_raw_parts_mut(p.param.get().add(start), n),
                        std::slice::from_raw_parts(p.grad.get().add(start), n),
                    )
                };
                f(Piece { index: *i, param, grad, state: &p.state, start });
            }
        });
        for m in self.members.iter().filter(|m| chosen(m)) {
            m.param.storage().bump_version();
            m.state.iter().for_each(|t| t.storage().bump_version());
        }
    }

    /// Runs the one or the other on the members of either float type.
    pub fn update_all(&self, f32s: impl Fn(Piece<f32>) + Sync, f64s: impl Fn(Piece<f64>) + Sync) {
        if self.members.iter().any(|m| m.param.dtype() == DType::F32) {
            self.update::<f32>(f32s);
        }
        if self.members.iter().any(|m| m.param.dtype() == DType::F64) {
            self.update::<f64>(f64s);
        }
    }
}
