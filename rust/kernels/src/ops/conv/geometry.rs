//! The sizes of a convolution, checked once for all passes.

use crate::error::{Error, Result};
use crate::layout::checked_numel;

/// How the window moves: `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvSpec {
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
}

impl Default for ConvSpec {
    fn default() -> ConvSpec {
        ConvSpec { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

/// The sizes of one convolution, checked: every pass computes from these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub n: usize,
    pub c: usize,
    pub h: usize,
    pub w: usize,
    pub o: usize,
    pub kh: usize,
    pub kw: usize,
    pub oh: usize,
    pub ow: usize,
    /// Input and output channels of one group.
    pub cg: usize,
    pub og: usize,
    pub spec: ConvSpec,
}

impl Geometry {
    pub fn new(op: &'static str, x: &[usize], w: &[usize], spec: ConvSpec) -> Result<Geometry> {
        let (&[n, c, h, width], &[o, cg, kh, kw]) = (x, w) else {
            let (name, shape) = if x.len() == 4 { ("a weight", w) } else { ("an input", x) };
            return Err(Error::shape(op, format!("expected {name} with 4 axes, got {shape:?}")));
        };
        let ConvSpec { stride, padding, dilation, groups } = spec;
        if stride.contains(&0) || dilation.contains(&0) || groups == 0 {
            let (name, value) = match () {
                _ if stride.contains(&0) => ("stride", format!("{stride:?}")),
                _ if dilation.contains(&0) => ("dilation", format!("{dilation:?}")),
                _ => ("groups", "0".to_string()),
            };
            return Err(Error::value(op, format!("{name} must be positive, got {value}")));
        }
        if kh == 0 || kw == 0 {
            return Err(Error::shape(op, format!("kernel {kh}x{kw} is empty; expected at least 1x1")));
        }
        if cg.checked_mul(groups) != Some(c) {
            let expected = cg.saturating_mul(groups);
            return Err(Error::shape(
                op,
                format!("input has {c} channels, weight expects {expected} (groups={groups})"),
            ));
        }
        if !o.is_multiple_of(groups) {
            return Err(Error::shape(
                op,
                format!("weight has {o} output channels, expected a multiple of groups={groups}"),
            ));
        }
        let out = |axis: usize, size: usize, k: usize| -> Result<usize> {
            let huge =
                || Error::value(op, format!("padding {padding:?} or dilation {dilation:?} is too large"));
            let padded = padding[axis].checked_mul(2).and_then(|p| p.checked_add(size)).ok_or_else(huge)?;
            let reach =
                (k - 1).checked_mul(dilation[axis]).and_then(|r| r.checked_add(1)).ok_or_else(huge)?;
            // Offsets into the padded input are computed in isize.
            if padded > isize::MAX as usize / 4 || reach > isize::MAX as usize / 4 {
                return Err(huge());
            }
            if reach > padded {
                let d = if dilation[0] == dilation[1] {
                    format!("{}", dilation[0])
                } else {
                    format!("{dilation:?}")
                };
                let (ph, pw) = (
                    h.saturating_add(padding[0].saturating_mul(2)),
                    width.saturating_add(padding[1].saturating_mul(2)),
                );
                return Err(Error::shape(
                    op,
                    format!(
                        "kernel {kh}x{kw} (dilation {d}) does not fit the padded input {ph}x{pw}; \
                         use a smaller kernel or more padding"
                    ),
                ));
            }
            Ok((padded - reach) / stride[axis] + 1)
        };
        let (oh, ow) = (out(0, h, kh)?, out(1, width, kw)?);
        checked_numel(op, &[n, o, oh, ow])?;
        checked_numel(op, x)?;
        checked_numel(op, w)?;
        // Kernels work on padded copies: their sizes must not overflow.
        let padded = [h + 2 * padding[0], width + 2 * padding[1]];
        checked_numel(op, &[c.max(o).max(1), padded[0], padded[1]])?;
        // A step beyond the input leaves one window, as the step to its end does.
        let stride = [stride[0].min(padded[0]), stride[1].min(padded[1])];
        let spec = ConvSpec { stride, ..spec };
        Ok(Geometry { n, c, h, w: width, o, kh, kw, oh, ow, cg, og: o / groups, spec })
    }

    /// Whether there is nothing to multiply.
    pub fn is_empty(&self) -> bool {
        [self.n, self.c, self.h, self.w, self.o, self.oh, self.ow].contains(&0)
    }

    pub fn output(&self) -> [usize; 4] {
        [self.n, self.o, self.oh, self.ow]
    }

    /// One tap, no padding, no steps: the patches are the image.
    pub fn is_pointwise(&self) -> bool {
        [self.kh, self.kw] == [1, 1] && self.spec.stride == [1, 1] && self.spec.padding == [0, 0]
    }

    /// The input's gradient as a convolution of the output's: with stride one, and where the
    /// window reaches at least as far as the padding.
    pub fn input_grad_geometry(&self) -> Option<Geometry> {
        let ConvSpec { stride, padding, dilation, groups } = self.spec;
        let reach = [(self.kh - 1) * dilation[0], (self.kw - 1) * dilation[1]];
        if stride != [1, 1] || reach[0] < padding[0] || reach[1] < padding[1] {
            return None;
        }
        let padding = [reach[0] - padding[0], reach[1] - padding[1]];
        Some(Geometry {
            c: self.o,
            h: self.oh,
            w: self.ow,
            o: self.c,
            oh: self.h,
            ow: self.w,
            cg: self.og,
            og: self.cg,
            spec: ConvSpec { stride, padding, dilation, groups },
            ..*self
        })
    }

    /// Multiplications of one pass.
    pub fn work(&self) -> usize {
        [self.n, self.o, self.oh, self.ow, self.cg, self.kh, self.kw]
            .iter()
            .fold(1, |a, &b| a.saturating_mul(b))
    }
}
