// Sums of float32 over any axes of any strides.
//
// An output's `extent` elements are cut into `chunks` of `chunk` elements; each job sums one chunk,
// and the host calls again on the partial sums until one is left. So the work is parallel, the
// rounding error grows with the logarithm of the extent, and the result has the same bits each time.

struct Params {
    outputs: u32,
    extent: u32,
    chunk: u32,
    chunks: u32,
    offset: u32,
    kept: u32, // the first axes of `shape` are those of the output
    rank: u32,
    unused: u32,
    shape: array<vec4<u32>, 2>,
    strides: array<vec4<i32>, 2>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> result: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;

var<workgroup> partial: array<f32, 256>;

// The part of an address that index `i` over the axes `first..end` gives.
fn address(i: u32, first: u32, end: u32) -> i32 {
    var rest = i;
    var at = 0;
    for (var axis = end; axis > first; axis--) {
        let k = axis - 1u;
        let stride = p.strides[k / 4u][k % 4u];
        if k == first {
            at += i32(rest) * stride;
        } else {
            let size = p.shape[k / 4u][k % 4u];
            at += i32(rest % size) * stride;
            rest = rest / size;
        }
    }
    return at;
}

// A workgroup sums one chunk: for reductions along memory, where neighbouring threads read
// neighbouring elements. Writes result[output][chunk].
@compute @workgroup_size(256)
fn sum_by_group(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let job = group.y * groups.x + group.x;
    if job >= p.outputs * p.chunks {
        return;
    }
    let base = i32(p.offset) + address(job / p.chunks, 0u, p.kept);
    let start = (job % p.chunks) * p.chunk;
    let end = min(start + p.chunk, p.extent);
    var total = 0.0;
    for (var r = start + local; r < end; r += 256u) {
        total += x[base + address(r, p.kept, p.rank)];
    }
    partial[local] = total;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if local < half {
            partial[local] += partial[local + half];
        }
        workgroupBarrier();
    }
    if local == 0u {
        result[job] = partial[0];
    }
}

// A thread sums one (short) chunk: for reductions across memory, where neighbouring threads make
// neighbouring outputs, and for short ones. Writes result[chunk][output].
@compute @workgroup_size(256)
fn sum_by_thread(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let job = (group.y * groups.x + group.x) * 256u + local;
    if job >= p.outputs * p.chunks {
        return;
    }
    let base = i32(p.offset) + address(job % p.outputs, 0u, p.kept);
    let start = (job / p.outputs) * p.chunk;
    let end = min(start + p.chunk, p.extent);
    var total = 0.0;
    for (var block = start; block < end; block += 8u) {
        var some = 0.0;
        for (var r = block; r < min(block + 8u, end); r++) {
            some += x[base + address(r, p.kept, p.rank)];
        }
        total += some;
    }
    result[job] = total;
}
