"""The pictures of the lectures, as PNG. Matplotlib is imported when the first one is drawn.

Example:
    >>> png = lt.plot.confusion(np.array([[5, 1], [0, 6]]), ("cat", "dog"), "pets")
    >>> png[:4]
    b'\\x89PNG'
"""

from __future__ import annotations

from .classifier import confusion, mistakes
from .convolution import feature_maps, filters
from .curves import curves
from .gates import gate_curves, gates
from .gradients import error_curves, gradient_flow, gradient_norms
from .letters import letter_scores, units_page
from .sequences import alignment, attention

__all__ = [
    "alignment",
    "attention",
    "confusion",
    "curves",
    "error_curves",
    "feature_maps",
    "filters",
    "gate_curves",
    "gates",
    "gradient_flow",
    "gradient_norms",
    "letter_scores",
    "mistakes",
    "units_page",
]
