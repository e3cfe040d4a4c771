"""An image of a file as nets see it, and written again as the file was: at its depth, with its opacity, in its colours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamopt.image.covering import covering
from dreamopt.image.modes import Levels, Samples, as_levels, strips, white_of
from dreamopt.image.profile import ColourProfile, ProfileError, read_profile, srgb_profile

_SAME = 1 / 514  # grey levels: half a step of 16 bits


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image of a file, or an array like one.

    Parameters
    ----------
    colours : ndarray, (H, W, 3)
        Red, green and blue, upright, of the file's profile: uint8; uint16, 65535 being white; or float32, grey levels with white at 255.
    opacity : ndarray, (H, W), or None
        Of the same type; the colours are not multiplied by it. None where the image is opaque.
    profile : ColourProfile, optional
        What the colours are in; None for sRGB.
    orientation : int
        The EXIF orientation that was applied.
    notes : tuple of str
        What of the file is not kept.

    Examples
    --------
    >>> image = LoadedImage(np.full((4, 6, 3), 25700, np.uint16))
    >>> image.depth, image.levels()[0, 0].tolist(), image.written(image.levels())[0, 0].tolist()
    (16, [100.0, 100.0, 100.0], [25700, 25700, 25700])
    """

    colours: npt.NDArray[Any]
    opacity: npt.NDArray[Any] | None = None
    profile: ColourProfile | None = None
    orientation: int = 1
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, samples: Samples) -> LoadedImage:
        """Return the image of a file's numbers, its profile read; one that cannot be is noted."""
        notes, profile = [*samples.notes], None
        if samples.profile is not None:
            try:
                profile = read_profile(samples.profile)
                if profile.space == "CMYK":
                    raise ProfileError("it is one of ink")
                if profile.is_table and samples.colours.dtype != np.uint8:
                    notes.append("its colour profile is a table, which is applied at 8 bits")
            except ProfileError as problem:
                profile = None
                notes.append(f"its colour profile is not applied: {problem}")
        return cls(samples.colours, samples.opacity, profile, samples.orientation, tuple(notes))

    def sha256(self) -> str:
        """Return the sha256 of the numbers, in hexadecimal digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.colours).data)
        if self.opacity is not None:
            digest.update(np.ascontiguousarray(self.opacity).data)
        return digest.hexdigest()

    @property
    def depth(self) -> int:
        """Bits of each sample: 8, or 16 for more."""
        return 8 if self.colours.dtype == np.uint8 else 16

    @property
    def written_profile(self) -> bytes | None:
        """The ICC profile of what `written` returns; None where the file had none."""
        if self.profile is None:
            return None
        return self.profile.data if self._is_matrix else srgb_profile()

    def levels(self, on_white: bool = True) -> Levels:
        """Return the grey levels of sRGB that a net sees, (H, W, 3), 0 to 255.

        Parameters
        ----------
        on_white : bool
            Whether a transparent image lies on white; else its colours are as they are stored, whatever their opacity.

        Returns
        -------
        ndarray
            uint8 for an image of 8 bits without a profile; else float32, with their fraction.
        """
        clear = self.opacity if on_white else None
        if self._is_srgb and self.colours.dtype == np.uint8:
            return self.colours if clear is None else _on_white(self.colours, clear)
        made = np.empty(self.colours.shape, np.float32)
        for rows in strips(*self.colours.shape[:2]):
            levels = np.clip(self._srgb(rows), 0.0, 255.0)
            made[rows] = levels if clear is None else 255.0 + (levels - 255.0) * (clear[rows, :, None] / white_of(clear.dtype))
        return made

    def written(self, levels: npt.NDArray[Any], depth: int | None = None, on_white: bool = False) -> npt.NDArray[Any]:
        """Return grey levels of sRGB that this image became as the file's colours are, of its profile, with its opacity.

        What differs from `levels` is added to the file's own colours, in sRGB: where nothing does, they come back as they were, also those
        that sRGB does not have. Levels of another size than the image's are written as they are.

        Parameters
        ----------
        levels : ndarray, (H, W, 3)
            0 to 255.
        depth : {8, 16}, optional
            Default: the image's own.
        on_white : bool
            As the levels were given by `levels`; an image on white is written opaque.

        Returns
        -------
        ndarray, (H, W, 3) or (H, W, 4)
            uint8 or uint16; the profile is `written_profile`.
        """
        dtype = np.dtype({8: np.uint8, 16: np.uint16}[self.depth if depth is None else depth])
        same_size = levels.shape == self.colours.shape and not (on_white and self.opacity is not None)
        alpha = None if on_white else self.opacity
        made = np.empty((*levels.shape[:2], 3 if alpha is None else 4), dtype)
        for rows in strips(*levels.shape[:2]):
            part = np.asarray(levels[rows], np.float64)
            if not same_size:
                values = self._from_srgb(part)
            else:
                own, seen = self.colours[rows], self._srgb(rows)
                change = part - np.clip(seen, 0.0, 255.0)
                values = part if self._is_srgb else self._from_srgb(seen + change)
                if self._is_srgb or self._is_matrix:
                    unchanged = (np.abs(change) < _SAME).all(-1, keepdims=True)
                    values = np.where(unchanged, own / 257.0 if own.dtype == np.uint16 else own, values)
            made[rows, :, :3] = np.rint(np.clip(values, 0.0, 255.0) * (white_of(dtype) // 255))
        if alpha is not None:
            made[..., 3] = _covering_opacity(alpha, levels.shape, dtype)
        return made

    @property
    def _is_srgb(self) -> bool:
        return self.profile is None or self.profile.is_srgb

    @property
    def _is_matrix(self) -> bool:
        return self.profile is not None and self.profile.space == "RGB" and not self.profile.is_table

    def _srgb(self, rows: slice) -> npt.NDArray[np.float64]:
        """Return some rows as grey levels of sRGB, which are below 0 or above 255 where it does not have the colour."""
        part = self.colours[rows]
        if self.profile is None or self.profile.is_srgb:
            return part / 257.0 if part.dtype == np.uint16 else part.astype(np.float64)
        if self.profile.is_table:
            return self.profile.table_to_srgb(np.rint(as_levels(part)).astype(np.uint8)).astype(np.float64)
        return self.profile.to_srgb(part / white_of(part.dtype))

    def _from_srgb(self, levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return grey levels of sRGB as those of the profile that is written."""
        if self.profile is None or self.profile.is_srgb or not self._is_matrix:
            return levels
        return 255.0 * self.profile.from_srgb(levels)


def _on_white(colours: npt.NDArray[np.uint8], opacity: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    made = np.empty(colours.shape, np.uint8)
    for rows in strips(*opacity.shape):
        clear = opacity[rows, :, None].astype(np.uint32)
        made[rows] = (colours[rows] * clear + 255 * (255 - clear) + 127) // 255
    return made


def _covering_opacity(opacity: npt.NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if opacity.shape == shape[:2] and opacity.dtype == dtype:
        return opacity
    levels = opacity if opacity.dtype == np.uint8 else as_levels(opacity)
    scaled = np.asarray(covering(levels, shape[:2]), np.float64)
    return np.rint(scaled * (257 if dtype == np.uint16 else 1)).astype(dtype)
