// Batched matrix products of float32 with any strides, also broadcast ones.
//
// A workgroup of 256 threads makes a tile of 64x64 of one product, 4x4 a thread, from panels of 16
// columns of a and 16 rows of b that it keeps in workgroup memory. A panel is stored in vectors of
// four, each written whole by one thread.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    batches: u32,
    a_offset: u32,
    b_offset: u32,
    batch_rank: u32,
    unused: u32,
    a_strides: vec2<i32>, // row, column
    b_strides: vec2<i32>,
    batch_shape: vec4<u32>,
    a_batch: vec4<i32>,
    b_batch: vec4<i32>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

// Whether neighbours in memory lie along a column; decides which threads load which elements.
override A_COLUMNS: bool = false;
override B_COLUMNS: bool = false;

var<workgroup> a_panel: array<vec4<f32>, 256>; // [16 of k][16 groups of four rows]
var<workgroup> b_panel: array<vec4<f32>, 256>; // [16 of k][16 groups of four columns]

@compute @workgroup_size(16, 16)
fn matmul(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) t: u32,
) {
    let tiles_m = (p.m + 63u) / 64u;
    let tiles_n = (p.n + 63u) / 64u;
    var tile = group.y * groups.x + group.x;
    if tile >= tiles_m * tiles_n * p.batches {
        return;
    }
    let col0 = (tile % tiles_n) * 64u;
    tile = tile / tiles_n;
    let row0 = (tile % tiles_m) * 64u;
    let batch = tile / tiles_m;

    var rest = batch;
    var a_base = i32(p.a_offset);
    var b_base = i32(p.b_offset);
    for (var axis = p.batch_rank; axis > 0u; axis--) {
        let size = p.batch_shape[axis - 1u];
        let here = i32(rest % size);
        rest = rest / size;
        a_base += here * p.a_batch[axis - 1u];
        b_base += here * p.b_batch[axis - 1u];
    }

    // What this thread loads of each panel: four elements at one k.
    let a_k = select(t % 16u, t / 16u, A_COLUMNS);
    let a_four = select(t / 16u, t % 16u, A_COLUMNS);
    let b_k = select(t / 16u, t % 16u, B_COLUMNS);
    let b_four = select(t % 16u, t / 16u, B_COLUMNS);

    var acc0 = vec4<f32>();
    var acc1 = vec4<f32>();
    var acc2 = vec4<f32>();
    var acc3 = vec4<f32>();
    for (var k0 = 0u; k0 < p.k; k0 += 16u) {
        var four = vec4<f32>();
        if k0 + a_k < p.k {
            let at = a_base + i32(k0 + a_k) * p.a_strides.y;
            let row = row0 + a_four * 4u;
            if row < p.m { four.x = a[at + i32(row) * p.a_strides.x]; }
            if row + 1u < p.m { four.y = a[at + i32(row + 1u) * p.a_strides.x]; }
            if row + 2u < p.m { four.z = a[at + i32(row + 2u) * p.a_strides.x]; }
            if row + 3u < p.m { four.w = a[at + i32(row + 3u) * p.a_strides.x]; }
        }
        a_panel[a_k * 16u + a_four] = four;
        four = vec4<f32>();
        if k0 + b_k < p.k {
            let at = b_base + i32(k0 + b_k) * p.b_strides.x;
            let col = col0 + b_four * 4u;
            if col < p.n { four.x = b[at + i32(col) * p.b_strides.y]; }
            if col + 1u < p.n { four.y = b[at + i32(col + 1u) * p.b_strides.y]; }
            if col + 2u < p.n { four.z = b[at + i32(col + 2u) * p.b_strides.y]; }
            if col + 3u < p.n { four.w = b[at + i32(col + 3u) * p.b_strides.y]; }
        }
        b_panel[b_k * 16u + b_four] = four;
        workgroupBarrier();
        // Only the elements there are: a zero of the padding times an infinity would be NaN.
        let depth = min(16u, p.k - k0);
        for (var k = 0u; k < depth; k++) {
            let rows = a_panel[k * 16u + id.y];
            let cols = b_panel[k * 16u + id.x];
            acc0 += rows.x * cols;
            acc1 += rows.y * cols;
            acc2 += rows.z * cols;
            acc3 += rows.w * cols;
        }
        workgroupBarrier();
    }

    let row = row0 + id.y * 4u;
    let col = col0 + id.x * 4u;
    let out = batch * p.m * p.n;
    store(out, row, col, acc0);
    store(out, row + 1u, col, acc1);
    store(out, row + 2u, col, acc2);
    store(out, row + 3u, col, acc3);
}

fn store(out: u32, row: u32, col: u32, values: vec4<f32>) {
    if row >= p.m {
        return;
    }
    let at = out + row * p.n + col;
    if col < p.n { result[at] = values.x; }
    if col + 1u < p.n { result[at + 1u] = values.y; }
    if col + 2u < p.n { result[at + 2u] = values.z; }
    if col + 3u < p.n { result[at + 3u] = values.w; }
}
