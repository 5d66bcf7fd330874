"""MNIST and Fashion-MNIST: 60,000 + 10,000 grey pictures of 28x28."""

from pathlib import Path
from typing import ClassVar

import numpy as np

from ._base import I64, U8, ImageDataset, Transform
from ._errors import DataError
from ._places import Root, download_folder, find, folders, missing
from .idx import read_idx


class MNIST(ImageDataset):
    """Handwritten digits: 60,000 to train on, 10,000 to test on.

    Looked for in `root`, in ``$LECTORIUM_DATA/mnist``, in the cache, and then downloaded (into `root`,
    if given, otherwise into the cache). The files may be packed (.gz) or not.

    `images`: uint8 [N, 28, 28], 0 is paper. `labels`: int64 [N]. Items: see `ImageDataset`.
    Errors: DataError for a damaged file, FileNotFoundError with download=False, DownloadError.
    Source: LeCun, Bottou, Bengio and Haffner (1998), Gradient-based learning applied to document
    recognition; http://yann.lecun.com/exdb/mnist/.

    >>> MNIST.names[:3]
    ('0', '1', '2')
    """

    names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    folder: ClassVar[str] = "mnist"
    aliases: ClassVar[tuple[str, ...]] = ("MNIST/raw",)  # where torchvision puts it
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    digests: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }

    def __init__(
        self,
        root: Root = None,
        train: bool = True,
        transform: Transform = None,
        target_transform: Transform = None,
        download: bool = True,
    ) -> None:
        kind = "train" if train else "t10k"
        images, labels = self._locate(
            root, (f"{kind}-images-idx3-ubyte", f"{kind}-labels-idx1-ubyte"), download
        )
        pixels, targets = self._read(images, labels)
        super().__init__(pixels, targets, self.names, transform, target_transform)
        self.train = train

    @classmethod
    def _locate(cls, root: Root, wanted: tuple[str, str], download: bool) -> tuple[Path, Path]:
        looked = folders(root, (cls.folder, *cls.aliases))
        for folder in looked:
            images, labels = (find(folder, (name, f"{name}.gz")) for name in wanted)
            if images is not None and labels is not None:
                return images, labels
        if not download:
            what = f"{wanted[0]} and {wanted[1]} (or .gz)"
            raise FileNotFoundError(missing(cls.__name__, what, looked, cls.folder))
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        target = download_folder(root, cls.folder)
        packed = [(f"{name}.gz", cls.digests[name]) for name in wanted]
        images, labels = (
            fetch(Remote(name, tuple(mirror + name for mirror in cls.mirrors), digest), target)
            for name, digest in packed
        )
        return images, labels

    @classmethod
    def _read(cls, images: Path, labels: Path) -> tuple[U8, I64]:
        pixels, targets = read_idx(images), read_idx(labels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[1:] != (28, 28):
            raise DataError(
                f"{images}: expected uint8 pictures of shape (N, 28, 28), "
                f"found {pixels.dtype} of shape {pixels.shape}"
            )
        if targets.dtype != np.uint8 or targets.ndim != 1:
            raise DataError(
                f"{labels}: expected uint8 labels of shape (N,), "
                f"found {targets.dtype} of shape {targets.shape}"
            )
        if len(pixels) != len(targets):
            raise DataError(f"{images} has {len(pixels)} pictures, but {labels} has {len(targets)} labels")
        if len(targets) and int(targets.max()) >= len(cls.names):
            at = int(np.argmax(targets >= len(cls.names)))
            raise DataError(
                f"{labels}: label {int(targets[at])} at position {at} is not in 0..{len(cls.names) - 1}"
            )
        return pixels[:, None], targets.astype(np.int64)


class FashionMNIST(MNIST):
    """Pictures of clothes in MNIST's format and sizes: a drop-in replacement that is harder.

    Looked for as `MNIST` is, under ``fashion-mnist``. Same shapes, dtypes and errors.
    Source: Xiao, Rasul and Vollgraf (2017), Fashion-MNIST, arXiv:1708.07747.

    >>> FashionMNIST.names[9]
    'Ankle boot'
    """

    names: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    folder: ClassVar[str] = "fashion-mnist"
    aliases: ClassVar[tuple[str, ...]] = ("FashionMNIST/raw",)
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )
    # The publisher gives md5 alone.
    digests: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
