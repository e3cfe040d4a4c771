"""What we refuse, real Caffe refuses too."""

from tests.support.bad_layers import BAD_LAYERS
from tests.support.layer_nets import net_text
from tests.support.oracle.harness import Oracle

# each net in a child of its own, since Caffe's way to refuse is to abort
_CODE = """
import os
died = []
for text in arguments["texts"]:
    with open("net.prototxt", "w") as f:
        f.write(text)
    child = os.fork()
    if child == 0:
        try:
            caffe.Net("net.prototxt", caffe.TEST).forward()
        finally:
            os._exit(0)
    died.append(os.WIFSIGNALED(os.waitpid(child, 0)[1]))
result["died"] = died
"""


def test_caffe_dies_of_what_we_refuse(oracle: Oracle) -> None:
    texts = [net_text(type_, params, shapes, tops) for type_, params, shapes, tops, _ in BAD_LAYERS]
    died = oracle.script(_CODE, arguments={"texts": [*texts, net_text("ReLU", "", [(2, 3)])]})["died"]
    assert not died[-1], "this net is sound"
    assert [bad for bad, gone in zip(BAD_LAYERS, died[:-1], strict=True) if not gone] == []
