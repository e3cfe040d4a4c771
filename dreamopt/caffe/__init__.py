"""``import dreamopt.caffe as caffe``: pycaffe's face, with no Caffe behind it.

Examples
--------
>>> import dreamopt.caffe as caffe
>>> caffe.set_mode_cpu()
>>> caffe.TEST
1
"""

from dreamopt.caffe import draw, io, proto
from dreamopt.caffe.classifier import Classifier
from dreamopt.caffe.detector import Detector
from dreamopt.caffe.log import init_log, log
from dreamopt.caffe.lrp_options import RelPropOpts
from dreamopt.caffe.mode import (
    allow_python_layers,
    set_device,
    set_mode_cpu,
    set_mode_dc_cpu,
    set_mode_dc_gpu,
    set_mode_eb_cpu,
    set_mode_eb_gpu,
    set_mode_gpu,
    set_random_seed,
)
from dreamopt.caffe.net import Net
from dreamopt.caffe.net_spec import NetSpec, layers, params, to_proto
from dreamopt.caffe.timer import Timer
from dreamopt.caffe.training import (
    NCCL,
    AdaDeltaSolver,
    AdaGradSolver,
    AdamSolver,
    NesterovSolver,
    RMSPropSolver,
    SGDSolver,
    get_solver,
    has_nccl,
    set_multiprocess,
    set_solver_count,
    set_solver_rank,
    solver_count,
    solver_rank,
)
from dreamopt.caffe.types import layer_type_list
from dreamopt.engine import Blob
from dreamopt.engine.net import TEST, TRAIN
from dreamopt.engine.python_layer import PythonLayer as Layer

__version__ = "1.0.0"
"""The Caffe whose face this is."""

__all__ = [
    "NCCL",
    "TEST",
    "TRAIN",
    "AdaDeltaSolver",
    "AdaGradSolver",
    "AdamSolver",
    "Blob",
    "Classifier",
    "Detector",
    "Layer",
    "NesterovSolver",
    "Net",
    "NetSpec",
    "RMSPropSolver",
    "RelPropOpts",
    "SGDSolver",
    "Timer",
    "allow_python_layers",
    "draw",
    "get_solver",
    "has_nccl",
    "init_log",
    "io",
    "layer_type_list",
    "layers",
    "log",
    "params",
    "proto",
    "set_device",
    "set_mode_cpu",
    "set_mode_dc_cpu",
    "set_mode_dc_gpu",
    "set_mode_eb_cpu",
    "set_mode_eb_gpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
    "to_proto",
]
