"""Operations: each with its forward and its vector-Jacobian product, one file a family.

Every name that a vjp calls exists here (differentiable) and in ``lectorium._core`` (raw kernels).
"""

# pyright: reportUnusedImport=false
from .._core import meta as meta, zeros_of as zeros_of
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .conv import *  # noqa: F403
from .copy import *  # noqa: F403
from .crf import *  # noqa: F403
from .ctc import *  # noqa: F403
from .elementwise import *  # noqa: F403
from .index import *  # noqa: F403
from .join import *  # noqa: F403
from .linear import *  # noqa: F403
from .loss import *  # noqa: F403
from .norm import *  # noqa: F403
from .pool import *  # noqa: F403
from .random import *  # noqa: F403
from .recurrent import sequence as sequence
from .reduce import *  # noqa: F403
from .scan import *  # noqa: F403
from .shape import *  # noqa: F403
from .softmax import *  # noqa: F403
from .unary import *  # noqa: F403

# Whether every kernel with a fused derivative has it under its own name: not where derivatives are recorded.
fused = False
