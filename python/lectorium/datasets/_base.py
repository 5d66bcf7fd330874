"""What all picture data sets share: length, items, arrays."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
I64 = NDArray[np.int64]
Transform = Callable[[Any], Any] | None


def as_tensor(array: NDArray[Any]) -> Any:
    """Return the array as a `lectorium.Tensor`, without a copy where there is a choice."""
    # Imported here so that arrays can be had, and tested, without the compiled core.
    import importlib

    return importlib.import_module("lectorium").from_numpy(array)


def check_index(index: SupportsIndex, length: int, name: str) -> int:
    """Return `index` as an int in 0..length-1; otherwise IndexError, or TypeError when it is no integer.

    >>> check_index(np.int64(2), 3, "MNIST")
    2
    """
    try:
        position = operator.index(index)
    except TypeError:
        raise TypeError(f"{name}: index must be an integer, got {type(index).__name__}") from None
    if not 0 <= position < length:
        limits = f"0 to {length - 1}" if length else "none: the data set is empty"
        raise IndexError(f"{name}: index {position} is out of range (valid: {limits})")
    return position


class ImageDataset:
    """Pictures with one label each; the base of every classification set here.

    `images`: uint8 [N, H, W], or [N, H, W, C] for colour. `labels`: int64 [N]. `classes`: the labels'
    names. An item is ``(image, label)``: by default a float32 Tensor [C, H, W] in 0..1 and an int;
    `transform` gets the uint8 picture instead and its result is passed on as it is.
    Errors: IndexError for an index outside 0..N-1.

    >>> data = ImageDataset(np.zeros((3, 1, 2, 2), np.uint8), np.arange(3), ("a", "b", "c"), transform=np.sum)
    >>> len(data), data.images.shape, int(data[2][0]), data[2][1]
    (3, (3, 2, 2), 0, 2)
    """

    def __init__(
        self,
        pixels: U8,
        labels: I64,
        classes: tuple[str, ...],
        transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:
        self._pixels = pixels  # [N, C, H, W]
        self.labels: I64 = labels
        self.classes = classes
        self.transform = transform
        self.target_transform = target_transform

    @property
    def images(self) -> U8:
        """The pictures, uint8: [N, H, W] for one channel, otherwise [N, H, W, C]; a view, no copy."""
        return self._pixels[:, 0] if self._pixels.shape[1] == 1 else self._pixels.transpose(0, 2, 3, 1)

    @property
    def data(self) -> U8:
        """`images` under torchvision's name."""
        return self.images

    @property
    def targets(self) -> I64:
        """`labels` under torchvision's name."""
        return self.labels

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class name."""
        return {name: label for label, name in enumerate(self.classes)}

    def arrays(self) -> tuple[U8, I64]:
        """Return everything at once: uint8 [N, C, H, W] and int64 [N], the data set's own arrays.

        Example:
            >>> data = ImageDataset(np.zeros((3, 1, 2, 2), np.uint8), np.arange(3), ("a", "b", "c"))
            >>> pixels, labels = data.arrays()
            >>> pixels.shape, labels.tolist()
            ((3, 1, 2, 2), [0, 1, 2])
        """
        return self._pixels, self.labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, Any]:
        i = check_index(index, len(self), type(self).__name__)
        if self.transform is None:
            image = as_tensor(self._pixels[i].astype(np.float32) / np.float32(255))
        else:
            image = self.transform(self.images[i])
        label = int(self.labels[i])
        return image, label if self.target_transform is None else self.target_transform(label)

    def _fetch_batch(self, indices: Sequence[int]) -> Any:
        """The collated batch at once, as `DataLoader` asks for it; NotImplemented where items differ."""
        plain = type(self).__getitem__ is ImageDataset.__getitem__
        if not plain or self.transform is not None or self.target_transform is not None:
            return NotImplemented
        at = [check_index(i, len(self), type(self).__name__) for i in indices]
        pixels = self._pixels[at].astype(np.float32)
        pixels /= np.float32(255)
        return [as_tensor(pixels), as_tensor(self.labels[at].astype(np.int64, copy=False))]

    def __repr__(self) -> str:
        shape = "x".join(str(side) for side in self._pixels.shape[1:])
        return f"{type(self).__name__}({len(self)} images of {shape}, {len(self.classes)} classes)"
