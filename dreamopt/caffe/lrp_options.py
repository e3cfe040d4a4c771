"""`caffe.RelPropOpts`: what the LRP toolbox's fork of Caffe is asked for, by numbers."""

from __future__ import annotations

from typing import Any

from dreamopt.errors import UsageError, suggest
from dreamopt.parts.checks import NOT_NEGATIVE, check_number, check_whole

FORMULAS = {
    0: "epsilon",
    2: "alpha-beta",
    6: "alpha-beta, zB at the lowest layer",
    8: "epsilon, zB at the lowest layer",
    11: "the gradient",
    18: "alpha-beta by layer number, zB at the lowest layer",
    22: "alpha-beta by layer number",
    26: "deconvnet",
    54: "epsilon, flat below a layer",
    56: "epsilon, w^2 below a layer",
    58: "alpha-beta, flat below a layer",
    60: "alpha-beta, w^2 below a layer",
    99: "the gradient",
    100: "alpha-beta at convolutions, epsilon at inner products",
    102: "as 100, flat below a layer",
    104: "as 100, w^2 below a layer",
    114: "epsilon, alpha-beta below a layer",
    166: "guided backprop",
}
"""What ``relpropformulatype`` may be."""
SWITCHED = (54, 56, 58, 60, 102, 104, 114)
"""The formulas that change at ``auxiliaryvariable_maxlayerindexforflatdistinconv``."""
BOUNDED = (6, 8, 18)
"""The formulas with zB, which need ``imagemeancopy``."""

# Fields of the toolbox's version for residual nets: scripts set them, and the version that was published does not look at them.
_WHAT, _WHERE = ("lrptype", "epsstab", "epscap", "alphabeta"), ("batchnormscale", "pool", "eltwise")
_UNREAD = ("classinds", "curlayerindex", *(f"{what}_{where}" for what in _WHAT for where in _WHERE))


class RelPropOpts:
    """The options of ``net.lrp``, with the toolbox's names and defaults.

    Attributes
    ----------
    relpropformulatype : int
        Which formula, one of `FORMULAS`; -1 until it is set.
    epsstab : float
        Epsilon.
    alphabeta_beta : float
        Beta; alpha is 1 + beta.
    lastlayerindex : int
        Where relevance starts: the number of a layer, from 0, inputs not counted; -1 is the layer below the lowest Softmax, -2 the highest
        InnerProduct.
    firstlayerindex : int
        The lowest layer, 0 for all; -1 until it is set.
    auxiliaryvariable_maxlayerindexforflatdistinconv : int
        The highest layer that follows the second formula of those that change; -1 until it is set.
    numclasses : int
        How many values the layer has for each image; 0 takes the layer's word for it.
    codeexectype, lrn_backward_type, maxpoolingtoavgpoolinginbackwardpass, biastreatmenttype : int
        0 or 1, but `biastreatmenttype`, which is 0: bias counts in the sums by its sign and gets no share. An LRN copies relevance (0, -1)
        or takes a Taylor step (1); max pooling gives to the winner (0), or shares as average pooling does (1).
    lrn_forward_type : int
        Not looked at.
    has_init_relevance : bool
        Start from `relevance_for_init` instead of the classes' values.
    relevance_for_init : float
        That relevance.
    imagemeancopy : ndarray, optional
        The mean of the images, for zB: (C, H, W) or (C,), channels as in the net's input.

    Examples
    --------
    >>> options = RelPropOpts()
    >>> options.relpropformulatype, options.epsstab, options.lastlayerindex
    (-1, 1.0, -1)
    """

    def __init__(self) -> None:
        self.codeexectype = -1
        self.relpropformulatype = -1
        self.lrn_forward_type = -1
        self.lrn_backward_type = -1
        self.maxpoolingtoavgpoolinginbackwardpass = 0
        self.biastreatmenttype = 0
        self.epsstab = 1.0
        self.alphabeta_beta = 0.1
        self.lastlayerindex = -1
        self.firstlayerindex = -1
        self.numclasses = 0
        self.auxiliaryvariable_maxlayerindexforflatdistinconv = -1
        self.has_init_relevance = False
        self.relevance_for_init = 1.0
        self.imagemeancopy: Any = None

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _FIELDS and name not in _UNREAD:
            hint = suggest(name, _FIELDS) or f"there are {', '.join(_FIELDS)}"
            raise UsageError(f"RelPropOpts has no option '{name}'; {hint}")
        super().__setattr__(name, value)

    def check(self) -> None:
        """Raise a UsageError for what the toolbox aborts on."""
        if self.relpropformulatype not in FORMULAS:
            said = "is not set" if self.relpropformulatype == -1 else f"{self.relpropformulatype!r} is no formula of the toolbox"
            raise UsageError(f"relpropformulatype {said}; allowed are {formula_list()}")
        choices = {
            "codeexectype": (0, 1),
            "lrn_backward_type": (-1, 0, 1),
            "maxpoolingtoavgpoolinginbackwardpass": (0, 1),
            "biastreatmenttype": (0,),
        }
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise UsageError(f"{name} is {value!r}; allowed is {' or '.join(map(str, allowed))}")
        check_number("epsstab", self.epsstab, NOT_NEGATIVE)
        check_number("alphabeta_beta", self.alphabeta_beta, NOT_NEGATIVE)
        check_number("relevance_for_init", self.relevance_for_init)
        check_whole("numclasses", self.numclasses, NOT_NEGATIVE)
        check_whole("firstlayerindex", self.firstlayerindex, NOT_NEGATIVE)
        if self.relpropformulatype in SWITCHED:
            check_whole(_SWITCH, getattr(self, _SWITCH), NOT_NEGATIVE)
        if self.relpropformulatype in BOUNDED and self.imagemeancopy is None:
            raise UsageError(
                f"formula {self.relpropformulatype} has zB at the lowest layer, which needs imagemeancopy, the mean of the images that was"
                " subtracted: (C, H, W) or (C,)"
            )


_SWITCH = "auxiliaryvariable_maxlayerindexforflatdistinconv"
_FIELDS = (
    "codeexectype", "relpropformulatype", "lrn_forward_type", "lrn_backward_type", "maxpoolingtoavgpoolinginbackwardpass",
    "biastreatmenttype", "epsstab", "alphabeta_beta", "lastlayerindex", "firstlayerindex", "numclasses", _SWITCH,
    "has_init_relevance", "relevance_for_init", "imagemeancopy",
)  # fmt: skip


def formula_list() -> str:
    """Return all formulas, for an error."""
    return ", ".join(f"{number} ({name})" for number, name in FORMULAS.items())
