"""What a data layer says of how images become its top: ``(x - mean) * scale``, with its place in the file.

References: Caffe's ``src/caffe/data_transformer.cpp``, ``DataTransformer::Transform``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dreamopt.errors import NetError
from dreamopt.schema.caffe_pb2 import LayerParameter
from dreamopt.schema.location import SourceLocation

# These layers transform every image that they read, so that what their transform_param leaves out is not done.
_TRANSFORMING = ("Data", "ImageData", "WindowData", "AnnotatedData", "VideoData", "ImageSegData")
_GROUPS = ("data_param", "image_data_param", "window_data_param")  # where V1 had these fields
_V0_NAMES = {"scale": "scale", "mean_file": "meanfile", "crop_size": "cropsize", "mean_value": ""}


@dataclass(frozen=True)
class InputTransform:
    """How a data layer makes its images: ``(grey levels - mean) * scale``.

    Parameters
    ----------
    layer : str
        The layer, for messages: its name and type.
    scale : float
        1 where the layer does not scale.
    mean_values : tuple of float
        One for all channels or one for each; empty where there are none.
    mean_file : str
        As the file names it; empty where there is none.
    crop_size : int
        The side of the square that is cut out of an image and of its mean; 0 for none.
    places : mapping of str to SourceLocation
        Where ``scale``, ``mean_values``, ``mean_file`` stand; of one that is absent, the place of the layer.
    """

    layer: str
    scale: float
    mean_values: tuple[float, ...]
    mean_file: str
    crop_size: int
    places: Mapping[str, SourceLocation]

    def means(self, channels: int) -> tuple[float, ...]:
        """Return the mean of each channel where ``mean_values`` give it; zeros where the layer has no mean at all.

        Raises
        ------
        NetError
            For another number of values than one or one for each channel, and for a mean that is given twice.

        Examples
        --------
        >>> from dreamopt.schema import parse_net
        >>> text = 'layer { name: "d" type: "Data" top: "d" data_param { batch_size: 2 } transform_param { crop_size: 8 mean_value: 9 } }'
        >>> parse_net(text).transforms["d"].means(3)
        (9.0, 9.0, 9.0)
        """
        place = self.places["mean_values"]
        if self.mean_values and self.mean_file:
            raise NetError(f"{place}: {self.layer} has mean_value and mean_file, of which Caffe takes one; give the mean (--mean)")
        if len(self.mean_values) not in (0, 1, channels):
            raise NetError(
                f"{place}: {self.layer} has {len(self.mean_values)} mean_value for an input of {channels} channel{'s' * (channels != 1)}; "
                f"allowed is one for all or one for each, or give the mean (--mean)"
            )
        return self.mean_values if len(self.mean_values) == channels else (self.mean_values or (0.0,)) * channels


def input_transforms(
    layers: Sequence[LayerParameter], locations: Sequence[SourceLocation], changes: list[str]
) -> dict[str, InputTransform]:
    """Return what data layers say of their images, by the blob that gets them.

    Parameters
    ----------
    layers : sequence of LayerParameter
        Of a V2 net, filtered by its state; data layers and Input layers are looked at.
    locations : sequence of SourceLocation
        One for each layer.
    changes : list of str
        Gets a sentence for each setting in a place where Caffe 1.0 does not look.
    """
    found: dict[str, InputTransform] = {}
    for layer, location in zip(layers, locations, strict=True):
        if layer.bottom or not (layer.type == "Input" or layer.type.endswith("Data")):
            continue
        _note_unread(layer, location, changes)
        if not (layer.HasField("transform_param") or layer.type in _TRANSFORMING):
            continue
        options = layer.transform_param
        transform = InputTransform(
            f"layer '{layer.name}' ({layer.type})",
            options.scale,
            tuple(options.mean_value),
            options.mean_file,
            options.crop_size,
            {
                "scale": _place(location, "scale"),
                "mean_values": _place(location, "mean_value"),
                "mean_file": _place(location, "mean_file"),
            },
        )
        for blob in layer.top if layer.type == "Input" else layer.top[:1]:  # the others are labels
            found.setdefault(blob, transform)
    return found


def _place(location: SourceLocation, name: str) -> SourceLocation:
    """Return where a field of ``transform_param`` stands: there, or where V1 and V0 had it."""
    names = [f"transform_param.{name}", *(f"{group}.{name}" for group in _GROUPS), f"layer.{_V0_NAMES[name]}"]
    return location.of(next((written for written in names if written in location.fields), ""))


def _note_unread(layer: LayerParameter, location: SourceLocation, changes: list[str]) -> None:
    for group in _GROUPS:
        if not layer.HasField(group):
            continue
        options = getattr(layer, group)
        unread = [name for name in ("scale", "mean_file", "crop_size") if options.HasField(name)]
        changes.extend(
            f"{location.of(f'{group}.{name}')}: {name} in the {group} of layer '{layer.name}' does nothing, as in Caffe 1.0; "
            "its place is transform_param"
            for name in unread
        )
