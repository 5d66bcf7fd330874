"""Data sets made of others, samplers, and making batches."""

from collections import Counter, namedtuple
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.utils.data import (
    BatchSampler,
    ConcatDataset,
    Dataset,
    IterableDataset,
    RandomSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    random_split,
)

Point = namedtuple("Point", ["x", "y"])


def plain(value: Any) -> Any:
    """Tensors of either library as (dtype, list)."""
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return str(value.dtype).rpartition(".")[2], value.tolist()
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return (
            type(value)(*map(plain, value)) if hasattr(value, "_fields") else type(value)(map(plain, value))
        )
    return value


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        [1.5, 2],
        [True, False],
        ["a", "b"],
        [b"a", b"b"],
        [np.float32(1), np.float32(2)],
        [np.int16(1), np.int16(2)],
        [np.arange(3), np.arange(3) + 1],
        [np.ones((2, 2), np.uint8)] * 3,
        [(1, 2.0), (3, 4.0)],
        [[1, "a"], [2, "b"]],
        [{"x": 1, "y": (1.0, "s")}, {"x": 2, "y": (2.0, "t")}],
        [Point(1, 2.0), Point(3, 4.0)],
        [Counter(a=1), Counter(a=2)],
    ],
)
def test_collating_is_that_of_pytorch(batch: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    got, want = default_collate(batch), torch.utils.data.default_collate(batch)
    assert plain(got) == plain(want)
    assert type(got) is type(want) or isinstance(got, lt.Tensor)


def test_tensors_are_stacked_and_keep_their_gradients() -> None:
    x = lt.ones(2, requires_grad=True)
    made = default_collate([(x, 1), (x * 2, 2)])
    assert made[0].tolist() == [[1.0, 1.0], [2.0, 2.0]]
    made[0].sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("batch", "error", "match"),
    [
        ([], ValueError, "empty batch"),
        (
            [lt.ones(2), lt.ones(3)],
            lt.ShapeError,
            r"got \[2\] at entry 0 and \[3\] at entry 1; pad the samples",
        ),
        ([(1, 2), (1,)], RuntimeError, "should be of equal size"),
        ([None, None], TypeError, "found NoneType; pass a collate_fn"),
        ([np.array("a")], TypeError, "cannot become tensors"),
    ],
)
def test_what_makes_no_batch_is_named(batch: list[Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        default_collate(batch)


def test_converting_goes_into_containers() -> None:
    made = default_convert({"a": (np.arange(2), "s"), "p": Point(np.float64(1.5), 2), "l": [3]})
    assert plain(made) == {"a": [("int64", [0, 1]), "s"], "p": Point(("float64", 1.5), 2), "l": [3]}


def test_parts_of_data_sets() -> None:
    both = ConcatDataset(["ab", "cde"])
    assert "".join(both[i] for i in range(len(both))) == "abcde"
    assert (both[-1], both[-5]) == ("e", "a")
    for i in (5, -6):
        with pytest.raises(IndexError, match=f"index {i} is out of range for a length of 5"):
            both[i]
    assert list(Subset("abcde", [3, 1])) == ["d", "b"]
    assert StackDataset("ab", [1, 2])[1] == ("b", 2)


def test_data_sets_add_up() -> None:
    class One(Dataset[int]):
        def __getitem__(self, i: int) -> int:
            return i

        def __len__(self) -> int:
            return 2

    class Two(IterableDataset[int]):
        def __iter__(self) -> Any:
            return iter([5, 6])

    assert [(One() + One())[i] for i in range(4)] == [0, 1, 0, 1]
    assert list(Two() + Two()) == [5, 6, 5, 6]
    with pytest.raises(ValueError, match="use ChainDataset"):
        ConcatDataset([Two()])


def test_wrong_tensors_make_no_data_set() -> None:
    with pytest.raises(ValueError, match="tensor 0 has 3 rows, tensor 1 has 2"):
        TensorDataset(lt.ones(3), lt.ones(2))
    with pytest.raises(TypeError, match="argument 0 is a ndarray; convert it with"):
        TensorDataset(np.ones(3))
    with pytest.raises(ValueError, match="tensor 0 is a scalar"):
        TensorDataset(lt.tensor(1.0))
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()
    with pytest.raises(ValueError, match="size mismatch"):
        StackDataset("ab", "abc")


@pytest.mark.parametrize("lengths", [[7, 3], [0.7, 0.3], [0.35, 0.35, 0.3]])
def test_a_random_split_has_the_lengths_of_pytorch_and_every_item_once(lengths: list[Any]) -> None:
    torch = pytest.importorskip("torch")
    parts = random_split(range(10), lengths, lt.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [len(p) for p in torch.utils.data.random_split(range(10), lengths)]
    assert sorted(i for p in parts for i in p) == list(range(10))
    again = random_split(range(10), lengths, lt.Generator().manual_seed(1))
    assert [list(p) for p in parts] == [list(p) for p in again]


def test_a_split_must_fit() -> None:
    with pytest.raises(ValueError, match="does not equal the length of the input dataset: 8, 10"):
        random_split(range(10), [5, 3])
    with pytest.raises(ValueError, match="fraction at index 0 is not between 0 and 1"):
        random_split(range(10), [1.5, -0.5])
    with pytest.raises(ValueError, match="length at index 0 must be a count"):
        random_split(range(10), [2.5, 7.5])
    with pytest.warns(UserWarning, match="index 1 has length 0"):
        random_split(range(1), [0.9, 0.1])


def test_random_samplers_draw_what_they_promise() -> None:
    lt.manual_seed(0)
    assert sorted(RandomSampler(range(9))) == list(range(9))
    twice = list(RandomSampler(range(4), num_samples=10))
    assert sorted(twice[:4]) == sorted(twice[4:8]) == [0, 1, 2, 3]
    assert len(twice) == 10
    free = list(RandomSampler(range(50), replacement=True, num_samples=200))
    assert len(free) == 200
    assert set(free) <= set(range(50))
    assert max(Counter(free).values()) > 4
    assert sorted(SubsetRandomSampler([7, 3, 9])) == [3, 7, 9]
    drawn = Counter(WeightedRandomSampler([1.0, 3.0, 0.0], 4000))
    assert drawn[2] == 0
    assert 0.7 < drawn[1] / 4000 < 0.8
    assert sorted(WeightedRandomSampler([1.0, 3.0, 5.0], 3, replacement=False)) == [0, 1, 2]


def test_a_sampler_draws_its_seed_when_the_iteration_begins() -> None:
    lt.manual_seed(0)
    order = list(RandomSampler(range(20)))
    lt.manual_seed(0)
    indices = iter(RandomSampler(range(20)))
    lt.rand(5)
    assert list(indices) == order


def test_a_sampler_repeats_the_epoch_of_its_state() -> None:
    sampler = RandomSampler(range(20))
    assert sampler.state_dict() == {"seed": None}
    order = list(sampler)
    other = RandomSampler(range(20))
    other.load_state_dict(sampler.state_dict())
    before = lt.get_rng_state().tolist()
    assert list(other) == order
    assert lt.get_rng_state().tolist() == before
    assert list(other) != order


def test_batches_of_indices() -> None:
    assert list(BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert [len(BatchSampler(range(n), 3, d)) for n in (6, 7) for d in (False, True)] == [2, 2, 3, 2]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: RandomSampler([1], replacement=1), TypeError, "replacement should be a bool"),
        (lambda: RandomSampler([1], num_samples=0), ValueError, "num_samples should be a positive integer"),
        (lambda: list(RandomSampler([], num_samples=2)), ValueError, "2 samples from an empty data set"),
        (lambda: WeightedRandomSampler([1.0], -1), ValueError, "num_samples should be a positive integer"),
        (lambda: WeightedRandomSampler([[1.0]], 1), ValueError, r"1d sequence, got shape \[1, 1\]"),
        (lambda: BatchSampler([1], 0, False), ValueError, "batch_size should be a positive integer"),
        (lambda: BatchSampler([1], 1, 0), ValueError, "drop_last should be a boolean"),
    ],
)
def test_wrong_arguments_are_named(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("state", [{}, {"seed": 1.5}, {"seed": -1}, [3], None])
def test_a_sampler_takes_only_its_own_kind_of_state(state: Any) -> None:
    sampler = lt.data.RandomSampler(range(3))
    with pytest.raises(
        ValueError, match=r"RandomSampler.load_state_dict: expected what state_dict\(\) returned"
    ):
        sampler.load_state_dict(state)
