"""Real Caffe in another Python, which a command starts."""

from __future__ import annotations

import os

from dreamopt.backends.base import OpenOptions, caffe_device
from dreamopt.backends.caffe.backend import CaffeBackend
from dreamopt.backends.caffe.remote import Remote
from dreamopt.errors import UsageError
from dreamopt.schema import NetDef


def open_net(definition: NetDef, weights: str | os.PathLike[str] | None, options: OpenOptions) -> CaffeBackend:
    """Return the net as the Caffe of the Python that ``options.python`` starts computes it.

    Raises
    ------
    UsageError
        If no command was given, or one that drops the words that are added to it; or another precision than float32.
    BackendError
        If the command starts no Python with a Caffe that can do this.
    """
    options.refuse_precision("remote")
    device = caffe_device(options.device)
    if options.python is None:
        raise UsageError("backend 'remote' needs python, the command that starts a Python with Caffe, as 'chroot /srv/caffe python3'")
    connection = Remote(options.python, device, options.timeout, options.start_timeout)
    return CaffeBackend.opened(definition, weights, connection, options)
