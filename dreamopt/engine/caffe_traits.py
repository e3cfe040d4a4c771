"""What Caffe's backward pass of a layer type does beside the derivative: memory that it shares, and what it keeps or reads again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CaffeTraits:
    """How Caffe's layer treats the memory of its blobs; with the defaults, one that shares nothing and reads nothing again.

    `Net.backward` and the subnets for real Caffe follow it. A type that Caffe does not have need not say anything: autograd
    differentiates its ``forward``.

    Parameters
    ----------
    shares_data : bool
        The tops use the first bottom's own memory, so that writing one writes the other (Split, Reshape, Flatten).
    shares_diff : bool
        So do their diffs (Reshape, Flatten).
    shares_diff_in_backward : bool
        They do so in the backward pass only, and so not in a layer that has none (Flatten).
    is_identity : bool
        The top holds the bottom's numbers, so that it makes no difference whether it is written over them.
    ignores_propagate_down : bool
        The backward pass does not ask ``propagate_down``, and writes the bottoms' diffs where it is false too.
    saves_forward_state : bool
        The layer keeps from its forward pass what its backward pass takes, whatever is written into the bottoms.
    backward_reads_blobs : bool, optional
        The backward pass reads the blobs again, as ``backward_from_blobs`` does; a layer that runs in place may spoil them.
        Default: whether the type overrides ``backward_from_blobs``.
    in_place_breaks_gradient : bool
        In place, the backward pass of this very layer misses the bottom that its forward pass has overwritten.
    zeroes_bottom_diffs : bool
        The backward pass writes zeros into the bottoms' diffs, though no top depends on them (Silence).
    active_range : (float, float), optional
        The open interval of bottoms that a gradient passes, for a type that is flat beyond it; see ``rules.redirected``.
    """

    shares_data: bool = False
    shares_diff: bool = False
    shares_diff_in_backward: bool = False
    is_identity: bool = False
    ignores_propagate_down: bool = False
    saves_forward_state: bool = False
    backward_reads_blobs: bool | None = None
    in_place_breaks_gradient: bool = False
    zeroes_bottom_diffs: bool = False
    active_range: tuple[float, float] | None = None
