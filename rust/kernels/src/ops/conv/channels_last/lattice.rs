//! Where the pixels of a convolution meet: the taps of its windows, and for the input's gradient
//! the pixels that share taps.

use super::super::Geometry;
use super::weights::Place;
use crate::parallel::{SendPtr, for_ranges};

/// Pictures in channels-last order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    pub height: usize,
    pub width: usize,
    /// Floats from a pixel to the next.
    pub pitch: usize,
}

/// Target pixels at equal distances, and the taps they all have.
#[derive(Debug)]
pub(super) struct Lattice {
    pub rows: usize,
    pub cols: usize,
    pub first: [usize; 2],
    /// Where the first pixel's taps lie in the source, which may be outside.
    pub taps: Vec<[isize; 2]>,
    pub weights: usize,
}

/// Where the taps of the first window lie.
pub(super) fn taps(geo: &Geometry) -> Vec<[isize; 2]> {
    let at = |axis: usize, i: usize| (i * geo.spec.dilation[axis]) as isize - geo.spec.padding[axis] as isize;
    (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| [at(0, i), at(1, j)])).collect()
}

/// The input's pixels by their remainder modulo the stride, where a tap reaches them, and each tap's
/// place among weights of `size` floats a tap.
pub(super) fn phases(geo: &Geometry, size: usize) -> (Vec<Lattice>, Vec<Place>) {
    let stride = geo.spec.stride;
    let taps = taps(geo);
    let phase = |tap: [isize; 2]| [0, 1].map(|a| tap[a].rem_euclid(stride[a] as isize) as usize);
    let mut lattices: Vec<Lattice> = Vec::new();
    let mut own: Vec<(usize, usize)> = Vec::new();
    for &tap in &taps {
        let first = phase(tap);
        let at = lattices.iter().position(|l| l.first == first).unwrap_or_else(|| {
            let pixels = |axis: usize, size: usize| size.saturating_sub(first[axis]).div_ceil(stride[axis]);
            let (rows, cols) = (pixels(0, geo.h), pixels(1, geo.w));
            lattices.push(Lattice { rows, cols, first, taps: Vec::new(), weights: 0 });
            lattices.len() - 1
        });
        // Output pixel `o` with this tap meets the input at `o * stride + tap`.
        let from = [0, 1].map(|a| (first[a] as isize - tap[a]) / stride[a] as isize);
        own.push((at, lattices[at].taps.len()));
        lattices[at].taps.push(from);
    }
    let mut start = 0;
    for lattice in &mut lattices {
        lattice.weights = start;
        start += lattice.taps.len() * size;
    }
    let place = |&(at, index): &(usize, usize)| {
        let lattice: &Lattice = &lattices[at];
        Place { start: lattice.weights, index, taps: lattice.taps.len() }
    };
    let places = own.iter().map(place).collect();
    (lattices, places)
}

/// Zeros, unless the lattices reach every pixel of the input.
pub(super) unsafe fn clear_unreached(geo: &Geometry, lattices: &[Lattice], dx: *mut f32) {
    let reached: usize = lattices.iter().map(|l| l.rows * l.cols).sum();
    if reached == geo.h * geo.w {
        return;
    }
    let dx = SendPtr(dx);
    for_ranges(geo.n * geo.h * geo.w, (1 << 16) / geo.c.min(1 << 16), |own| {
        std::ptr::write_bytes(dx.get().add(own.start * geo.c), 0, own.len() * geo.c)
    });
}
