"""How fast the hot path is, beside real Caffe and beside torch written down plainly."""

import dreamopt  # noqa: F401  # before torch is loaded: it says how threads wait
