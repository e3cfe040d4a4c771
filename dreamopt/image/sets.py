"""The standard sets of transforms of other frameworks, by name.

Their numbers, drawn for each item by itself, where most of them draw once for a whole batch. Scaling keeps the size (`Scale`),
and each set ends with the searched image's own size, so that it suits nets with fully connected layers; docs/transforms.md
lists what that changes.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType


def _values(numbers: Iterable[float]) -> str:
    return "(" + ", ".join(f"{number:.6g}" for number in numbers) + ")"


_LUCID_SCALES = _values(1 + (i - 5) / 50 for i in range(11))
_LUCID_ANGLES = _values([*range(-10, 11), *[0] * 5])
_ATLAS_SCALES = _values(0.998**n for n in range(20, 40))
_WIDE_ANGLES = _values([*range(-20, 20), *range(-10, 10), *range(-5, 5), *[0] * 5])
_CAPTUM_SCALES = _values([*(0.995**n for n in range(-5, 80)), *(0.998**n for n in [*range(20, 40)] * 2)])

SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "lucid": (
            'pad(12, "grey")',
            "crop_jitter(8)",
            f'scale({_LUCID_SCALES}, fill="grey")',
            f'rotate({_LUCID_ANGLES}, fill="black")',
            "crop_jitter(4)",
            'crop_or_pad(fill="grey")',
        ),
        "lucent": (
            'pad(12, "grey")',
            'translate(0, 7, "black")',
            f'scale({_LUCID_SCALES}, fill="black")',
            f'rotate({_LUCID_ANGLES}, fill="black")',
            'translate(0, 3, "black")',
            "resize()",
        ),
        "captum": (
            'pad(2, "grey")',
            *['translate(-3, 4, "reflect")'] * 10,
            f'scale({_CAPTUM_SCALES}, fill="black")',
            f'rotate({_WIDE_ANGLES}, fill="black")',
            'translate(-1, 2, "reflect")',
            "crop_or_pad()",
        ),
        "xplique": (
            'pad(0.25, "black")',
            "crop_jitter(0.125)",
            "crop_jitter(0.125)",
            *["crop_jitter(0.25)"] * 3,
            'scale(between=(0.92, 0.96), fill="black")',
            "blur(between=(1, 1.1))",
            "crop_jitter(0.0625)",
            "crop_jitter(0.0625)",
            "flip()",
            "resize(antialias=False)",
        ),
        "atlas": (
            'pad(16, "grey")',
            "crop_jitter(4)",
            "crop_jitter(4)",
            *["crop_jitter(8)"] * 3,
            f'scale({_ATLAS_SCALES}, fill="grey")',
            f'rotate({_WIDE_ANGLES}, fill="black")',
            "crop_jitter(2)",
            'crop_or_pad(fill="black")',
        ),
        "deepdream": ("jitter(32)",),
    }
)
"""For each name its transforms in their order, as `dreamopt.parts.calls.parse_transforms` reads them."""
