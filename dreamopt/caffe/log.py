"""``caffe.init_log`` and ``caffe.log``: Caffe's log becomes Python's, under the name ``dreamopt.caffe``."""

import logging

from dreamopt.errors import printable

_logger = logging.getLogger("dreamopt.caffe")


def init_log(level: int = 0, *_: object) -> None:
    """Log from this level of Caffe's on: 0 info, 1 warnings, 2 errors, 3 fatal errors."""
    _logger.setLevel((logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)[min(max(int(level), 0), 3)])


def log(message: str) -> None:
    """Write a line of information to the log."""
    _logger.info("%s", printable(message))
