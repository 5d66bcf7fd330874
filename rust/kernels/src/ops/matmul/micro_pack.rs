//! Packing of strided operands into panels, over any level's vectors.

use super::micro::Lanes;

/// Packs `n` lines by `kc` positions into a panel of `width`; lines that are missing become zeros.
#[inline(always)]
pub(super) unsafe fn pack<V: Lanes>(
    from: *const V::T,
    line: isize,
    k: isize,
    n: usize,
    kc: usize,
    width: usize,
    out: *mut V::T,
) {
    let block = V::BLOCK;
    if n < width {
        std::ptr::write_bytes(out, 0, kc * width);
    }
    if line == 1 {
        let full = n - n % V::LANES;
        let mask = V::mask(n - full);
        for p in 0..kc {
            let (from, to) = (from.wrapping_offset(p as isize * k), out.add(p * width));
            let mut l = 0;
            while l < full {
                V::load_all(from.add(l)).store_all(to.add(l));
                l += V::LANES;
            }
            if l == n {
                continue;
            }
            if V::MASKED {
                V::load(from.add(l), mask).store(to.add(l), mask, n - l);
            } else {
                while l < n {
                    *to.add(l) = *from.add(l);
                    l += 1;
                }
            }
        }
        return;
    }
    // Squares of BLOCK. Enough lines: the last squares overlap those before them. Fewer lines: they are
    // repeated, and what is written too far is overwritten by the rows that follow.
    let mut done = 0;
    if k == 1 && kc >= block && n >= block {
        for l in (0..n).step_by(block) {
            let first = l.min(n - block);
            let lines = lines_of(from, line, first, n);
            for p in (0..kc).step_by(block) {
                let at = p.min(kc - block);
                V::transpose(lines.map(|l| l.wrapping_add(at)), out.add(at * width + first), width);
            }
        }
        done = kc;
    } else if k == 1 && n == width {
        let lines = lines_of(from, line, 0, n);
        while done + block <= kc && (done + block - 1) * width + block <= kc * width {
            V::transpose(lines.map(|l| l.wrapping_add(done)), out.add(done * width), width);
            done += block;
        }
    }
    for l in 0..n {
        let from = from.wrapping_offset(l as isize * line);
        for p in done..kc {
            *out.add(p * width + l) = *from.wrapping_offset(p as isize * k);
        }
    }
}

/// Eight lines from `first` on, the last of the `n` repeated.
#[inline(always)]
fn lines_of<T>(from: *const T, line: isize, first: usize, n: usize) -> [*const T; 8] {
    std::array::from_fn(|i| from.wrapping_offset((first + i).min(n - 1) as isize * line))
}
