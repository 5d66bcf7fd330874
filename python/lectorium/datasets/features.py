"""Features of speech: how much energy each band of pitches has, from one instant to the next."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

F32 = NDArray[np.float32]


def log_mel(
    samples: ArrayLike,
    rate: int = 8000,
    bands: int = 40,
    frame: float = 0.032,
    hop: float = 0.016,
) -> F32:
    """Return the log-mel spectrogram of a sound, float32 [frames, bands].

    Frames of `frame` seconds, one each `hop` seconds, under a Hann window; the squared magnitudes of their
    Fourier transform; triangular filters evenly spaced on the mel scale, from 0 to half the sampling rate;
    the logarithm. `samples`: [N], int16 or floats in -1..1. The last frame is filled up with zeros.
    Errors: ValueError for no samples, for more than one channel, for bands too many for the frame, and for
    a rate, frame or hop that is not above 0.
    Source: Davis and Mermelstein (1980), Comparison of parametric representations for monosyllabic word
    recognition, without the final cosine transform.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> features = log_mel(tone)
    >>> features.shape, int(features[10].argmax()) == int(features[40].argmax())
    ((62, 40), True)
    """
    sound = np.asarray(samples)
    if sound.ndim != 1 or not len(sound):
        raise ValueError(f"log_mel: expected the samples of one channel, [N] with N > 0, got {sound.shape}")
    if not (rate > 0 and frame > 0 and hop > 0):
        raise ValueError(f"log_mel: rate, frame and hop must be above 0, got {rate}, {frame} and {hop}")
    scale = 32768 if sound.dtype == np.int16 else 1
    length, step = max(2, round(frame * rate)), max(1, round(hop * rate))
    count = max(1, -(-(len(sound) - length) // step) + 1)
    padded = np.zeros((count - 1) * step + length, np.float32)
    padded[: len(sound)] = sound / np.float32(scale)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::step]
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    size = 1 << (length - 1).bit_length()
    power = np.abs(np.fft.rfft(frames * window, size)) ** 2
    # The floor is about what the last bit of a 16-bit recording has: silence is no -infinity.
    return np.log(power @ mel_filters(bands, size, rate).T + 1e-6).astype(np.float32)


def mel_filters(bands: int, size: int, rate: int) -> F32:
    """Return the filter bank, float32 [bands, size // 2 + 1]: overlapping triangles that are 1 at their top.

    Errors: ValueError where a filter would lie between two frequencies of the transform and stay empty.

    >>> mel_filters(40, 256, 8000).shape
    (40, 129)
    """
    pitches = np.linspace(0, hertz_to_mel(rate / 2), bands + 2)
    edges = 700 * (10 ** (pitches / 2595) - 1)
    found = np.arange(size // 2 + 1) * rate / size
    rising = (found - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - found) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    if bands < 1 or not filters.any(axis=1).all():
        raise ValueError(
            f"mel_filters: {bands} bands are too many or too few for a transform of {size} samples; "
            "take fewer bands or longer frames"
        )
    return filters


def hertz_to_mel(frequency: float) -> float:
    """Return the pitch in mel: 1000 for 1000 hertz, and nearly the logarithm above (O'Shaughnessy 1987).

    >>> round(hertz_to_mel(1000))
    1000
    """
    return 2595 * float(np.log10(1 + frequency / 700))
