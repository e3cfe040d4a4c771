"""DetectionOutput."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from dreamopt.engine.layer import Example, Layer, Shape, Weight, count
from dreamopt.engine.layers._axes import text


class DetectionOutput(Layer):
    """SSD's detections, rows of (item, class, confidence, x1, y1, x2, y2), out of locations, confidences and prior boxes.

    Boxes are the priors moved by the locations: added times the variance (CORNER), likewise times the prior's width and
    height (CORNER_SIZE), or to its centre, with width and height as ``prior exp(variance location)`` (CENTER_SIZE); with
    ``variance_encoded_in_target`` without the variance. For each class but the background, the ``top_k`` boxes above
    ``confidence_threshold`` are gone through from the best on, and one is left out whose intersection with one taken before
    is more than ``nms_threshold`` of their union (after each box taken, a threshold above 0.5 falls by ``eta``). Of an
    sample's boxes the best ``keep_top_k`` stay, by class, then confidence.

    The top has always the rows that there can be at most; those not needed are -1. There is no gradient, and asking for one
    raises a sentence. Not in Caffe 1.0.

    References
    ----------
    weiliu89/caffe, branch ssd, DetectionOutputLayer; Liu et al., SSD, 2016.
    """

    fork = "SSD"
    differs = (
        "no gradient, which a sentence says if one is asked for; the top has always as many rows as there can be detections, "
        "those not needed filled with -1; files and images are not written"
    )
    examples = (Example("detection_output_param { num_classes: 3 nms_param { top_k: 4 } keep_top_k: 5 }", ((2, 24), (2, 18), (1, 2, 24))),)
    differentiable = False
    bottoms = (3, 3)
    classes: list[int]

    def setup(self, bottoms: Sequence[Shape]) -> Sequence[Weight]:
        """Check the parameters."""
        p = self.param.detection_output_param
        if p.num_classes < 1:
            self.fail("num_classes is missing or 0; allowed is 1 and more")
        if p.num_classes > max(1, count(bottoms[1])):
            self.fail(f"num_classes is {p.num_classes}, but the second bottom has only {count(bottoms[1])} confidences")
        if p.nms_param.nms_threshold < 0:
            self.fail(f"nms_threshold is {p.nms_param.nms_threshold:g}; allowed is 0 and more")
        if not 0 < p.nms_param.eta <= 1:
            self.fail(f"eta is {p.nms_param.eta:g}; allowed is above 0, up to 1")
        self.classes = [c for c in range(p.num_classes) if c != p.background_label_id]
        return ()

    def shape(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        """Return (1, 1, rows, 7)."""
        p, (locations, confidences, priors) = self.param.detection_output_param, bottoms
        if len(priors) != 3 or priors[1] != 2 or priors[2] % 4:
            self.fail(f"the prior boxes have shape {text(priors)}; it takes 1x2xB, as of a PriorBox layer")
        n = priors[2] // 4
        for which, b, each in (
            ("first", locations, 4 if p.share_location else 4 * p.num_classes),
            ("second", confidences, p.num_classes),
        ):
            if len(b) < 2 or b[0] != locations[0] or b[1] != n * each or any(d != 1 for d in b[2:]):
                self.fail(f"the {which} bottom has shape {text(b)}; {n} prior boxes take {locations[0]}x{n * each}")
        rows = len(self.classes) * self._most(p.nms_param.top_k if p.nms_param.HasField("top_k") else -1, n)
        return [(1, 1, locations[0] * self._most(p.keep_top_k, rows), 7)]

    @staticmethod
    def _most(limit: int, n: int) -> int:
        return n if limit < 0 else min(limit, n)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        """Find the detections."""
        with torch.no_grad():
            top = bottoms[0].new_full(self.shape([tuple(b.shape) for b in bottoms])[0], -1)
            rows = self._detections(*(b.detach().cpu() for b in bottoms))
            top[0, 0, : len(rows)] = rows.to(top)
        tied: Tensor = _Refuse.apply(self, top, *bottoms)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
        return [tied]

    def _detections(self, locations: Tensor, confidences: Tensor, priors: Tensor) -> Tensor:
        p, samples = self.param.detection_output_param, len(locations)
        n = priors.shape[2] // 4
        moved = locations.reshape(samples, n, -1, 4)
        scores = confidences.reshape(samples, n, p.num_classes)
        boxes = self._boxes(moved, priors[0].reshape(2, n, 1, 4))
        rows = []
        for item in range(samples):
            by_class = []
            for c in self.classes:
                of_class, score = boxes[item, :, 0 if p.share_location else c], scores[item, :, c]
                taken = self._taken(of_class, score)
                label = score.new_tensor([item, c]).expand(len(taken), 2)
                by_class.append(torch.cat([label, score[taken, None], of_class[taken]], 1))
            detections = torch.cat(by_class) if by_class else boxes.new_zeros(0, 7)
            if 0 <= p.keep_top_k < len(detections):
                best = detections[:, 2].argsort(descending=True, stable=True)[: p.keep_top_k]
                detections = detections[best.sort().values]  # by class, and by confidence within it, as they were
            rows.append(detections)
        return torch.cat(rows)

    def _boxes(self, moved: Tensor, priors: Tensor) -> Tensor:
        p = self.param.detection_output_param
        prior, variance = priors[0], priors[1]
        moved = moved if p.variance_encoded_in_target else moved * variance
        size = prior[..., 2:] - prior[..., :2]
        if p.code_type == 1:  # CORNER
            return prior + moved
        if p.code_type == 3:  # CORNER_SIZE
            return prior + moved * torch.cat([size, size], -1)
        centre = (prior[..., :2] + prior[..., 2:]) / 2 + moved[..., :2] * size
        half = moved[..., 2:].exp() * size / 2
        return torch.cat([centre - half, centre + half], -1)

    def _taken(self, boxes: Tensor, scores: Tensor) -> list[int]:
        """Return the boxes that stay of a class, the best first."""
        p = self.param.detection_output_param
        order = scores.argsort(descending=True, stable=True)
        if p.HasField("confidence_threshold"):
            order = order[scores[order] > p.confidence_threshold]
        if p.nms_param.HasField("top_k") and p.nms_param.top_k >= 0:
            order = order[: p.nms_param.top_k]
        boxes, threshold, taken = boxes[order], p.nms_param.nms_threshold, list[int]()
        area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
        for i in range(len(order)):
            before = boxes[taken]
            common = torch.minimum(boxes[i, 2:], before[:, 2:]) - torch.maximum(boxes[i, :2], before[:, :2])
            shared = common.clamp(min=0).prod(1)
            overlap = torch.where(shared > 0, shared / (area[i] + area[taken] - shared), 0)
            if bool((overlap <= threshold).all()):
                taken.append(i)
                threshold *= p.nms_param.eta if threshold > 0.5 else 1
        return [int(i) for i in order[taken]]


class _Refuse(torch.autograd.Function):
    """The identity, but for a gradient, of which only zeros are taken."""

    @staticmethod
    def forward(ctx: Any, layer: DetectionOutput, top: Tensor, *bottoms: Tensor) -> Tensor:
        ctx.layer, ctx.like = layer, [(b.shape, b.dtype, b.device) for b in bottoms]
        return top.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if bool(grads[0].any()):
            ctx.layer.fail("detections have no gradient; take the confidences, its second bottom, as the target instead")
        return (None, None, *(torch.zeros(s, dtype=t, device=d) for s, t, d in ctx.like))
