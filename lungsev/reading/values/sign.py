"""Stored values: which bits of a word are the value, and whether the uppermost of them is a sign.

Headers are wrong about both at times (PixelRepresentation, BitsStored). Neighbouring pixels tell: an image read with
the wrong sign, or cut off at a bit, jumps by the whole range where its values pass that bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Stored = npt.NDArray[np.integer]
Unsigned = npt.NDArray[np.unsignedinteger]

JUDGED_ROWS = 256
# Share of the neighbours on two sides of the sign bit, without the image's extremes, that are nearer to each other
# under the other sign. Real images: at most 0.05 under their own sign, at least 0.99 under a wrong one.
SMOOTHER = 0.9
EITHER = 0.3
# Share of all neighbours that votes so. Real images: 0.005 to 0.015 where their sign is wrong; letters reach 0.001.
VOTES = 0.002
FEWEST_VOTES = 0.0002


def stored_values(
    decoded: npt.NDArray[np.generic],
    bits: int,
    signed: bool,
    high_bit: int | None = None,
    *,
    sign_is_sure: bool = False,
) -> tuple[Stored, tuple[str, ...]]:
    """Remove unused bits and extend the sign, in the smallest native type that holds them.

    Bits above the stored ones are overlays of old units, or the image's own where BitsStored is too small.

    Args:
        decoded: uint8, uint16, int8 or int16 [rows, columns] of any byte order.
        bits: Bits that the header says are stored.
        signed: What the codestream or else the header says.
        high_bit: Of words; None when the values are samples, whose lowest bit is always bit 0.
        sign_is_sure: The encoding leaves no doubt about the sign.

    Returns:
        The values, and notes: `sign_corrected` where they show that the other sign is right, `sign_doubtful` where
        they jump under either sign.
    """
    width = 8 if decoded.dtype.itemsize == 1 else 16
    raw = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(f"u{width // 8}")
    below = 0
    if high_bit is not None and bits - 1 < high_bit < width:
        below = high_bit + 1 - bits
    stored, kept = _read(raw, bits, below, signed)
    notes: tuple[str, ...] = ()
    if not sign_is_sure:
        words = np.right_shift(raw[:: max(1, len(raw) // JUDGED_ROWS)], below) & np.uint16((1 << kept) - 1)
        used = int(words.max()).bit_length()
        if (
            signed and used == bits < kept
        ):  # read whole, none is negative: the sign bit that is stated is a part of them
            notes = ("sign_corrected",)
        signed = signed and used == kept  # where the upper bits are never used, no value has been read as negative
        smoother, votes = _compare_signs(words, used, signed)
        if smoother >= SMOOTHER and votes >= VOTES:
            return _cut(raw, used, below, not signed), ("sign_corrected",)
        if smoother >= EITHER and votes >= FEWEST_VOTES:
            notes = ("sign_doubtful",)
    return stored, notes


def _read(raw: Unsigned, bits: int, below: int, signed: bool) -> tuple[Stored, int]:
    """Values under this sign, and how many bits of a word were kept: those stated, or all where they continue above."""
    kind, width = "i" if signed else "u", 8 * raw.dtype.itemsize
    whole = raw.view(f"{kind}{width // 8}")
    if bits + below >= width and below == 0:
        return np.ascontiguousarray(whole), width
    if below == 0 and not signed and int(raw.max()) < 1 << bits:
        return np.ascontiguousarray(raw), bits
    cut = _cut(raw, bits, below, signed)
    if below == 0 and _continues_above(whole, cut, bits):
        return np.ascontiguousarray(whole), width
    return cut, bits


def _cut(raw: Unsigned, bits: int, below: int, signed: bool) -> Stored:
    """Up so that the uppermost stored bit is the word's, then back down: masks, and extends the sign."""
    width = 8 * raw.dtype.itemsize
    above = max(width - bits - below, 0)
    top_aligned = np.left_shift(raw, above).view(f"{'i' if signed else 'u'}{width // 8}")
    return np.ascontiguousarray(np.right_shift(top_aligned, above + below))


def _continues_above(whole: Stored, cut: Stored, bits: int) -> bool:
    """Whether values pass the uppermost stored bit smoothly, and jump there without the bits above it."""
    every = max(4, len(whole) // (4 * JUDGED_ROWS))
    steps, cut_steps = (np.diff(values[::every].astype(np.int32), axis=1) for values in (whole, cut))
    passes = np.abs(steps - cut_steps) == 1 << bits
    smoother = np.abs(steps[passes]) < np.abs(cut_steps[passes])
    return bool(2 * np.count_nonzero(smoother) > smoother.size)


def _compare_signs(words: Unsigned, bits: int, signed: bool) -> tuple[float, float]:
    """Return how many of the neighbours that differ in the sign bit are nearer under the other sign.

    The image's own extremes do not count: letters and borders are white beside black under any sign.

    Returns:
        Share of these neighbours, and of all neighbours.
    """
    if bits < 2 or words.shape[1] < 2:
        return 0.0, 0.0
    sign = words >= 1 << (bits - 1)
    differs = sign[:, :-1] != sign[:, 1:]
    rows, columns = divmod(np.flatnonzero(differs), differs.shape[1])
    left, right = (words[rows, columns + beside].astype(np.int32) for beside in (0, 1))
    ends = words.min(), words.max()
    inner = ~(np.isin(left, ends) | np.isin(right, ends))
    if not inner.any():
        return 0.0, 0.0
    apart = np.abs(left[inner] - right[inner])
    wrapped = (1 << bits) - apart
    nearer = np.count_nonzero(apart < wrapped if signed else wrapped < apart)
    return nearer / len(apart), nearer / differs.size
