//! Few input channels: in a padded channels-last copy each row of the kernel is one run of floats,
//! so that it acts as a single tap of `width * channels` channels. The copy also reads plain storage.

use super::super::{Finish, Geometry};
use super::lattice::{Lattice, Picture};
use super::weights::{Columns, Panels, Place, pack, packed_size, pad_bias};
use super::{outer, pointers};
use crate::error::Result;
use crate::memory::{self, Block};
use crate::packs::Form;
use crate::parallel::{SendPtr, for_ranges};
use crate::tensor::Tensor;

/// How an input's channels lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Order {
    /// `[batch, channels, height, width]`
    Plain,
    /// `[batch, height, width, channels]`
    ChannelsLast,
}

/// Elements a task copies.
const GRAIN: usize = 1 << 14;

/// Whether a geometry can be computed by rows of its kernel.
pub(super) fn possible(geo: &Geometry) -> bool {
    geo.spec.groups == 1 && geo.spec.dilation[1] == 1
}

/// The geometry in which a row of the kernel is one tap.
fn by_rows(geo: &Geometry) -> Geometry {
    let channels = geo.kw * geo.c;
    Geometry { c: channels, cg: channels, kw: 1, ..*geo }
}

fn lattice(geo: &Geometry) -> Lattice {
    let taps = (0..geo.kh).map(|i| [(i * geo.spec.dilation[0]) as isize, 0]).collect();
    Lattice { rows: geo.oh, cols: geo.ow, first: [0, 0], taps, weights: 0 }
}

/// The forward pass; with [`Columns::Inputs`] and the geometry to match, the input's gradient.
///
/// # Safety
/// The pointers are the tensors of `geo`, the output channels-last and the weight in the order that
/// `columns` says; no size is zero; the geometry is [`possible`].
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    (x, order): (*const f32, Order),
    (w, columns): (&Tensor, Columns),
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    let (copy, source) = pad(op, geo, x, order)?;
    let rows = by_rows(geo);
    let flipped = usize::from(columns == Columns::Inputs);
    let form = Form::new("rows", &[geo.o, geo.c, geo.kh, geo.kw, flipped]);
    // SAFETY: as this function.
    let packed = w.packed(form, packed_size(&rows, Columns::Outputs), || unsafe {
        pack_rows(op, geo, w.ptr(), columns)
    })?;
    let panels = Panels::new(geo.o);
    let bias = match finish.bias {
        Some(bias) => Some(pad_bias(op, 1, panels, bias)?),
        None => None,
    };
    pointers::Plan {
        images: geo.n,
        images_inside: false,
        source,
        target: Picture { height: geo.oh, width: geo.ow, pitch: geo.o },
        source_step: geo.spec.stride,
        target_step: [1, 1],
        groups: 1,
        channels: rows.c,
        panels,
        lattices: &[lattice(geo)],
        weights: packed.as_ptr().cast(),
        x: copy.as_ptr().cast(),
        out,
        bias: bias.as_ref().map(|b| b.as_ptr().cast_const().cast()),
        floor: finish.floor(),
        // Every window lies inside the copy.
        zeros: copy.as_ptr().cast(),
    }
    .compute(op)
}

/// The weights by rows of the kernel, packed.
unsafe fn pack_rows(op: &'static str, geo: &Geometry, w: *const f32, columns: Columns) -> Result<Block> {
    let rows = by_rows(geo);
    let weights = memory::allocate(op, geo.o * geo.kh * rows.c * size_of::<f32>())?;
    let to = weights.as_ptr().cast::<f32>();
    for_taps(geo, |row, plain, [o, c, i, j]| {
        let from = match columns {
            Columns::Outputs => plain,
            Columns::Inputs => ((c * geo.o + o) * geo.kh + geo.kh - 1 - i) * geo.kw + geo.kw - 1 - j,
        };
        *to.add(row) = *w.add(from);
    });
    let places: Vec<_> = (0..geo.kh).map(|index| Place { start: 0, index, taps: geo.kh }).collect();
    pack(op, &rows, Columns::Outputs, &places, to)
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn weight_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    (x, order): (*const f32, Order),
    dw: *mut f32,
) -> Result<()> {
    let (copy, source) = pad(op, geo, x, order)?;
    let rows = by_rows(geo);
    let sums = memory::allocate(op, geo.o * geo.kh * rows.c * size_of::<f32>())?;
    let sums = sums.as_ptr().cast::<f32>();
    outer::Plan {
        images: geo.n,
        source,
        target: Picture { height: geo.oh, width: geo.ow, pitch: geo.o },
        step: geo.spec.stride,
        taps: &lattice(geo).taps,
        groups: 1,
        channels: rows.c,
        panels: Panels::new(geo.o),
        x: copy.as_ptr().cast(),
        g,
        dw: sums,
    }
    .compute(op)?;
    for_taps(geo, |row, plain, _| *dw.add(plain) = *sums.add(row));
    Ok(())
}

/// Calls `f` with the place of every weight by rows, its plain place, and its indices.
fn for_taps(geo: &Geometry, mut f: impl FnMut(usize, usize, [usize; 4])) {
    let mut plain = 0;
    for (o, c) in (0..geo.o).flat_map(|o| (0..geo.c).map(move |c| (o, c))) {
        for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
            f(((o * geo.kw + j) * geo.c + c) * geo.kh + i, plain, [o, c, i, j]);
            plain += 1;
        }
    }
}

/// The pixels that windows reach, with the padding's zeros.
unsafe fn pad(op: &'static str, geo: &Geometry, x: *const f32, order: Order) -> Result<(Block, Picture)> {
    let (stride, padding) = (geo.spec.stride, geo.spec.padding);
    let height = (geo.oh - 1) * stride[0] + (geo.kh - 1) * geo.spec.dilation[0] + 1;
    let width = (geo.ow - 1) * stride[1] + geo.kw;
    let pitch = width * geo.c;
    let copy = memory::allocate(op, geo.n.saturating_mul(height * pitch).saturating_mul(size_of::<f32>()))?;
    let (x, to) = (SendPtr(x.cast_mut()), SendPtr(copy.as_ptr().cast::<f32>()));
    let left = padding[1].min(width);
    let inside = geo.w.min(width - left);
    for_ranges(geo.n * height, GRAIN / pitch, |rows| {
        for row in rows {
            let (image, y) = (row / height, row % height);
            let to = to.get().add(row * pitch);
            if y < padding[0] || y >= geo.h + padding[0] {
                std::ptr::write_bytes(to, 0, pitch);
                continue;
            }
            let (y, end) = (y - padding[0], (left + inside) * geo.c);
            std::ptr::write_bytes(to, 0, left * geo.c);
            std::ptr::write_bytes(to.add(end), 0, pitch - end);
            let to = to.add(left * geo.c);
            match order {
                Order::ChannelsLast => {
                    let from = x.get().add((image * geo.h + y) * geo.w * geo.c);
                    std::ptr::copy_nonoverlapping(from, to, inside * geo.c);
                }
                Order::Plain => {
                    let from = x.get().add((image * geo.c * geo.h + y) * geo.w).cast_const();
                    interleave(from, geo.h * geo.w, geo.c, inside, to);
                }
            }
        }
    });
    Ok((copy, Picture { height, width, pitch: geo.c }))
}

/// `to[pixel][channel]` from planes.
unsafe fn interleave(from: *const f32, plane: usize, channels: usize, pixels: usize, to: *mut f32) {
    if channels == 3 {
        // The usual case: whole pixels at a time.
        for x in 0..pixels {
            let pixel = [*from.add(x), *from.add(plane + x), *from.add(2 * plane + x)];
            to.add(3 * x).cast::<[f32; 3]>().write_unaligned(pixel);
        }
        return;
    }
    for c in 0..channels {
        for x in 0..pixels {
            *to.add(x * channels + c) = *from.add(c * plane + x);
        }
    }
}
