//! How the weight's gradient is cut: its pixels into chunks, its sums into tasks.

use super::super::panel::even_blocks;
use super::lattice::Picture;
use super::outer::Plan;
use std::ops::Range;

/// Pixels whose products a tile sums before it adds them to the others': their columns and rows
/// stay in the first-level cache.
const CHUNK: usize = 128;
/// Tasks worth cutting the work into, and the multiplications below which one is too small.
const TASKS: usize = 16;
const MIN_WORK: usize = 1 << 19;
/// Tiles of sums a task has at least, if there are as many: it reads every pixel once for all.
const TILES: usize = 24;

/// Some pixels of the output: a rectangle, or whole pictures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub image: usize,
    pub images: usize,
    pub first: [usize; 2],
    pub size: [usize; 2],
}

/// The pixels of the source that a chunk's taps reach, of each of its images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub first: [usize; 2],
    pub size: [usize; 2],
}

/// How the sums are cut into tasks: blocks of input channels and panels that one task takes, and
/// parts of the pixels.
pub(super) struct Cuts {
    pub blocks: Vec<Range<usize>>,
    pub panels: Vec<Range<usize>>,
    pub parts: Vec<Range<usize>>,
}

impl Plan<'_> {
    /// Whole pictures, or rectangles of one, of about `CHUNK` pixels.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let Picture { height, width, .. } = self.target;
        let plane = height * width;
        if plane * 2 <= CHUNK {
            let whole = |images: Range<usize>| Chunk {
                image: images.start,
                images: images.len(),
                first: [0, 0],
                size: [height, width],
            };
            return even_blocks(self.images, CHUNK / plane).into_iter().map(whole).collect();
        }
        let columns = even_blocks(width, CHUNK * 2);
        let rows = even_blocks(height, (CHUNK / columns[0].len()).max(1));
        let mut chunks = Vec::with_capacity(self.images * rows.len() * columns.len());
        for image in 0..self.images {
            for (row, column) in rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c))) {
                let (first, size) = ([row.start, column.start], [row.len(), column.len()]);
                chunks.push(Chunk { image, images: 1, first, size });
            }
        }
        chunks
    }

    pub(super) fn region(&self, chunk: &Chunk) -> Region {
        let bounds = [self.source.height, self.source.width];
        let axis = |a: usize| {
            let reach = |tap: &[isize; 2]| (chunk.first[a] * self.step[a]) as isize + tap[a];
            let last = (chunk.size[a] - 1) * self.step[a];
            let start = self.taps.iter().map(reach).min().unwrap_or(0).clamp(0, bounds[a] as isize) as usize;
            let end = self.taps.iter().map(|tap| reach(tap) + last as isize + 1).max().unwrap_or(0);
            (start, (end.clamp(0, bounds[a] as isize) as usize).saturating_sub(start))
        };
        let ((y, rows), (x, columns)) = (axis(0), axis(1));
        Region { first: [y, x], size: [rows, columns] }
    }

    pub(super) fn cuts(&self, blocks: usize, rows: usize, chunks: usize) -> Cuts {
        let panels = self.panels.count();
        let pixels = self.images * self.target.height * self.target.width;
        let work = [pixels, self.taps.len(), self.channels, self.panels.columns, self.groups]
            .iter()
            .fold(1, |a: usize, &b| a.saturating_mul(b));
        let wanted = (work / MIN_WORK).clamp(1, TASKS);
        // Tasks near squares read the least.
        let (mut each_block, mut each_panel) = (1, 1);
        let tasks = |b: usize, p: usize| self.groups * blocks.div_ceil(b) * panels.div_ceil(p);
        loop {
            let wide = each_block * rows <= each_panel * self.panels.full();
            let first = if wide { (each_block + 1, each_panel) } else { (each_block, each_panel + 1) };
            let second = if wide { (each_block, each_panel + 1) } else { (each_block + 1, each_panel) };
            let small = each_block * each_panel * self.taps.len() < TILES;
            let fits =
                |&(b, p): &(usize, usize)| b <= blocks && p <= panels && (small || tasks(b, p) >= wanted);
            match [first, second].into_iter().find(fits) {
                Some(next) => (each_block, each_panel) = next,
                None => break,
            }
        }
        let parts = wanted.div_ceil(tasks(each_block, each_panel)).min(chunks);
        Cuts {
            blocks: even_blocks(blocks, each_block),
            panels: even_blocks(panels, each_panel),
            parts: even_blocks(chunks, chunks.div_ceil(parts)),
        }
    }
}
