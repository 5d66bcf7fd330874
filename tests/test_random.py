"""Random numbers: the same for a seed whatever the number of threads, independent streams, right moments."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import lectorium as lt

DRAWS: dict[str, Any] = {
    "rand": lambda g, n: lt.rand(n, generator=g), "randn": lambda g, n: lt.randn(n, generator=g), "rand double": lambda g, n: lt.rand(n, generator=g, dtype=lt.float64),
    "randn double": lambda g, n: lt.randn(n, generator=g, dtype=lt.float64), "randint": lambda g, n: lt.randint(-5, 1000, (n,), generator=g), "randperm": lambda g, n: lt.randperm(n, generator=g),
    "bernoulli": lambda g, n: lt.bernoulli(lt.full((n,), 0.3), generator=g), "normal": lambda g, n: lt.normal(2.0, 3.0, (n,), generator=g), "uniform_": lambda g, n: lt.empty(n).uniform_(-1, 1, generator=g),
    "exponential_": lambda g, n: lt.empty(n).exponential_(2.0, generator=g), "multinomial": lambda g, n: lt.multinomial(lt.arange(1.0, 51.0), n, True, generator=g), "random_": lambda g, n: lt.zeros(n, dtype=lt.int64).random_(generator=g),
    "without replacement": lambda g, n: lt.multinomial(lt.ones(n), min(n, 500), generator=g), "odd shape": lambda g, n: lt.randn(7, n // 7 + 1, generator=g),
}  # fmt: skip


@pytest.fixture
def threads() -> Any:
    before = lt.get_num_threads()
    yield lt.set_num_threads
    lt.set_num_threads(before)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [1, 5, 1000, 300_001])
def test_a_seed_gives_the_same_numbers_on_one_two_and_seven_threads(name: str, n: int, threads: Any) -> None:
    results = []
    for count in (1, 2, 7):
        threads(count)
        g = lt.Generator().manual_seed(42)
        results.append((DRAWS[name](g, n), DRAWS[name](g, n)))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert lt.equal(a, b)
    first, second = results[0]
    if n >= 1000 and name not in ("bernoulli",):
        assert not lt.equal(first, second)


@pytest.mark.parametrize("name", DRAWS)
def test_generators_are_independent_of_each_other_and_of_the_default(name: str) -> None:
    draw = DRAWS[name]
    a, b = lt.Generator().manual_seed(1), lt.Generator().manual_seed(1)
    other = lt.Generator().manual_seed(2)
    x = draw(a, 2000)
    lt.rand(17)
    draw(other, 3)
    assert lt.equal(x, draw(b, 2000))
    assert not lt.equal(draw(lt.Generator().manual_seed(3), 2000), x)


def test_the_default_generator_is_seeded_by_manual_seed() -> None:
    lt.manual_seed(7)
    assert lt.initial_seed() == 7
    a = lt.rand(10), lt.randn(10), lt.randperm(10)
    lt.manual_seed(7)
    b = lt.rand(10), lt.randn(10), lt.randperm(10)
    assert all(lt.equal(x, y) for x, y in zip(a, b, strict=True))
    assert lt.manual_seed(-1).initial_seed() == 2**64 - 1
    assert lt.seed() == lt.initial_seed()


def test_the_state_can_be_kept_and_restored() -> None:
    for get, put in (
        (lt.get_rng_state, lt.set_rng_state),
        (lt.default_generator.get_state, lt.default_generator.set_state),
    ):
        lt.randn(13)
        state = get()
        a = lt.randn(100), lt.rand(3)
        put(state)
        b = lt.randn(100), lt.rand(3)
        assert all(lt.equal(x, y) for x, y in zip(a, b, strict=True))
    g = lt.Generator().manual_seed(2**63 + 5)
    lt.rand(9, generator=g)
    twin = pickle.loads(pickle.dumps(g))
    assert twin.initial_seed() == 2**63 + 5
    assert lt.equal(lt.rand(9, generator=g), lt.rand(9, generator=twin))


def test_moments_and_ranges_are_those_of_the_distributions() -> None:
    n = 200_000
    u = lt.rand(n).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    z = lt.randn(n).numpy()
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**3).mean()) < 0.03
    assert abs((z**4).mean() - 3) < 0.1
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01
    assert np.abs(z).max() > 4
    e = lt.empty(n).exponential_(2.0).numpy()
    assert e.min() >= 0
    assert abs(e.mean() - 0.5) < 0.01
    i = lt.randint(3, 8, (n,)).numpy()
    assert set(i.tolist()) == {3, 4, 5, 6, 7}
    assert abs(np.bincount(i)[3:] / n - 0.2).max() < 0.01
    assert abs(lt.bernoulli(lt.full((n,), 0.3)).mean().item() - 0.3) < 0.01
    m = lt.multinomial(lt.tensor([1.0, 3.0, 6.0]), n, True).numpy()
    assert abs(np.bincount(m) / n - [0.1, 0.3, 0.6]).max() < 0.01
    big = lt.randint(-(2**62), 2**62, (1000,)).numpy()
    assert abs(big / 2.0**62).max() > 0.98


def test_a_uniform_number_never_reaches_its_upper_end() -> None:
    x = lt.empty(1_000_000).uniform_(0, 1e-3)
    assert x.max().item() < 1e-3
    x = lt.empty(1_000_000).uniform_(1, 1 + 1e-6)
    assert x.max().item() <= 1 + 1e-6


def test_permutations_and_draws_without_replacement_repeat_nothing() -> None:
    for n in (0, 1, 2, 17, 10_000):
        assert sorted(lt.randperm(n).tolist()) == list(range(n))
    rows = lt.multinomial(lt.rand(50, 20) + 0.1, 20)
    assert (rows.sort(1).values == lt.arange(20)).all()
    counts = np.zeros((3, 3))
    for _ in range(3000):
        p = lt.randperm(3).tolist()
        for place, value in enumerate(p):
            counts[place, value] += 1
    assert abs(counts / 3000 - 1 / 3).max() < 0.05


def test_zero_weights_are_never_drawn() -> None:
    m = lt.multinomial(lt.tensor([0.0, 1.0, 0.0, 2.0]), 5000, True)
    assert set(m.tolist()) == {1, 3}


def test_normal_takes_tensors_for_mean_and_standard_deviation() -> None:
    x = lt.normal(lt.tensor([0.0, 100.0]).expand(5000, 2), lt.tensor([1.0, 0.0]))
    assert (x[:, 1] == 100).all()
    assert abs(x[:, 0].std().item() - 1) < 0.05
    assert lt.normal(5.0, lt.zeros(3)).tolist() == [5.0] * 3


def test_shapes_of_nothing_draw_nothing() -> None:
    state = lt.get_rng_state().tolist()
    for make in (
        lambda: lt.rand(0),
        lambda: lt.randn(0, 3),
        lambda: lt.randint(5, (0,)),
        lambda: lt.randperm(0),
    ):
        assert make().numel() == 0
    assert len(state) == 4
