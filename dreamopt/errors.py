"""Every error dreamopt raises on purpose; each message is one sentence that says what, where and what is allowed.

::

    DreamoptError
    ├── NetError                 the net's definition cannot be used as it stands
    │   ├── PrototxtError        the text is not a valid prototxt (file:line in the message)
    │   ├── UnknownLayerError    a layer type that nobody registered
    │   └── ShapeError           a shape that does not fit the layer it reaches
    ├── WeightsError             a weights or mean file is damaged, or does not fit the net
    ├── TargetError              a layer, unit or label that the net does not have
    ├── ObjectiveError           an objective that cannot be made or evaluated
    ├── RegularizerError         the same for a regularizer
    ├── OptimizeError            the climb cannot go on
    │   └── DeadGradientError    the gradient is exactly zero, with the layer that stopped it
    ├── BackendError             a backend or device that is missing, or failed
    ├── ImageError               a picture that cannot be read or written
    ├── ModelError               the catalogue of public models, a download, a checksum
    └── UsageError               arguments that contradict each other or are out of range

    DreamoptWarning              every warning dreamopt gives
"""


class DreamoptError(Exception):
    """Root of all errors raised on purpose; catch it to catch them all."""


class NetError(DreamoptError):
    """The net's definition cannot be used as it stands."""


class PrototxtError(NetError):
    """The text is not a valid prototxt."""


class UnknownLayerError(NetError):
    """A layer type that is neither built in nor registered."""


class ShapeError(NetError):
    """A shape that does not fit the layer it reaches."""


class WeightsError(DreamoptError):
    """A weights or mean file is damaged, or does not fit the net."""


class TargetError(DreamoptError):
    """A layer, unit or label that the net does not have."""


class ObjectiveError(DreamoptError):
    """An objective that cannot be made or evaluated."""


class RegularizerError(DreamoptError):
    """A regularizer that cannot be made or evaluated."""


class OptimizeError(DreamoptError):
    """The climb cannot go on."""


class DeadGradientError(OptimizeError):
    """The gradient of the objective is exactly zero everywhere in the image."""


class BackendError(DreamoptError):
    """A backend or a device that is missing, or that failed."""


class ImageError(DreamoptError):
    """A picture that cannot be read or written."""


class ModelError(DreamoptError):
    """A public model that is unknown, cannot be fetched, or fails its checksum."""


class UsageError(DreamoptError):
    """Arguments that contradict each other or are out of range."""


class DreamoptWarning(UserWarning):
    """Root of all warnings given by dreamopt."""
