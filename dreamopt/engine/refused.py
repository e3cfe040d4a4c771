"""Well-known layer types of public forks that are not built in, and what to do instead."""

_BOXES = "it chooses boxes, which has no gradient; put an Input layer for boxes (item, x1, y1, x2, y2) in its place"
_OWN = "register a class of your own with @dreamopt.engine.register on a subclass of dreamopt.engine.Layer"

_LEAVE = "it compares with labels, for training; leave it out"

REFUSED = {
    "Proposal": _BOXES,
    "RPNProposal": _BOXES,
    "ProposalLayer": _BOXES,
    "BoxOutput": _BOXES,
    "ROIAlign": f"forks disagree on how many points of a part it takes and whether it averages them; {_OWN}",
    "Region": "it reads boxes out of YOLO's last map, which has no gradient; leave it out, and aim at its bottom",
    "Yolo": "it reads boxes out of YOLO's last map, which has no gradient; leave it out, and aim at its bottom",
    "YoloDetectionOutput": "it reads boxes out of YOLO's last map, which has no gradient; leave it out, and aim at its bottom",
    "Yolov3DetectionOutput": "it reads boxes out of YOLO's last maps, which has no gradient; leave it out, and aim at its bottoms",
    "BoxAnnotatorOHEM": "it chooses examples for training; leave it out",
    "Correlation": f"FlowNet's layers of two pictures are not among those that dreamopt has; {_OWN}",
    "FlowWarp": f"FlowNet's layers of two pictures are not among those that dreamopt has; {_OWN}",
    "DenseCRF": f"it runs mean field inference, which is not among what dreamopt has; leave it out, or {_OWN}",
    "MultiStageMeanfield": f"it runs mean field inference, which is not among what dreamopt has; leave it out, or {_OWN}",
    "L2Normalization": f"Normalize divides by each place's norm (across_spatial: false) or an item's (true); use it, or {_OWN}",
    "ImResize": f"it resizes by cubic interpolation, which dreamopt lacks; Interp is bilinear; use it, or {_OWN}",
    "Nms": "it chooses peaks of heat maps, which has no gradient; leave it out, and aim at its bottom",
    "SpatialTransformer": f"sampling along a learnt grid is not among what dreamopt has; {_OWN}",
    "Transpose": f"Permute reorders axes too, by permute_param {{ order: ... }}; put it in its place, or {_OWN}",
    "WarpCTC": _LEAVE,
    "CtcLoss": _LEAVE,
    "CTCLoss": _LEAVE,
    "CTCDecoder": "it reads the best sequence out of scores, which has no gradient; leave it out, and aim at its bottom",
    "MarginInnerProduct": f"it reads the labels and bends their scores for training; in its place put an InnerProduct, or {_OWN}",
}
"""By type: the end of a sentence that says why, and what helps."""
