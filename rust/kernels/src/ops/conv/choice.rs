//! The table of algorithms: which one computes a convolution, by its sizes alone, so that a result
//! never depends on the number of threads, on timing or on how the memory happens to be ordered.

use super::geometry::Geometry;
use super::{Finish, channels_last, winograd};
use crate::dtype::DType;
use crate::error::Result;
use crate::tensor::Tensor;
use std::sync::OnceLock;

/// The ways to compute a convolution; one file or folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// With the channels last: fewer products, by Winograd's transforms. Stride one.
    Winograd,
    /// With the channels last: the product of the weights and patches found by pointers.
    ChannelsLast,
    /// Patches of the input as a matrix (im2col), a tile at a time, times the weights.
    Lowered,
    /// The same product with the patches formed a panel at a time in registers: small weights.
    ImplicitGemm,
    /// The input's gradient tap by tap, added where the tap lies: small weights.
    Scatter,
    /// The weight's gradient as outer products over pixels: small weights.
    OuterProduct,
    /// The product of the weights and the image itself, without patches.
    Pointwise,
    /// Tap by tap within a plane: one input channel a group.
    Depthwise,
}

/// Which pass is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    InputGrad,
    WeightGrad,
}

/// What `LECTORIUM_CONV` asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// The table's choice.
    None,
    /// The channels-last product wherever it is possible.
    Implicit,
    /// Winograd wherever it is possible, else the table without it.
    Winograd,
    /// The row-major kernels.
    Direct,
}

const WISHES: [(&str, Wish); 3] =
    [("implicit", Wish::Implicit), ("winograd", Wish::Winograd), ("direct", Wish::Direct)];

fn wish() -> Wish {
    static WISH: OnceLock<Wish> = OnceLock::new();
    *WISH.get_or_init(|| {
        let word = std::env::var("LECTORIUM_CONV").unwrap_or_default();
        WISHES.iter().find(|(name, _)| *name == word).map_or(Wish::None, |&(_, wish)| wish)
    })
}

/// Why `LECTORIUM_CONV` cannot be obeyed, if it is set and cannot.
pub fn request_error() -> Option<String> {
    let word = std::env::var("LECTORIUM_CONV").ok().filter(|word| !word.is_empty())?;
    (!WISHES.iter().any(|(name, _)| *name == word))
        .then(|| format!("LECTORIUM_CONV={word}: expected implicit, winograd or direct"))
}

/// The algorithm for one pass over sizes `g`.
pub(crate) fn choose(g: &Geometry, pass: Pass, dtype: DType) -> Algorithm {
    if dtype == DType::F32 && !g.is_empty() {
        let wish = wish();
        let transformed = match wish {
            Wish::None => winograd::suits(g, pass),
            Wish::Winograd => winograd::can(g, pass),
            Wish::Implicit | Wish::Direct => false,
        };
        if transformed {
            return Algorithm::Winograd;
        }
        if wish == Wish::Implicit || wish != Wish::Direct && channels_last::suits(g, pass) {
            return Algorithm::ChannelsLast;
        }
    }
    row_major(g, pass, dtype)
}

/// The kernels on row-major memory.
fn row_major(g: &Geometry, pass: Pass, dtype: DType) -> Algorithm {
    // A vector of pixels, and weights that stay in the second-level cache.
    let small = g.o / g.spec.groups * g.cg * g.kh * g.kw * dtype.size() <= IMPLICIT_WEIGHTS;
    match pass {
        _ if g.cg == 1 && g.og <= 4 && g.spec.groups > 1 => Algorithm::Depthwise,
        Pass::Forward | Pass::InputGrad if g.is_pointwise() => Algorithm::Pointwise,
        // Forming a panel of patches has to pay off over a few rows of weights.
        Pass::Forward if small && g.og >= IMPLICIT_ROWS && g.oh * g.ow >= IMPLICIT_PIXELS => {
            Algorithm::ImplicitGemm
        }
        // As a convolution of the output's gradient, with a window at every input: only where that
        // does not do many more products than there are.
        Pass::InputGrad
            if small
                && g.cg >= IMPLICIT_ROWS
                && g.h * g.w >= IMPLICIT_PIXELS
                && g.h * g.w * 2 <= g.oh * g.ow * 3
                && g.input_grad_geometry().is_some() =>
        {
            Algorithm::ImplicitGemm
        }
        Pass::InputGrad if small && g.spec.stride != [1, 1] && g.oh * g.ow >= IMPLICIT_PIXELS => {
            Algorithm::Scatter
        }
        Pass::WeightGrad if small => Algorithm::OuterProduct,
        _ => Algorithm::Lowered,
    }
}

/// Bounds of the implicit product: bytes of a group's weights, rows of weights, pixels of a plane.
const IMPLICIT_WEIGHTS: usize = 512 * 1024;
const IMPLICIT_ROWS: usize = 3;
const IMPLICIT_PIXELS: usize = 24;

/// `(operation, sizes, x, w, finish, out)`, pictures as rows of channels, the weight row-major.
pub(super) type Forward =
    unsafe fn(&'static str, &Geometry, *const f32, &Tensor, Finish, *mut f32) -> Result<()>;
/// `(operation, sizes, g, w, dx)`.
pub(super) type InputGrad = unsafe fn(&'static str, &Geometry, *const f32, &Tensor, *mut f32) -> Result<()>;
/// `(operation, sizes, g, x, dw)`.
pub(super) type WeightGrad =
    unsafe fn(&'static str, &Geometry, *const f32, *const f32, *mut f32) -> Result<()>;

impl Algorithm {
    /// Whether an input that is in plain order is read as it is: the pictures that come from outside.
    /// The products and their order are the same.
    pub fn reads_plain(self, g: &Geometry, x: &Tensor) -> bool {
        self == Algorithm::ChannelsLast && channels_last::reads_plain(g) && x.channels_last().is_none()
    }

    /// The kernels that work with the channels last; none for the others.
    pub fn forward_of_rows(self) -> Option<Forward> {
        match self {
            Algorithm::Winograd => Some(winograd::forward),
            Algorithm::ChannelsLast => Some(channels_last::forward),
            _ => None,
        }
    }

    pub fn input_grad_of_rows(self) -> Option<InputGrad> {
        match self {
            Algorithm::Winograd => Some(winograd::input_grad),
            Algorithm::ChannelsLast => Some(channels_last::input_grad),
            _ => None,
        }
    }

    pub fn weight_grad_of_rows(self) -> Option<WeightGrad> {
        match self {
            Algorithm::Winograd => Some(winograd::weight_grad),
            Algorithm::ChannelsLast => Some(channels_last::weight_grad),
            _ => None,
        }
    }
}
