"""Runs inside the chroot with real Caffe (Python 3.9, numpy 1.19): answers requests on its standard input one after another.

A message is two frames, each a length of 8 bytes and as many bytes: JSON, then an .npz of the arrays.
"""

import io
import json
import os
import shutil
import struct
import sys
import tempfile
import traceback

import numpy as np


def main():
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what scripts and Caffe print must not fall into the answers
    import caffe

    caffe.set_mode_cpu()
    while True:
        header, arrays = receive(sys.stdin.buffer)
        if header is None:
            return
        folder = tempfile.mkdtemp(prefix="oracle-")
        os.chdir(folder)
        try:
            files = {k[5:]: v for k, v in arrays.items() if k.startswith("file/")}
            for name, content in files.items():
                with open(name, "wb") as f:
                    f.write(content.tobytes())
            inputs = {k[6:]: v for k, v in arrays.items() if k.startswith("input/")}
            scope = {"caffe": caffe, "np": np, "inputs": inputs, "arguments": header["arguments"], "result": {}}
            exec(compile(header["code"], "oracle script", "exec"), scope)
            send(answers, {"error": None}, {k: np.asarray(v) for k, v in scope["result"].items()})
        except Exception:
            send(answers, {"error": traceback.format_exc()}, {})
        finally:
            os.chdir("/")
            shutil.rmtree(folder, ignore_errors=True)


def receive(stream):
    frames = []
    for _ in range(2):
        head = stream.read(8)
        if len(head) < 8:
            return None, {}
        frames.append(stream.read(struct.unpack("<Q", head)[0]))
    with np.load(io.BytesIO(frames[1])) as npz:
        return json.loads(frames[0].decode()), {k: npz[k] for k in npz.files}


def send(stream, header, arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    for frame in (json.dumps(header).encode(), buffer.getvalue()):
        stream.write(struct.pack("<Q", len(frame)) + frame)
    stream.flush()


main()
