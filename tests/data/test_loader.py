"""The DataLoader: batches, shuffling, threads, errors and going on in the middle of an epoch."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.utils.data import (
    BatchSampler,
    ChainDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)


class Squares(Dataset[Any]):
    """Items (i, i * i); ``slow`` makes odd items late, ``bad`` fails."""

    def __init__(
        self, n: int = 20, slow: float = 0.0, bad: int = -1, error: type[Exception] = ValueError
    ) -> None:
        self.n, self.slow, self.bad, self.error = n, slow, bad, error
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, float]:
        if i == self.bad:
            raise self.error("this sample is broken")
        if self.slow and i % 2:
            time.sleep(self.slow)
        self.loaded.append(i)
        return i, float(i * i)


class Count(IterableDataset[int]):
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n))

    def __len__(self) -> int:
        return self.n


def lists(loader: Any) -> list[Any]:
    return [[part.tolist() for part in batch] for batch in loader]


def firsts(loader: Any) -> list[int]:
    return [i for batch in loader for i in batch[0].tolist()]


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("DataLoader")]


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 7},
        {"batch_size": 7, "drop_last": True},
        {"batch_size": None},
        {"batch_sampler": [[3, 1], [2], [0, 4, 5]]},
        {"batch_size": 4, "sampler": [9, 8, 1, 2, 3]},
    ],
)
def test_batches_and_length_are_those_of_pytorch(options: dict[str, Any], num_workers: int) -> None:
    torch = pytest.importorskip("torch")
    mine = DataLoader(Squares(), num_workers=num_workers, **options)
    theirs = torch.utils.data.DataLoader(Squares(), **options)
    assert len(mine) == len(theirs)
    got, want = list(mine), list(theirs)
    assert len(got) == len(want) == len(mine)
    for a, b in zip(got, want, strict=True):
        assert type(a) is type(b)
        for x, y in zip(a, b, strict=True):
            if isinstance(y, torch.Tensor):
                assert (x.tolist(), str(x.dtype)[10:]) == (y.tolist(), str(y.dtype)[6:])
            else:
                assert x == y


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("size", "drop_last"), [(3, False), (3, True), (None, False), (5, True)])
def test_an_iterable_data_set_gives_the_batches_of_pytorch(
    size: int | None, drop_last: bool, num_workers: int
) -> None:
    torch = pytest.importorskip("torch")

    class Same(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            return iter(range(10))

    theirs = torch.utils.data.DataLoader(Same(), batch_size=size, drop_last=drop_last)
    mine = DataLoader(Count(10), batch_size=size, drop_last=drop_last, num_workers=num_workers)
    plain = [x.tolist() if hasattr(x, "tolist") else x for x in mine]
    assert plain == [x.tolist() if hasattr(x, "tolist") else x for x in theirs]
    assert len(mine) == len(plain)


def test_the_order_depends_on_the_seed_and_not_on_the_number_of_threads() -> None:
    orders = []
    for num_workers in (0, 1, 4):
        lt.manual_seed(3)
        loader = DataLoader(Squares(50, slow=0.001), batch_size=4, shuffle=True, num_workers=num_workers)
        orders.append([firsts(loader), firsts(loader), lt.rand(2).tolist()])
    assert orders[0] == orders[1] == orders[2]
    assert sorted(orders[0][0]) == list(range(50))
    assert orders[0][0] != orders[0][1]
    lt.manual_seed(4)
    assert firsts(DataLoader(Squares(50), batch_size=4, shuffle=True)) != orders[0][0]


def test_a_generator_of_its_own_leaves_the_default_one_alone() -> None:
    lt.manual_seed(0)
    before = lt.get_rng_state().tolist()
    loader = DataLoader(Squares(), shuffle=True, generator=lt.Generator().manual_seed(5))
    order = firsts(loader)
    assert lt.get_rng_state().tolist() == before
    assert firsts(DataLoader(Squares(), shuffle=True, generator=lt.Generator().manual_seed(5))) == order


def test_a_loader_that_does_not_shuffle_draws_nothing() -> None:
    before = lt.get_rng_state().tolist()
    list(DataLoader(Squares(), num_workers=1))
    assert lt.get_rng_state().tolist() == before


class Tensors(TensorDataset):
    """The same items without the short way."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_tensor_data_set_is_gathered_as_if_item_by_item(num_workers: int) -> None:
    parts = (lt.rand(30, 4, 3), lt.arange(30), lt.rand(30) > 0.5)
    results = []
    for kind in (TensorDataset, Tensors):
        for data in (kind(*parts), Subset(kind(*parts), list(range(29, 3, -2)))):
            loader = DataLoader(data, batch_size=7, num_workers=num_workers)
            batches = list(loader)
            assert all(isinstance(b, list) for b in batches)
            results.append([[(x.tolist(), x.dtype) for x in b] for b in batches])
    assert results[0] == results[2]
    assert results[1] == results[3]


def test_a_gathered_batch_does_not_share_memory_with_the_data_set() -> None:
    x = lt.zeros(4, 2)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=4):
        batch += 1
    assert x.sum().item() == 0


def test_gradients_flow_through_a_gathered_batch() -> None:
    x = lt.ones(4, 2, requires_grad=True)
    for (batch,) in DataLoader(TensorDataset(x), batch_size=3):
        batch.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0]] * 4


def test_an_image_set_is_gathered_as_if_item_by_item() -> None:
    from lectorium.datasets._base import ImageDataset

    class Slow(ImageDataset):
        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(index)

    rng = np.random.RandomState(0)
    pixels = np.concatenate([np.arange(256, dtype=np.uint8), rng.randint(0, 256, 944).astype(np.uint8)])
    pixels, labels = pixels.reshape(12, 1, 10, 10), rng.randint(0, 3, 12)
    fast = DataLoader(ImageDataset(pixels, labels, ("a", "b", "c")), batch_size=5)
    slow = DataLoader(Slow(pixels, labels, ("a", "b", "c")), batch_size=5)
    for a, b in zip(fast, slow, strict=True):
        assert [(x.shape, x.dtype) for x in a] == [(x.shape, x.dtype) for x in b]
        assert lists([a]) == lists([b])
    flipped = ImageDataset(pixels, labels, ("a", "b", "c"), transform=lambda p: p[::-1].copy())
    assert next(iter(DataLoader(flipped, batch_size=2)))[0].tolist()[0] == pixels[0, 0, ::-1].tolist()


def test_getitems_is_asked_for_a_whole_batch() -> None:
    class Many(Squares):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [10 * i for i in indices]

    assert [b.tolist() for b in DataLoader(Many(4), batch_size=2)] == [[0, 10], [20, 30]]

    class Short(Squares):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [1]

    with pytest.raises(RuntimeError, match=r"Short.__getitems__ returned 1 samples for 2 indices"):
        list(DataLoader(Short(4), batch_size=2))


def test_a_collate_function_gets_the_list_of_samples() -> None:
    loader = DataLoader(Squares(3), batch_size=2, collate_fn=lambda batch: [i for i, _ in batch])
    assert list(loader) == [[0, 1], [2]]


# Threads


def test_threads_load_ahead_but_not_further_than_asked() -> None:
    data = Squares(40)
    batches = iter(DataLoader(data, batch_size=2, num_workers=2, prefetch_factor=3))
    next(batches)
    time.sleep(0.2)
    assert len(data.loaded) == 2 * (2 * 3)


def test_slow_samples_do_not_change_the_order() -> None:
    assert firsts(DataLoader(Squares(30, slow=0.005), batch_size=1, num_workers=4)) == list(range(30))


@pytest.mark.parametrize("num_workers", [0, 3])
def test_an_exception_reaches_the_loop_with_the_index_and_the_loop_may_go_on(num_workers: int) -> None:
    batches = iter(DataLoader(Squares(9, bad=4), batch_size=3, num_workers=num_workers))
    assert next(batches)[0].tolist() == [0, 1, 2]
    with pytest.raises(
        ValueError, match=r"(?s)broken.*while loading sample 4 of Squares.*batch of samples 3, 4, 5"
    ):
        next(batches)
    assert next(batches)[0].tolist() == [6, 7, 8]
    with pytest.raises(StopIteration):
        next(batches)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_stop_iteration_of_the_data_set_is_not_the_end_of_the_epoch(num_workers: int) -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration for sample 1"):
        list(DataLoader(Squares(3, bad=1, error=StopIteration), num_workers=num_workers))


@pytest.mark.parametrize("leave", ["exhausted", "broken off", "deleted", "failed"])
def test_no_thread_outlives_the_iteration(leave: str) -> None:
    assert not workers()
    loader = DataLoader(Squares(40, slow=0.002, bad=12 if leave == "failed" else -1), num_workers=3)
    if leave == "exhausted":
        list(loader)
    elif leave == "broken off":
        for _ in loader:
            assert workers()
            break
    elif leave == "deleted":
        batches = iter(loader)
        next(batches)
        del batches
    else:
        with pytest.raises(ValueError, match="broken"):
            list(loader)
    assert not workers()


@pytest.mark.skipif(sys.platform == "win32", reason="signals to oneself are POSIX")
def test_ctrl_c_ends_the_loop_and_its_threads_at_once() -> None:
    def interrupt() -> None:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    loader = DataLoader(Squares(400, slow=0.05), num_workers=2, batch_size=8)
    threading.Thread(target=interrupt).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in loader:
            pass
    assert time.monotonic() - begun < 1.0
    assert not workers()


def test_two_iterations_of_one_loader_do_not_disturb_each_other() -> None:
    loader = DataLoader(Squares(10), num_workers=2)
    pairs = [(a[0].item(), b[0].item()) for a, b in zip(loader, loader, strict=True)]
    assert pairs == [(i, i) for i in range(10)]


def test_a_timeout_is_an_error() -> None:
    loader = DataLoader(Squares(2, slow=0.5), num_workers=1, timeout=0.05)
    batches = iter(loader)
    next(batches)
    with pytest.raises(RuntimeError, match=r"timed out after 0.05 seconds"):
        next(batches)


def test_workers_know_who_they_are() -> None:
    class Who(Squares):
        def __getitem__(self, i: int) -> Any:
            time.sleep(0.005)
            info = get_worker_info()
            assert info is not None
            return info.id, info.num_workers, info.seed

    begun: list[int] = []
    rows = [tuple(x.item() for x in b) for b in DataLoader(Who(), num_workers=2, worker_init_fn=begun.append)]
    assert sorted(begun) == [0, 1]
    assert {r[1] for r in rows} == {2}
    assert len({r[2] for r in rows}) == len({r[0] for r in rows}) == 2
    assert get_worker_info() is None


def test_a_failing_worker_init_fn_is_reported() -> None:
    def fail(worker: int) -> None:
        raise OSError("no such disk")

    with pytest.raises(OSError, match=r"(?s)no such disk.*worker_init_fn of worker 0"):
        list(DataLoader(Squares(), num_workers=1, worker_init_fn=fail))
    assert not workers()


# Going on in the middle of an epoch


def kinds() -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    weights = [0.1 * i for i in range(20)]
    return [
        ("plain", lambda: {}),
        ("shuffled", lambda: {"shuffle": True}),
        ("own generator", lambda: {"shuffle": True, "generator": lt.Generator().manual_seed(9)}),
        ("replacement", lambda: {"sampler": RandomSampler(range(20), replacement=True, num_samples=33)}),
        ("subset", lambda: {"sampler": SubsetRandomSampler(range(3, 17))}),
        ("weighted", lambda: {"sampler": WeightedRandomSampler(weights, 25)}),
    ]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("name", "options"), kinds())
def test_a_new_process_goes_on_in_the_middle_of_an_epoch(
    name: str, options: Callable[[], dict[str, Any]], num_workers: int, tmp_path: Any
) -> None:
    def make() -> Any:
        return DataLoader(Squares(), batch_size=3, num_workers=num_workers, **options())

    def train(loader: Any, epochs: int, state: Any = None) -> list[Any]:
        # Each step draws from the default generator, as dropout does.
        seen = []
        for epoch in range(epochs):
            for i, batch in enumerate(loader):
                seen.append((batch[0].tolist(), lt.rand(1).item()))
                if state is not None and epoch == 1 and i == 2:
                    lt.save({"loader": loader.state_dict(), "random": lt.get_rng_state()}, state)
                    return seen
        return seen

    lt.manual_seed(1)
    want = train(make(), 3)
    lt.manual_seed(1)
    path = tmp_path / "state.safetensors"
    before = train(make(), 3, path)
    saved = lt.load(path)
    lt.manual_seed(77)
    loader = make()
    loader.load_state_dict(saved["loader"])
    lt.set_rng_state(saved["random"])
    assert loader.state_dict()["batches"] == 3
    assert before + train(loader, 2) == want


def test_batches_already_used_are_not_loaded_again() -> None:
    data = Squares(12)
    loader = DataLoader(data, batch_size=3)
    batches = iter(loader)
    next(batches), next(batches)
    state = loader.state_dict()
    data.loaded.clear()
    loader.load_state_dict(state)
    assert firsts(loader) == list(range(6, 12))
    assert data.loaded == list(range(6, 12))
    assert firsts(loader) == list(range(12))


def test_between_epochs_the_state_is_that_of_a_new_epoch() -> None:
    loader = DataLoader(Squares(5), shuffle=True)
    assert loader.state_dict() == {"batches": 0, "sampler": {}}
    list(loader)
    assert loader.state_dict() == {"batches": 0, "sampler": {}}


def test_an_iterable_data_set_goes_on_too() -> None:
    loader = DataLoader(Count(7), batch_size=2)
    batches = iter(loader)
    next(batches)
    loader.load_state_dict(loader.state_dict())
    assert [b.tolist() for b in loader] == [[2, 3], [4, 5], [6]]


def test_a_state_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="not the state_dict of a DataLoader"):
        DataLoader(Squares()).load_state_dict({"epoch": 3})
    with pytest.raises(ValueError, match="differ in generator="):
        DataLoader(Squares(), generator=lt.Generator()).load_state_dict({"batches": 0, "sampler": {}})


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_workers": -1}, ValueError, "num_workers option should be non-negative"),
        ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
        ({"prefetch_factor": 2}, ValueError, "prefetch_factor needs num_workers > 0"),
        ({"num_workers": 1, "prefetch_factor": 0}, ValueError, "prefetch_factor must be at least 1"),
        ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
        ({"batch_size": 0}, ValueError, "batch_size should be a positive integer value"),
        ({"batch_size": 2.5}, ValueError, "batch_size should be a positive integer value"),
        ({"drop_last": 1}, ValueError, "drop_last should be a boolean"),
        ({"sampler": [1], "shuffle": True}, ValueError, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[1]], "batch_size": 2}, ValueError, "batch_sampler option is mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, ValueError, "drop_last cannot drop"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        DataLoader(Squares(), **options)


def test_wrong_data_sets_are_named() -> None:
    with pytest.raises(TypeError, match="dataset needs __getitem__ and __len__"):
        DataLoader(3)
    with pytest.raises(ValueError, match="IterableDataset: expected unspecified shuffle"):
        DataLoader(Count(3), shuffle=True)
    with pytest.raises(ValueError, match="IterableDataset: expected unspecified sampler"):
        DataLoader(Count(3), sampler=[1])
    with pytest.raises(IndexError, match=r"(?s)TensorDataset: index 9 is out of range for a length of 3"):
        list(DataLoader(TensorDataset(lt.arange(3)), sampler=[0, 9]))
    with pytest.raises(TypeError, match="only supports IterableDataset, number 0 is a list"):
        ChainDataset([[1]])


def test_an_empty_data_set_gives_no_batches() -> None:
    for num_workers in (0, 1):
        for shuffle in (False, True):
            assert list(DataLoader(Squares(0), shuffle=shuffle, num_workers=num_workers)) == []


def test_a_batch_sampler_can_shuffle() -> None:
    lt.manual_seed(0)
    loader = DataLoader(Squares(10), batch_sampler=BatchSampler(RandomSampler(range(10)), 4, True))
    assert len(loader) == 2
    assert [len(b[0]) for b in loader] == [4, 4]
