"""``NetSpec``, ``layers`` and ``params``: nets written in Python instead of prototxt.

Examples
--------
>>> from dreamopt.caffe import NetSpec, layers as L, params as P
>>> n = NetSpec()
>>> n.data = L.Input(shape=dict(dim=[1, 3, 32, 48]))
>>> n.conv = L.Convolution(n.data, num_output=8, kernel_size=3, weight_filler=dict(type="xavier"))
>>> n.relu = L.ReLU(n.conv, in_place=True)
>>> n.pool = L.Pooling(n.relu, pool=P.Pooling.MAX, kernel_size=2)
>>> [(layer.name, layer.type, *layer.top) for layer in n.to_proto().layer]
[('data', 'Input', 'data'), ('conv', 'Convolution', 'conv'), ('relu', 'ReLU', 'conv'), ('pool', 'Pooling', 'pool')]
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from dreamopt.errors import UsageError
from dreamopt.schema import caffe_pb2

_Names = dict[Any, str]
_LayerMessages = dict["Function", caffe_pb2.LayerParameter]


class NotATopError(UsageError, TypeError):
    """A layer was given something else than another layer's top."""


def param_name_dict() -> dict[str, str]:
    """Return the message field of each layer type without its ``_param``: ``{"InnerProduct": "inner_product", ...}``."""
    names: dict[str, str] = {}
    for field in caffe_pb2.LayerParameter.DESCRIPTOR.fields:
        if field.name.endswith("_param") and field.message_type is not None:
            # Of fields of one message the first is the type's own: a fork's 3-D types share it.
            names.setdefault(field.message_type.name.removesuffix("Parameter"), field.name.removesuffix("_param"))
    # Beyond pycaffe: types that share another's message.
    names |= {"Deconvolution": "convolution", "Im2col": "convolution", "RNN": "recurrent", "LSTM": "recurrent"}
    return names


_FIELDS = param_name_dict()


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Write a Python value into a field of a message: a dict into a message, a list (or one value) into a repeated field."""
    field = getattr(proto, name)
    if hasattr(field, "extend"):
        items = list(val) if isinstance(val, list | tuple) else [val]
        if items and isinstance(items[0], dict):
            for item in items:
                added = field.add()
                for key, value in item.items():
                    assign_proto(added, key, value)
        else:
            field.extend(items)
    elif isinstance(val, dict):
        for key, value in val.items():
            assign_proto(field, key, value)
    else:
        setattr(proto, name, val)


class Top:
    """One output of a layer.

    Attributes
    ----------
    fn : Function
        The layer.
    n : int
        Which of its tops.
    """

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> caffe_pb2.NetParameter:
        """Return the net of all layers that this top needs."""
        return to_proto(self)

    def _to_proto(self, layers: _LayerMessages, names: _Names, autonames: Counter[str]) -> None:
        self.fn._to_proto(layers, names, autonames)


class Function:
    """A layer: its type, its bottoms and its parameters.

    Parameters
    ----------
    type_name : str
        Caffe's name of the type.
    inputs : sequence of Top
        The bottoms.
    params : dict
        Fields of the type's own message, or of LayerParameter; besides ``ntop`` (number of tops, 1) and ``in_place``.

    Raises
    ------
    NotATopError
        If an input is not a `Top`; it is a TypeError too.
    """

    def __init__(self, type_name: str, inputs: tuple[Any, ...], params: dict[str, Any]) -> None:
        for i, value in enumerate(inputs):
            if not isinstance(value, Top):
                raise NotATopError(f"{type_name} input {i} is not a Top (type is {type(value)})")
        self.type_name = type_name
        self.inputs: tuple[Top, ...] = inputs
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _name(self, of: Any, names: _Names, autonames: Counter[str]) -> str:
        if of not in names:
            autonames[self.type_name] += 1
            names[of] = f"{self.type_name}{autonames[self.type_name]}"
        return names[of]

    def _to_proto(self, layers: _LayerMessages, names: _Names, autonames: Counter[str]) -> None:
        if self in layers:
            return
        layer = caffe_pb2.LayerParameter(type=self.type_name)
        for top in self.inputs:
            top._to_proto(layers, names, autonames)
            layer.bottom.append(layers[top.fn].top[top.n])
        layer.top.extend(layer.bottom if self.in_place else [self._name(top, names, autonames) for top in self.tops])
        layer.name = self._name(self.tops[0] if self.tops else self, names, autonames)
        own = _FIELDS.get(self.type_name)
        for key, value in self.params.items():
            message: Any = getattr(layer, f"{own}_param") if own else None
            ours = message is not None and not key.endswith("param") and key in message.DESCRIPTOR.fields_by_name
            if not ours and key not in layer.DESCRIPTOR.fields_by_name:
                raise UsageError(f"a {self.type_name} layer has no parameter '{key}'" + _known(message))
            assign_proto(message if ours else layer, key, value)
        layers[self] = layer


def _known(message: Any) -> str:
    return "" if message is None else f"; it has {', '.join(f.name for f in message.DESCRIPTOR.fields)}, and those of every layer"


class NetSpec:
    """A net under construction: what is assigned to its attributes, or items, names the layers.

    ``n.conv1 = L.Convolution(n.data, ...)``, or ``n["conv1/3x3"] = ...`` where the name is no Python name. Names that
    nothing was assigned to are made from type and number.
    """

    tops: OrderedDict[str, Any]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Any) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.tops[name]
        except KeyError:
            raise AttributeError(f"this NetSpec has no top '{name}'; it has {', '.join(self.tops) or 'none yet'}") from None

    def __setitem__(self, key: str, value: Any) -> None:
        self.tops[key] = value

    def __getitem__(self, item: str) -> Any:
        return self.tops[item]

    def __delattr__(self, name: str) -> None:
        del self.tops[name]

    __delitem__ = __delattr__

    def __contains__(self, name: str) -> bool:
        return name in self.tops

    def to_proto(self) -> caffe_pb2.NetParameter:
        """Return the net of all layers that the assigned tops need."""
        names = {top: name for name, top in self.tops.items()}
        return _net(self.tops.values(), names)


def to_proto(*tops: Any) -> caffe_pb2.NetParameter:
    """Return the net of all layers that these tops need; all names are made from type and number."""
    return _net(tops, {})


def _net(tops: Any, names: _Names) -> caffe_pb2.NetParameter:
    layers: _LayerMessages = {}
    autonames: Counter[str] = Counter()
    for top in tops:
        top._to_proto(layers, names, autonames)
    return caffe_pb2.NetParameter(layer=layers.values())


class Layers:
    """``layers.Convolution(bottom, kernel_size=3)``: a layer of any type, its top or tops."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def layer_fn(*args: Any, **kwargs: Any) -> Any:
            fn = Function(name, args, kwargs)
            return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

        return layer_fn


class Parameters:
    """``params.Pooling.MAX``: the values of enumerations, by layer type."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = getattr(caffe_pb2, f"{name}Parameter", None)
        if message is None:
            raise AttributeError(f"there is no {name}Parameter; layer types with parameters are {', '.join(_FIELDS)}")
        return message


layers = Layers()
params = Parameters()
