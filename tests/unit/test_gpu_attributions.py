"""The check of attributions on a device, on the CPU: it covers every method and rule, and sees a difference."""

from pathlib import Path

import dreamopt
from benchmarks import gpu_attributions
from dreamopt.testing import registries


def test_the_cpu_is_as_the_cpu_for_every_method_and_rule(tmp_path: Path) -> None:
    distances = gpu_attributions.check_attributions("cpu", tmp_path)
    assert len(distances) == sum(len(registries()[kind].built_in()) for kind in ("attributions", "rules"))
    assert all(part < 1e-5 for _, part in distances), distances


def test_another_net_is_seen(tmp_path: Path) -> None:
    net = dreamopt.load_net(device="cpu")
    before = dict(gpu_attributions.maps_of(net, tmp_path, "saliency"))
    net.backend.net.params["conv1"][0].data[...] *= -1
    assert [name for name, own in gpu_attributions.maps_of(net, tmp_path, "saliency") if (own - before[name]).norm() > 0.1 * own.norm()]
