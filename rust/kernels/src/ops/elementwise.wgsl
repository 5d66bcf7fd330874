// Elementwise kernels. Every buffer is seen as words of 32 bits, so copies keep all bits (NaN
// payloads, negative zero) and one module serves float32, int32 and bool.
//
// One thread makes one element of a row-major output; the inputs have any strides, also 0 and
// negative ones. The host merges axes, so most calls have rank 1 and never divide.

struct Params {
    n: u32,
    rank: u32,
    a_offset: u32, // `fill` takes its word from here
    b_offset: u32,
    shape: array<vec4<u32>, 2>,
    a_strides: array<vec4<i32>, 2>,
    b_strides: array<vec4<i32>, 2>,
}
var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> result: array<u32>;
@group(0) @binding(1) var<storage, read> a: array<u32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;

// Types: 0 float32, 1 int32, 2 bool (a word that is 0 or 1).
override A_TYPE: u32 = 0u;
override B_TYPE: u32 = 0u;
override TYPE: u32 = 0u; // what is computed in and written
// Binary: 0 add, 1 sub, 2 mul, 3 div, 4 relu_grad. Unary: 0 copy, 1 relu.
override OP: u32 = 0u;

fn element(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * 256u + local;
}

// Where element `i` of the output lies in a and b.
fn addresses(i: u32) -> vec2<i32> {
    var rest = i;
    var at = vec2<i32>(i32(p.a_offset), i32(p.b_offset));
    for (var axis = p.rank; axis > 1u; axis--) {
        let k = axis - 1u;
        let size = p.shape[k / 4u][k % 4u];
        let here = i32(rest % size);
        rest = rest / size;
        at += here * vec2<i32>(p.a_strides[k / 4u][k % 4u], p.b_strides[k / 4u][k % 4u]);
    }
    return at + i32(rest) * vec2<i32>(p.a_strides[0].x, p.b_strides[0].x);
}

fn as_float(word: u32, kind: u32) -> f32 {
    switch kind {
        case 0u: { return bitcast<f32>(word); }
        case 1u: { return f32(bitcast<i32>(word)); }
        default: { return f32(word); }
    }
}

@compute @workgroup_size(256)
fn binary(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = element(group, groups, local);
    if i >= p.n {
        return;
    }
    let at = addresses(i);
    let x = a[at.x];
    let y = b[at.y];
    if OP == 4u {
        // On bits, for NaN: nothing flows back where relu's output y is zero (or less).
        let negative = (y & 0x80000000u) != 0u && (y & 0x7fffffffu) <= 0x7f800000u;
        result[i] = select(x, 0u, y == 0u || negative);
    } else if TYPE == 0u {
        let u = as_float(x, A_TYPE);
        let v = as_float(y, B_TYPE);
        var r: f32;
        switch OP {
            case 0u: { r = u + v; }
            case 1u: { r = u - v; }
            case 2u: { r = u * v; }
            default: { r = u / v; }
        }
        result[i] = bitcast<u32>(r);
    } else if TYPE == 1u {
        // Wraps around as the CPU's int32 does; words of either sign add and multiply alike.
        switch OP {
            case 0u: { result[i] = x + y; }
            case 1u: { result[i] = x - y; }
            default: { result[i] = x * y; }
        }
    } else {
        result[i] = select(x & y, x | y, OP == 0u);
    }
}

@compute @workgroup_size(256)
fn unary(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = element(group, groups, local);
    if i >= p.n {
        return;
    }
    let x = a[addresses(i).x];
    // On bits: a driver may assume that floats are never NaN. Integers have the same sign bit.
    let negative = (x & 0x80000000u) != 0u;
    let nan = TYPE == 0u && (x & 0x7fffffffu) > 0x7f800000u;
    result[i] = select(x, 0u, OP == 1u && negative && !nan);
}

@compute @workgroup_size(256)
fn fill(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = element(group, groups, local);
    if i < p.n {
        result[i] = p.a_offset;
    }
}
