"""``lt.scan``: a cell run over a sequence, beside the same cell in a loop."""

import contextlib
import re
import warnings

import numpy as np
import pytest

import lectorium as lt
from lectorium import nn
from lectorium.nn import functional as F

T, B, I, H = 6, 5, 4, 7


@pytest.fixture(autouse=True)
def _strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def leaf(*shape, dtype=lt.float64, scale=0.5):
    t = (lt.randn(*shape, dtype=dtype) * scale).detach()
    t.requires_grad = True
    return t


def flat(value):
    if isinstance(value, lt.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for part in value for t in flat(part)]


def pick(value, t):
    if isinstance(value, lt.Tensor):
        return value[t]
    if isinstance(value, dict):
        return {k: pick(v, t) for k, v in value.items()}
    return type(value)(pick(v, t) for v in value)


def loop(cell, inputs, state):
    made = []
    for t in range(flat(inputs)[0].shape[0]):
        y, state = cell(pick(inputs, t), state)
        made.append(flat(y))
    return [lt.stack([m[i] for m in made]) for i in range(len(made[0]))], state


def gradients(outs, leaves):
    lt.manual_seed(11)
    loss = sum((o * lt.randn(*o.shape, dtype=o.dtype)).sum() for o in outs if o.requires_grad)
    return lt.autograd.grad(loss, leaves, allow_unused=True)


def check(cell, inputs, state, parameters=(), rtol=1e-9):
    """Values, last states and gradients of inputs, first states and parameters are the loop's."""
    leaves = [t for t in (*flat(inputs), *flat(state), *parameters) if t.requires_grad]
    results = []
    for run in (loop, lt.scan):
        lt.manual_seed(3)
        outputs, last = run(cell, inputs, state)
        outs = [*flat(outputs), *flat(last)]
        after = lt.rand(1).item()
        asked = leaves and any(o.requires_grad for o in outs)
        results.append((outs, gradients(outs, leaves) if asked else (), after))
    (ours, theirs) = results[1], results[0]
    assert ours[2] == theirs[2]
    for a, b in zip(ours[0], theirs[0], strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=rtol, atol=rtol)
        assert a.requires_grad == b.requires_grad
    for a, b in zip(ours[1], theirs[1], strict=True):
        a, b = ((lt.zeros(1) if g is None else g) for g in (a, b))
        np.testing.assert_allclose(a.numpy(), np.broadcast_to(b.numpy(), a.shape), rtol=rtol, atol=rtol)


def rnn(dtype=lt.float64):
    wx, wh, b = leaf(H, I, dtype=dtype), leaf(H, H, dtype=dtype), leaf(H, dtype=dtype)

    def cell(x, h):
        h = lt.tanh(F.linear(x, wx, b) + h @ wh.T)
        return h, h

    return cell, leaf(T, B, I, dtype=dtype), leaf(B, H, dtype=dtype), [wx, wh, b]


def gru(dtype=lt.float64):
    wx, wh, b, c = (leaf(*s, dtype=dtype) for s in ((I, 3 * H), (H, 3 * H), (3 * H,), (3 * H,)))

    def cell(x, h):
        xr, xz, xn = (x @ wx + b).chunk(3, 1)
        hr, hz, hn = (h @ wh + c).chunk(3, 1)
        r, z = lt.sigmoid(xr + hr), lt.sigmoid(xz + hz)
        n = lt.tanh(xn + r * hn)
        h = (1 - z) * n + z * h
        return h, h

    return cell, leaf(T, B, I, dtype=dtype), leaf(B, H, dtype=dtype), [wx, wh, b, c]


def lstm(dtype=lt.float64):
    w, b = leaf(4 * H, I + H, dtype=dtype), leaf(4 * H, dtype=dtype)

    def cell(x, state):
        h, c = state
        i, f, g, o = F.linear(lt.cat([x, h], 1), w, b).chunk(4, 1)
        c = lt.sigmoid(f) * c + lt.sigmoid(i) * lt.tanh(g)
        h = lt.sigmoid(o) * lt.tanh(c)
        return h, (h, c)

    state = leaf(B, H, dtype=dtype), leaf(B, H, dtype=dtype)
    return cell, leaf(T, B, I, dtype=dtype), state, [w, b]


def mut1(dtype=lt.float64):
    wxz, wxr, whr, whh, project = (leaf(*s, dtype=dtype) for s in ((I, H), (I, H), (H, H), (H, H), (I, H)))
    bz, br, bh = leaf(H, dtype=dtype), leaf(H, dtype=dtype), leaf(H, dtype=dtype)

    def cell(x, h):
        z = lt.sigmoid(x @ wxz + bz)
        r = lt.sigmoid(x @ wxr + h @ whr + br)
        h = lt.tanh((r * h) @ whh + lt.tanh(x @ project) + bh) * z + h * (1 - z)
        return h, h

    return (
        cell,
        leaf(T, B, I, dtype=dtype),
        leaf(B, H, dtype=dtype),
        [wxz, wxr, whr, whh, project, bz, br, bh],
    )


def attention(dtype=lt.float64):
    keys, w, v, wx = (leaf(*s, dtype=dtype) for s in ((B, 3, H), (H, H), (H,), (I, H)))

    def cell(x, h):
        scores = (lt.tanh(keys @ w + (h @ w).unsqueeze(1)) * v).sum(-1).softmax(-1)
        context = lt.bmm(scores.unsqueeze(1), keys).squeeze(1)
        h = lt.tanh(context + x @ wx + h)
        return {"scores": scores, "h": h}, h

    return cell, leaf(T, B, I, dtype=dtype), leaf(B, H, dtype=dtype), [keys, w, v, wx]


CELLS = [rnn, gru, lstm, mut1, attention]


@pytest.mark.parametrize("make", CELLS)
def test_cells_compute_what_the_loop_does(make):
    lt.manual_seed(0)
    check(*make())
    # And again, from the kept program.
    check(*make())


@pytest.mark.parametrize("make", CELLS)
def test_cells_in_float32(make):
    lt.manual_seed(0)
    check(*make(lt.float32), rtol=3e-5)


@pytest.mark.parametrize("make", CELLS)
def test_any_number_of_threads_gives_the_same_bits(make):
    lt.manual_seed(0)
    before = lt.get_num_threads()
    cell, xs, state, parameters = make(lt.float32)
    xs = leaf(9, 40, I, dtype=lt.float32) if make is not attention else xs
    state = tuple(leaf(40, H, dtype=lt.float32) for _ in range(2)) if make is lstm else state
    if make not in (lstm, attention):
        state = leaf(40, H, dtype=lt.float32)
    seen = []
    try:
        for threads in (1, 2, 7):
            lt.set_num_threads(threads)
            outputs, last = lt.scan(cell, xs, state)
            outs = [*flat(outputs), *flat(last)]
            seen.append(
                [t.detach().numpy() for t in (*outs, *gradients(outs, [xs, *flat(state), *parameters]))]
            )
    finally:
        lt.set_num_threads(before)
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("make", CELLS)
def test_gradients_by_finite_differences(make):
    lt.manual_seed(0)
    cell, xs, _, _ = make()
    xs = leaf(3, 2, I)
    if make is attention:
        xs = leaf(3, B, I)
    state = tuple(leaf(2, H) for _ in range(2)) if make is lstm else leaf(B if make is attention else 2, H)

    def run(x, *rest):
        outputs, last = lt.scan(cell, x, rest if make is lstm else rest[0])
        return (*flat(outputs), *flat(last))

    assert lt.autograd.gradcheck(run, (xs, *flat(state)))


@pytest.mark.parametrize("make", [rnn, gru])
def test_gradients_of_gradients(make):
    lt.manual_seed(0)
    cell, _, _, _ = make()

    def run(x, h):
        outputs, last = lt.scan(cell, x, h)
        return outputs, last

    assert lt.autograd.gradgradcheck(run, (leaf(2, 1, I), leaf(1, H)))


def test_a_second_derivative_reaches_captured_tensors_and_what_they_come_from():
    lt.manual_seed(0)
    w = leaf(H, H)
    xs, h0 = leaf(3, 2, H), leaf(2, H)

    def cell(x, h):
        h = lt.tanh(x + h @ (w * 2).T)
        return h, h

    found = []
    for run in (loop, lt.scan):
        outputs, _ = run(cell, xs, h0)
        (g,) = lt.autograd.grad(flat(outputs)[0].square().sum(), [w], create_graph=True)
        found.append(lt.autograd.grad(g.square().sum(), [w, xs, h0]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9)


def test_modules_with_normalisation_and_dropout_draw_the_loops_numbers():
    lt.manual_seed(0)
    first, second, norm, drop, head = (
        nn.Linear(I, H), nn.Linear(H, H), nn.LayerNorm(H), nn.Dropout(0.4), nn.Linear(H, 3),
    )  # fmt: skip

    def cell(x, h):
        h = drop(lt.tanh(norm(first(x) + second(h))))
        return head(h).log_softmax(-1), h

    parameters = [p for m in (first, second, norm, head) for p in m.parameters()]
    inputs, state = leaf(T, B, I, dtype=lt.float32), leaf(B, H, dtype=lt.float32)
    check(cell, inputs, state, parameters, rtol=3e-5)
    drop.eval()
    check(cell, inputs, state, parameters, rtol=3e-5)


def test_a_module_is_a_cell():
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(I + H, H)

        def forward(self, x, h):
            h = F.relu(self.inner(lt.cat((x, h), -1)))
            return h, h

    lt.manual_seed(0)
    cell = Cell()
    check(cell, leaf(T, B, I, dtype=lt.float32), lt.zeros(B, H), list(cell.parameters()), rtol=3e-5)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.MUT3Cell])
def test_the_cells_of_nn(kind):
    lt.manual_seed(0)
    inner = kind(I, I)

    def cell(x, h):
        h = inner(x, h)
        return h, h

    check(
        cell,
        leaf(T, B, I, dtype=lt.float32),
        leaf(B, I, dtype=lt.float32),
        list(inner.parameters()),
        rtol=3e-5,
    )
    with lt.no_grad():
        check(cell, leaf(T, B, I, dtype=lt.float32), lt.zeros(B, I), rtol=3e-5)


def test_a_decoder_with_attention():
    lt.manual_seed(0)
    attention, inner = nn.AdditiveAttention(H, I, 6), nn.GRUCell(H + I, H)
    keys, mask = leaf(B, 4, I, dtype=lt.float32), lt.tensor([[True, True, True, False]] * B)

    def cell(x, h):
        context, weights = attention(h, keys, mask=mask)
        h = inner(lt.cat([x, context], -1), h)
        return (h, weights), h

    parameters = [keys, *attention.parameters(), *inner.parameters()]
    check(cell, leaf(T, B, H, dtype=lt.float32), leaf(B, H, dtype=lt.float32), parameters, rtol=3e-5)


def test_fused_neighbours_in_sequential_are_two_operations():
    lt.manual_seed(0)
    net = nn.Sequential(nn.Linear(H, 9), nn.ReLU(), nn.Linear(9, H))
    cell = lambda x, h: (h, lt.tanh(net(h) + x))  # noqa: E731
    check(
        cell, leaf(T, B, H, dtype=lt.float32), leaf(B, H, dtype=lt.float32), list(net.parameters()), rtol=3e-5
    )


@pytest.mark.parametrize("rows", [16, 33, 196])
def test_rows_in_parts_of_several_sizes(rows):
    # Of 196 rows the last part has four, whose products are of another kind.
    w, b, v = leaf(H, H), leaf(H), leaf(H, H)

    def cell(x, h):
        y = ((x + h) @ w + b) @ v
        return y, lt.tanh(y)

    check(cell, leaf(3, rows, H), leaf(rows, H), [w, b, v])


def test_states_that_pass_no_gradient_on():
    k = lt.ones(B, H, dtype=lt.float64)
    check(lambda x, h: (x * h, k * 2), leaf(T, B, H), leaf(B, H))
    check(lambda x, h: (x * h.t().t(), h.detach() * 0.5), leaf(T, B, H), leaf(B, H))


def test_a_step_that_begins_with_a_cheap_function_of_its_state():
    w = leaf(H, H)
    check(lambda x, h: (x.sum(1), lt.relu(h) @ w + x), leaf(T, B, H), leaf(B, H), [w])


def test_a_value_used_beside_its_dropout():
    w = leaf(H, H)

    def cell(x, h):
        z = x @ w
        return z, F.dropout(z, 0.5) * h + z

    check(cell, leaf(T, B, H), leaf(B, H), [w])


def test_as_many_rows_as_weights_of_a_norm():
    n = 16
    w, g, b = leaf(n, n), leaf(n), leaf(n)

    def cell(x, h):
        h = lt.tanh(F.layer_norm(x + h @ w, (n,), g * 2, b))
        return h, h

    check(cell, leaf(T, n, n), leaf(n, n), [w, g, b])


def test_draws_of_every_kind_are_the_loops():
    lt.manual_seed(0)

    def cell(x, h):
        noise = lt.randn(B, H, dtype=lt.float64) + lt.rand_like(h) + F.dropout(lt.ones(B, H).double(), 0.5)
        h = h * 0.5 + x.sum() * noise + lt.bernoulli(lt.sigmoid(h))
        return h, h

    check(cell, leaf(T, B, I), leaf(B, H))


def test_structures_of_inputs_states_and_outputs():
    lt.manual_seed(0)
    w = leaf(H, H)

    def cell(x, state):
        a, rest = state["a"], state["rest"]
        a = lt.tanh(x["u"] + a @ w)
        return (a, [rest[0] * 2, x["v"]]), {"a": a, "rest": [rest[0] + a.sum(1), rest[1]]}

    inputs = {"u": leaf(T, B, H), "v": leaf(T, 3)}
    state = {"a": leaf(B, H), "rest": [leaf(B), leaf(2)]}
    check(cell, inputs, state, [w])
    outputs, last = lt.scan(cell, inputs, state)
    assert isinstance(outputs, tuple)
    assert isinstance(outputs[1], list)
    assert set(last) == {"a", "rest"}


def test_outputs_without_the_state_and_a_state_that_stays():
    lt.manual_seed(0)
    w = leaf(I, H)
    check(lambda x, h: (lt.exp(x @ w), h), leaf(T, B, I), leaf(B, H), [w])
    check(lambda x, h: (x, h * h), leaf(T, B, I), leaf(B, H))
    check(lambda x, h: (w, h), leaf(T, B, I), leaf(B, H), [w])
    check(lambda x, h: (h, h.detach() + x.sum()), leaf(T, B, I), leaf(B, H))


def test_last_outputs_are_nobodys_memory():
    h0, xs = lt.zeros(B, H), lt.ones(T, B, H)
    outputs, last = lt.scan(lambda x, h: ((x, h), h), xs, h0)
    last.add_(1)
    outputs[0].add_(1)
    assert [h0.sum().item(), xs.sum().item(), outputs[1].sum().item()] == [0, T * B * H, 0]


def test_a_tensor_captured_twice_and_through_views():
    lt.manual_seed(0)
    w, table = leaf(2 * H, H), leaf(9, H)
    index = lt.tensor([[1, 2, 3, 1, 0]])

    def cell(x, h):
        h = lt.tanh(x @ w[:I] + h @ w[H:] + (h * 0.5) @ w[:H] + F.embedding(index, table)[0] + w[0])
        h = h.clamp(-0.8, 0.8).reshape(B, 1, H).transpose(0, 1).squeeze(0).contiguous()
        return h[:, ::2], h

    check(cell, leaf(T, B, I), leaf(B, H), [w, table])


def test_indices_among_the_inputs():
    lt.manual_seed(0)
    table, w = leaf(9, H), leaf(H, H)

    def cell(i, h):
        h = lt.tanh(F.embedding(i, table) + h @ w)
        return h.gather(1, i.unsqueeze(1) % H), h

    check(cell, lt.randint(0, 9, (T, B)), leaf(B, H), [table, w])


def test_many_operations():
    lt.manual_seed(0)
    w, mask = leaf(H, H), lt.rand(B, H) > 0.5

    def cell(x, h):
        a = F.gelu(h @ w) + F.silu(x) * F.elu(h) - F.softplus(x) / (1 + h**2)
        b = lt.where(a > 0, a, lt.sin(a)).masked_fill(mask, 0.25)
        c = lt.stack([a, b, h], 1)
        d = c.mean(1) + c.amax(1) * 0.1 + c.cumsum(1)[:, 1] * 0.1 + lt.maximum(a, b) * (a != b).double()
        e = F.pad(d[:, 1:], (1, 0)) + d.flip(1) * 0.1 + d.max(1, keepdim=True).values * 0.01
        f = lt.logsumexp(c, 1) + c.softmax(2).sum(1) + lt.lerp(a, b, 0.3) + lt.addcmul(a, b, x, value=0.1)
        h = lt.tanh(e + f * 0.1 + lt.addmm(a, h, w) * 0.1 + d.sum() * 0.01 + h.norm() * 0.01)
        return d.argmax(1), h

    check(cell, leaf(T, B, H), leaf(B, H), [w])


def test_no_input_at_all():
    lt.manual_seed(0)
    w = leaf(H, H)

    def cell(x, h):
        assert x is None
        h = lt.tanh(h @ w)
        return h, h

    outputs, last = lt.scan(cell, None, lt.ones(B, H).double(), length=4)
    assert outputs.shape == (4, B, H)
    assert bool((outputs[3] == last).all())
    outputs.sum().backward()
    assert w.grad is not None


def test_under_no_grad_nothing_is_kept():
    cell, xs, state, _ = gru()
    with lt.no_grad():
        outputs, _ = lt.scan(cell, xs, state)
    assert not outputs.requires_grad
    np.testing.assert_allclose(outputs.numpy(), flat(loop(cell, xs, state)[0])[0].detach().numpy(), rtol=1e-9)


def test_a_parameter_changed_between_two_calls_is_seen():
    cell, xs, state, parameters = rnn()
    before = lt.scan(cell, xs, state)[0]
    with lt.no_grad():
        parameters[1].mul_(0.1)
    after = lt.scan(cell, xs, state)[0]
    assert not bool((before == after).all())
    np.testing.assert_allclose(
        after.detach().numpy(), flat(loop(cell, xs, state)[0])[0].detach().numpy(), rtol=1e-9
    )


def test_a_number_of_the_cell_changed_between_two_calls_is_seen():
    scale = [2.0]

    def cell(x, h):
        h = h + x * scale[0]
        return h, h

    xs, h = lt.ones(3, 1), lt.zeros(1)
    assert lt.scan(cell, xs, h)[1].item() == 6
    scale[0] = 3
    assert lt.scan(cell, xs, h)[1].item() == 9


def test_a_captured_tensor_changed_before_backward_is_an_error():
    cell, xs, state, parameters = rnn()
    outputs, _ = lt.scan(cell, xs, state)
    with lt.no_grad():
        parameters[1].mul_(2)
    with pytest.raises(
        RuntimeError, match="scan needs for its gradient was changed by an in-place operation"
    ):
        outputs.sum().backward()


def test_an_output_changed_before_backward_is_an_error():
    cell, xs, state, _ = rnn()
    outputs, _ = lt.scan(cell, xs, state)
    loss = outputs.sum()
    outputs.mul_(2)
    with pytest.raises(
        RuntimeError, match="scan needs for its gradient was changed by an in-place operation"
    ):
        loss.backward()


def test_a_second_backward_needs_the_graph_retained():
    cell, xs, state, _ = rnn()
    loss = lt.scan(cell, xs, state)[0].sum()
    loss.backward(retain_graph=True)
    first = xs.grad.clone()
    loss.backward()
    np.testing.assert_allclose(xs.grad.numpy(), 2 * first.numpy())
    with pytest.raises(RuntimeError, match="saved values of scan were freed"):
        loss.backward()


def test_truncated_backpropagation_carries_states():
    cell, xs, state, parameters = gru()
    state = state.detach()
    for part in (xs[:3], xs[3:]):
        outputs, state = lt.scan(cell, part, state)
        outputs.sum().backward()
        state = state.detach()
    assert parameters[0].grad is not None


def test_user_errors_pass_through():
    def cell(x, h):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        lt.scan(cell, lt.ones(3, 2), lt.zeros(2))


@pytest.mark.parametrize(
    ("inputs", "kwargs", "text"),
    [
        ((lt.ones(3, 2), lt.ones(4, 2)), {}, r"must have one number of steps, got \[3, 4\]"),
        (lt.ones(0, 2), {}, "expected at least one step, got 0"),
        (lt.ones(3, 2), {"length": 2}, r"must have one number of steps, got \[3, 2\]"),
        (lt.tensor(1.0), {}, "need an axis of steps in front"),
        (None, {}, "the number of steps must be given as length="),
        ("abc", {}, "inputs must be tensors, or tuples, lists and dicts of tensors, got str"),
    ],
)
def test_wrong_inputs(inputs, kwargs, text):
    with pytest.raises((ValueError, TypeError), match=text):
        lt.scan(lambda x, h: (h, h), inputs, lt.zeros(2), **kwargs)


def test_a_cell_must_be_a_function():
    with pytest.raises(TypeError, match=r"scan: cell must be a function of \(x, state\), got int"):
        lt.scan(3, lt.ones(3, 2), lt.zeros(2))
    with pytest.raises(TypeError, match="scan: length must be an int, got 2.5"):
        lt.scan(lambda x, h: (h, h), None, lt.zeros(2), length=2.5)


def test_a_cell_must_return_a_pair():
    with pytest.raises(
        TypeError,
        match=r"must return \(output, state\), got Tensor; where the state is the output too, return it twice: h, h",
    ):
        lt.scan(lambda x, h: h, lt.ones(3, 2), lt.zeros(2))


def counting():
    calls = []

    def cell(x, h):
        calls.append(1)
        return (h + x, h) if len(calls) % 2 else (h * x, h)

    return cell


def alternating():
    weights = [lt.tensor([1.0, 2.0]), lt.tensor([1.0, 2.0])]
    calls = []

    def cell(x, h):
        calls.append(1)
        return h * weights[len(calls) % 2], h

    return cell


class Double(lt.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


def hooked(x, h):
    y = h * x
    y.register_hook(lambda g: g * 2)
    return y, h


REASONS = [
    (lambda x, h: (h * x.sum().item(), h), r"it reads the values of a tensor \(item\), which may change"),
    (lambda x, h: (h, h) if x.sum() > 0 else (x, h), r"it reads the values of a tensor \(item\)"),
    (lambda x, h: (h * float(x.detach().numpy().sum()), h), r"it reads the values of a tensor \(numpy\)"),
    (lambda x, h: (h * x.detach().tolist()[0], h), r"it reads the values of a tensor \(tolist\)"),
    (lambda x, h: (h, lt.cat([h, h])), r"its state changes from shape \[2\] to \[4\]"),
    (lambda x, h: (h, (h > 0)), "its state changes from lectorium.float32 to lectorium.bool"),
    (lambda x, h: (h, (h, h)), "the state it returns has another structure"),
    (lambda x, h: (h.clone().add_(x), h), "it changes a tensor in place; use the out-of-place form"),
    (lambda x, h: (h[x > 0.5], h), "there is no instruction for index_get"),
    (lambda x, h: (lt.sort(x + h)[0], h), "there is no instruction for sort"),
    (lambda x, h: (lt.randperm(2), h), "there is no instruction for randperm"),
    (lambda x, h: (h * lt.rand(2, generator=lt.Generator()), h), "draws from another generator"),
    (lambda x, h: (Double.apply(x + h), h), "it calls Double, a Function with a backward pass of its own"),
    (lambda x, h: (h * lt.tensor([x[0], x[1]]), h), r"it reads the values of a tensor"),
    (counting(), "it does something else at its second step than at its first"),
    (alternating(), "it does something else at its second step than at its first"),
    (hooked, "it hangs hooks on its tensors"),
]


@pytest.mark.parametrize(("cell", "reason"), REASONS)
def test_what_cannot_be_recorded_runs_as_a_loop_and_says_why(cell, reason):
    xs, h = lt.tensor([[0.25, 1.0], [0.75, 2.0], [1.5, 0.6]], requires_grad=True), lt.ones(2) * 2
    # Some of these cells are no cells at all, as the loop then says.
    with warnings.catch_warnings(record=True) as seen, contextlib.suppress(RuntimeError, TypeError):
        warnings.simplefilter("always")
        outputs, _ = lt.scan(cell, xs, h)
        assert outputs.shape[0] == 3
    text = str(seen[0].message)
    assert text.startswith("scan: the cell cannot be recorded and runs as a loop: ")
    assert re.search(reason, text), text


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_a_layer_in_a_cell_begins_at_zero_in_each_step(options):
    layer = nn.GRU(H, H, dtype=lt.float64, **options)

    def reads(x, h):
        y, _ = layer(x)
        return y, h + y[-1, :, :H]

    check(reads, leaf(T, 3, B, H), leaf(B, H), tuple(layer.parameters()))


@pytest.mark.filterwarnings("ignore:scan")
def test_a_scan_in_a_scan_is_a_program_in_a_loop():
    w = leaf(H, H)
    taken = []

    def inner(x, h):
        taken.append(None)
        h = lt.tanh(x + h @ w)
        return h, h

    def outer(x, h):
        y, h = lt.scan(inner, x, h)
        return y.sum(0), h

    def plain(x, h):
        y, h = loop(inner, x, h)
        return y[0].sum(0), h

    x, h = leaf(4, 9, B, H), leaf(B, H)
    with pytest.warns(RuntimeWarning, match="as a loop: it calls scan, which then runs as a program"):
        got = lt.scan(outer, x, h)
    # Once for each step of the outer one, and once more to hold the new program against.
    assert len(taken) == 5
    want = loop(plain, x, h)
    for a, b in zip(flat(got), flat(want), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9)
    for a, b in zip(*(gradients(flat(r), [x, h, w]) for r in (got, want)), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_scan_is_recomputed_in_a_checkpoint_from_its_first_use_on(dropout):
    cell, drop = nn.GRUCell(H, H, dtype=lt.float64), nn.Dropout(dropout)

    def steps(x, h):
        h = drop(cell(x, h))
        return h, h

    x, h = leaf(T, B, H), leaf(B, H)
    leaves, found = [x, h, *cell.parameters()], []

    def whole(x, h):
        return lt.scan(steps, x, h)

    # The first time the program is made, the second time it is there.
    for run in (lt.utils.checkpoint.checkpoint, lt.utils.checkpoint.checkpoint, lambda f, *args: f(*args)):
        lt.manual_seed(3)
        y, last = run(whole, x, h)
        found.append(gradients([y, last], leaves))
    for a, b, c in zip(*found, strict=True):
        np.testing.assert_array_equal(a.numpy(), c.numpy())
        np.testing.assert_array_equal(b.numpy(), c.numpy())


def test_the_loop_after_a_fallback_draws_the_same_numbers():
    def cell(x, h):
        h = h + F.dropout(x, 0.5) * float(x[0, 0])
        return h, h

    xs, h = lt.rand(4, 3, 2), lt.zeros(3, 2)
    lt.manual_seed(1)
    theirs = flat(loop(cell, xs, h)[0])[0]
    lt.manual_seed(1)
    with pytest.warns(RuntimeWarning, match="item"):
        ours, _ = lt.scan(cell, xs, h)
    assert bool((ours == theirs).all())


def test_a_constant_made_inside_is_fine_and_one_changed_inside_is_not():
    check(lambda x, h: (h + lt.zeros(B, H).double() + lt.eye(H).double()[0], h), leaf(T, B, H), leaf(B, H))

    def writes(x, h):
        room = lt.zeros(B, H)
        room[0] = x[0]
        return room, h

    with pytest.warns(RuntimeWarning, match="it changes a tensor in place"):
        lt.scan(writes, lt.ones(T, B, H), lt.zeros(B, H))


def test_running_statistics_are_those_of_the_loop():
    watched, plain = lt.nn.BatchNorm1d(H), lt.nn.BatchNorm1d(H)
    x = lt.randn(T, B, H)
    with pytest.warns(RuntimeWarning, match="it changes a tensor in place"):
        lt.scan(lambda x, h: (watched(x), h), x, lt.zeros(B, H))
    for t in range(T):
        plain(x[t])
    for name, value in plain.state_dict().items():
        assert lt.equal(watched.state_dict()[name], value), name


def test_closing_over_the_inputs_is_no_confusion():
    xs = leaf(T, B, H)
    check(lambda x, h: (x - xs[0] + h, h + xs[2]), xs, leaf(B, H))


def test_steps_run_without_the_cell():
    calls = []

    def cell(x, h):
        calls.append(1)
        h = h + x
        return h, h

    lt.scan(cell, lt.ones(50, 2), lt.zeros(2))
    assert len(calls) == 2
    lt.scan(cell, lt.ones(50, 2), lt.zeros(2))
    assert len(calls) == 3


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_results_carry_gradients_only_once_one_has_reached_them(steps):
    w, x = leaf(H, H), leaf(steps, B, H).detach()

    def cell(x, state):
        a, b, c = state
        return (b * 2, c + x), (lt.tanh(x @ w), a * 1.5, b + 1)

    zero = lt.zeros(B, H, dtype=lt.float64)
    check(cell, x, (zero, zero, zero), (w,))


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 6])
def test_results_carry_no_gradients_that_are_lost_on_the_way(steps):
    x, a = leaf(steps, B, H).detach(), leaf(B, H)

    def forgets(x, state):
        p, _, r, s = state
        return p + x, (x * 1.0, p * 2.0, s + x, r * 3.0)

    zero = lt.zeros(B, H, dtype=lt.float64)
    check(forgets, x, (a, zero, leaf(B, H), zero))


def _gated(w):
    def cell(x, state):
        h, c = state
        i, f, g, o = (x @ w["x"] + h @ w["h"] + w["b"]).chunk(4, 1)
        c = lt.sigmoid(f) * c + lt.sigmoid(i) * lt.tanh(g)
        h = lt.sigmoid(o) * lt.tanh(c)
        return h @ w["y"], (h, c)

    return cell


def _summed(w):
    """Three products in one sum, and a bias among them."""

    def cell(x, state):
        h, c = state
        s = (h @ w["h"][:, :H] + w["b"][:H]) + (x @ w["x"][:, :H] + c @ w["h"][:, H : 2 * H])
        return F.linear(s, w["y"]), (lt.tanh(s), h)

    return cell


def _shared(w):
    """One product of the input for two users, and rows of a gradient that only a part of is a weight's."""

    def cell(x, state):
        h, c = state
        p = x @ w["x"]
        a, b = p[:, :H] + h @ w["h"][:, :H], p[:, H : 2 * H] * lt.sigmoid(c @ w["h"][:, H : 2 * H])
        h = lt.tanh(a + b)
        return (h * p[:, :H], p[:, 2 * H : 3 * H] @ w["y"]), (h, lt.relu(b) + w["b"][:H])

    return cell


@pytest.mark.parametrize("needs", [True, False])
@pytest.mark.parametrize(("batch", "steps"), [(6, 4), (16, 3), (17, 21), (40, 9), (130, 5)])
@pytest.mark.parametrize("make", [_gated, _summed, _shared])
def test_parts_of_a_batch_go_their_own_way_to_the_same_gradients(make, batch, steps, needs):
    w = {"x": leaf(I, 4 * H), "h": leaf(H, 4 * H), "b": leaf(4 * H), "y": leaf(H, H)}
    x, state = leaf(steps, batch, I), (leaf(batch, H), leaf(batch, H))
    if not needs:
        x, state = x.detach(), tuple(s.detach() for s in state)
    check(make(w), x, state, list(w.values()), rtol=1e-8)
    bits, before = [], lt.get_num_threads()
    for threads in (1, 2, 7):
        lt.set_num_threads(threads)
        outputs, last = lt.scan(make(w), x, state)
        outs = [*flat(outputs), *flat(last)]
        found = gradients(outs, list(w.values()))
        bits.append([t.detach().numpy().tobytes() for t in (*outs, *found)])
    lt.set_num_threads(before)
    assert bits[0] == bits[1] == bits[2]


def test_inputs_whose_rows_do_not_lie_together():
    w = {"x": leaf(I, 4 * H), "h": leaf(H, 4 * H), "b": leaf(4 * H), "y": leaf(H, H)}
    state = leaf(20, H), leaf(20, H)
    for x in (
        leaf(I, 5, 20).permute(1, 2, 0),
        leaf(20, 5, I).transpose(0, 1),
        leaf(5, 20, 2 * I)[:, :, ::2],
        leaf(5, 1, I).expand(5, 20, I),
        leaf(5, 20, 1).expand(5, 20, I),
    ):
        check(_gated(w), x.detach(), state, list(w.values()), rtol=1e-8)


def test_products_of_two_types_in_one_sum():
    single, double = leaf(H, H, dtype=lt.float32), leaf(H, H)

    def cell(x, h):
        h = lt.tanh(h @ double + (x @ single) + x.to(lt.float64) @ double)
        return h, h

    check(cell, leaf(4, 20, H, dtype=lt.float32), leaf(20, H), (single, double), rtol=1e-5)


@pytest.mark.parametrize("batch", [5, 20])
def test_sums_of_products_in_any_order(batch):
    u, w, v, b = leaf(I, H), leaf(H, H), leaf(H, H), leaf(H)
    x, z, h = leaf(T, batch, I), leaf(T, batch, I), leaf(batch, H)

    def state_first(x, h):
        h = lt.tanh(h @ w + x @ u + b)
        return h, h

    def inputs_only(xs, h):
        h = lt.tanh(h + (xs[0] @ u + xs[1] @ u))
        return h, h

    def seen(x, hs):
        y = hs[0] @ w + hs[1] @ v + b
        return y, (lt.tanh(y), lt.sigmoid(hs[1]))

    def carried(x, hs):
        y = hs[0] @ w + hs[1] @ v + b
        return y * hs[1], (y, hs[1] * 0.5)

    check(state_first, x, h, (u, w, b))
    check(inputs_only, (x, z), h, (u,))
    check(seen, x, (h, leaf(batch, H)), (w, v, b))
    check(carried, x, (h, leaf(batch, H)), (w, v, b))


def test_a_wrong_derivative_is_found_at_the_first_call(monkeypatch):
    from lectorium.autograd import steps

    w = leaf(H, H)

    def cell(x, h):
        h = lt.tanh(x + h @ w)
        return h, h

    right = steps._vjp
    monkeypatch.setattr(steps, "_vjp", lambda *a: tuple(None if g is None else g * 1.1 for g in right(*a)))
    with pytest.warns(RuntimeWarning, match="the recording's derivative is not the cell's"):
        outputs, _ = lt.scan(cell, leaf(T, B, H), leaf(B, H))
    assert outputs.grad_fn is not None


@pytest.mark.parametrize("kind", ["argument", "result", "draw"])
def test_gradients_of_gradients_stop_where_the_cell_detaches(kind):
    w = leaf(H, H)

    def cell(x, h):
        if kind == "argument":
            h = lt.tanh(x + h.detach() @ w)
            return h, h
        if kind == "draw":
            h = lt.sigmoid(x + h @ w)
            return h * lt.bernoulli(h), h
        h = lt.tanh(x + h @ w)
        return h, h.detach()

    def second(run):
        lt.manual_seed(1)
        x, h = leaf(T, B, H), leaf(B, H)
        outputs = flat(run(cell, x, h)[0])[0]
        first = lt.autograd.grad((outputs * outputs).sum(), [x, w], create_graph=True)
        return [*first, *lt.autograd.grad(sum((g * g).sum() for g in first), [x, w])]

    for a, b in zip(second(lt.scan), second(loop), strict=True):
        assert lt.allclose(a, b, rtol=1e-9)
