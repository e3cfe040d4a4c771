"""What runs beside real Caffe, with nothing but caffe and numpy: it answers requests about one net.

The text of this file is sent to the other Python (see `dreamopt.backends.caffe.remote`), or imported where Caffe is in this one
(`dreamopt.backends.caffe.in_process`); so it imports nothing of dreamopt, is plain ASCII, and its syntax is Python 3.5's.

A message is a header and a payload, each a length of 8 bytes (little endian) and as many bytes: JSON, whose "arrays" says
type and shape of each array, then the arrays' bytes one after another. Two frames over pipes are all that is needed;
execnet would bring its own serialization (numpy arrays as strings, copied twice) and no timeouts, and would not tell how
its worker died, which is what matters with a library that aborts.
"""

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import traceback

try:
    import fcntl
except ImportError:  # there are systems without
    fcntl = None

if __name__ == "__main__" and "OPENBLAS_CORETYPE" not in os.environ and os.path.exists("/proc/cpuinfo"):
    with open("/proc/cpuinfo") as cpuinfo:
        if "avx2" in cpuinfo.read():
            # Debian 11's OpenBLAS takes processors that it does not know for a Pentium 4, and is three times slower then.
            os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import numpy as np

MAGIC = b"\0dreamopt caffe worker 1\n"
KEPT_SUBNETS = 12
NEEDED_TYPES = ("Input", "Bias", "Power")
NEEDED_NAMES = ("layer_type_list", "Net", "TEST", "TRAIN", "set_mode_cpu", "set_mode_gpu", "set_device")
NEEDED_METHODS = ("_forward", "_backward", "copy_from", "share_with", "reshape")
FOLDERS = "dreamopt-caffe-"
LAYER_MARK = "dreamopt: layer "


class RefusedError(Exception):
    """A request that cannot be answered; `kind` tells the other side which error it is."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class SentModules:
    """Finds and loads the modules whose source the other side sent."""

    def __init__(self):
        self.sources = {}
        self.missed = []

    def find_spec(self, name, path=None, target=None):
        """Find a module."""
        if name not in self.sources and name.rpartition(".")[0] in self.sources:
            self.missed.append(name)
        if name not in self.sources:
            return None
        return importlib.util.spec_from_loader(name, self, origin=self.sources[name][0], is_package=self.sources[name][1])

    def create_module(self, spec):
        """Leave it to Python."""

    def exec_module(self, module):
        """Run a module's source."""
        path, _, text = self.sources[module.__name__]
        module.__file__ = path
        exec(compile(text, path, "exec"), module.__dict__)

    def get_source(self, name):
        """Return the source, for tracebacks."""
        return self.sources[name][2].decode("utf-8", "replace")


class Worker:
    """One base net, which holds the weights, and the subnets cut out of it, which share them.

    Parameters
    ----------
    caffe : module
        Real Caffe's, or one with its API.
    note : callable
        Gets the name of each layer before it runs for the first time at a new shape: who reads it knows where Caffe died.
    """

    def __init__(self, caffe, note=lambda name: None):
        self.caffe = caffe
        self.note = note
        self.gpu = None
        self.phase = None
        self.base = None
        self.subnets = {}
        self.used = []
        self.folder = None
        self.checked = False
        self.sent = SentModules()

    def answer(self, header, arrays):
        """Return the header and the arrays that answer a request."""
        if not self.checked:
            require_caffe_1_0(self.caffe)
            self.checked = True
        if self.gpu is None:
            self.caffe.set_mode_cpu()
        else:  # in each request, since Caffe's mode belongs to a thread
            self.caffe.set_mode_gpu()
            self.caffe.set_device(self.gpu)
        return getattr(self, "do_" + header["op"])(header, arrays)

    def do_hello(self, header, arrays):
        """Take the device (a GPU's number, "cpu", or "auto": try GPU 0 in a child) and tell versions."""
        version = version_of(self.caffe)
        clear_abandoned()
        device = header["device"]
        if device != "cpu":
            index = 0 if device == "auto" else device
            if header["trust"] or _gpu_works(self.caffe, index):
                self.gpu = index
            elif device != "auto":
                raise RefusedError("device", "Caffe %s there cannot use GPU %d" % (version, index))
        return {
            "version": str(version),
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "numpy": np.__version__,
            "gpu": self.gpu,
            "types": list(self.caffe.layer_type_list()),
            "fields": fields_of(self.caffe),
        }, []

    def do_file(self, header, arrays):
        """Add a part to a file of this worker's."""
        if self.folder is None:
            self.folder = Folder()
        with open(os.path.join(self.folder.path, header["name"]), "wb" if header["first"] else "ab") as stream:
            stream.write(arrays[0].tobytes())
        return {}, []

    def do_module(self, header, arrays):
        """Take the source of a module that a Python layer needs."""
        if self.sent not in sys.meta_path:
            sys.meta_path.insert(0, self.sent)
        self.sent.sources[header["name"]] = (header["path"], header["package"], arrays[0].tobytes())
        return {}, []

    def do_classes(self, header, arrays):
        """Import the classes of the Python layers; tell which one cannot be, why, and what may be missing for it.

        Caffe would import them too, but it prints the reason and raises nothing that tells it.
        """
        for i, (module, layer) in enumerate(header["classes"]):
            missing, problem = [], None
            del self.sent.missed[:]
            try:
                class_ = getattr(importlib.import_module(module), layer, None)
                if not (isinstance(class_, type) and issubclass(class_, self.caffe.Layer)):
                    return {"index": i, "problem": None}, []
            except ImportError as error:
                problem = "%s: %s" % (type(error).__name__, error)
                missing = self.sent.missed[::-1]
                if "No module named" in str(error):
                    missing.append(error.name or str(error).split()[-1])
            except (Exception, SystemExit) as error:
                problem = described(error)
            if problem is not None:
                return {"index": i, "problem": problem, "missing": missing}, []
        return {}, []

    def do_load(self, header, arrays):
        """Make the base net; tell the shapes of its weights and of its blobs."""
        self.subnets, self.used = {}, []
        self.phase = self.caffe.TRAIN if header["phase"] == "TRAIN" else self.caffe.TEST
        path = header["weights"]
        if path is not None and header["stored"]:
            path = os.path.join(self.folder.path, path)
        if path is not None and not os.path.exists(path):
            raise RefusedError("weights", "%s: there is no such file here, nor where Caffe runs" % path)
        if hasattr(self.caffe, "set_random_seed"):
            self.caffe.set_random_seed(header["seed"])
        try:
            self.base = self._net(header["text"])
            if path is not None:
                self.base.copy_from(path)
        finally:
            if self.folder is not None:
                self.folder.remove()
                self.folder = None
        return {
            "params": [[name, [_shape(blob) for blob in blobs]] for name, blobs in self.base.params.items()],
            "blobs": {name: _shape(blob) for name, blob in self.base.blobs.items()},
        }, []

    def do_hash(self, header, arrays):
        """Return the sha256 of every layer's name and weights, as the engine's."""
        weights = {name: [blob.data for blob in blobs] for name, blobs in self.base.params.items()}
        for name, array in zip(header["given"], arrays):  # of layers that are beyond this Caffe
            weights.setdefault(name, []).append(array)
        digest = hashlib.sha256()
        for name in header["order"]:
            for array in weights.pop(name, ()):
                dims = "(%s%s)" % (", ".join(str(int(size)) for size in array.shape), "," if array.ndim == 1 else "")
                digest.update((name + dims).encode("utf-8"))
                digest.update(np.ascontiguousarray(array).tobytes())
        return {"sha256": digest.hexdigest()}, []

    def do_subnet(self, header, arrays):
        """Make a subnet that uses the base net's weights."""
        net = self._net(header["text"])
        net.share_with(self.base)
        if header["id"] in self.subnets:
            self.used.remove(header["id"])
        while len(self.used) >= KEPT_SUBNETS:
            del self.subnets[self.used.pop(0)]
        self.subnets[header["id"]] = {"net": net, "ticket": None, "fresh": True}
        self.used.append(header["id"])
        return {}, []

    def do_shapes(self, header, arrays):
        """Reshape a subnet and return the shapes of its outputs."""
        subnet = self._subnet(header["id"])
        if subnet is None:
            return {"missing": True}, []
        net = subnet["net"]
        subnet["ticket"], subnet["fresh"] = None, True
        for name, shape in header["inputs"].items():
            net.blobs[name].reshape(*shape)
        net.reshape()
        return {"shapes": [_shape(net.blobs[name]) for name in header["outputs"]]}, []

    def do_forward(self, header, arrays):
        """Run a subnet; return the values of its outputs."""
        subnet = self._subnet(header["id"])
        if subnet is None:
            return {"missing": True}, []
        net = subnet["net"]
        subnet["ticket"] = None
        for name, array in zip(header["inputs"], arrays):
            self._fill(subnet, name, array.shape, array)
        for name, shape in header["zeros"].items():
            self._fill(subnet, name, tuple(shape), 0)
        layers = list(net._layer_names)
        if subnet["fresh"]:
            for i, name in enumerate(layers):
                self.note(name)
                net._forward(i, i)
            self.note("")
            subnet["fresh"] = False
        else:
            net._forward(0, len(layers) - 1)
        subnet["ticket"] = header["ticket"]
        return {}, [net.blobs[name].data for name in header["outputs"]]

    def do_backward(self, header, arrays):
        """Go on with a subnet's backward pass; stale if another forward pass came between.

        Set some gradients, run what lies between the layers "below" (None: from the top) and "until", then the layer "layer", and return
        blobs. A pass begins with zeros at the outputs.
        """
        subnet = self._subnet(header["id"])
        if subnet is None or subnet["ticket"] != header["ticket"]:
            return {"stale": True}, []
        net = subnet["net"]
        layers = list(net._layer_names)
        if header["begin"]:
            for name in header["outputs"]:
                net.blobs[name].diff[...] = 0
        for place, array in zip(header["writes"], arrays):
            diff = _blob(net, *place).diff
            if diff.shape != array.shape:
                raise RefusedError(
                    "shape",
                    "the gradient of %s %d of layer '%s' has shape %s, not %s"
                    % (place[1], place[2], place[0], tuple(diff.shape), tuple(array.shape)),
                )
            diff[...] = array
        if header["until"] is not None:
            first = len(layers) - 1 if header["below"] is None else layers.index(header["below"]) - 1
            last = layers.index(header["until"]) + 1
            if first >= last:
                net._backward(first, last)
        if header["layer"] is not None:
            at = layers.index(header["layer"])
            net._backward(at, at)
        return {}, [getattr(_blob(net, layer, side, k), what) for layer, side, k, what in header["reads"]]

    def do_weight_diffs(self, header, arrays):
        """Run the whole backward pass, and return the diffs of all weights; stale if another forward pass came between."""
        subnet = self._subnet(header["id"])
        if subnet is None or subnet["ticket"] != header["ticket"]:
            return {"stale": True}, []
        net = subnet["net"]
        for name in header["outputs"]:
            net.blobs[name].diff[...] = 0
        for blobs in net.params.values():
            for blob in blobs:
                blob.diff[...] = 0
        for name, array in zip(header["seeds"], arrays):
            net.blobs[name].diff[...] = array
        net._backward(len(net._layer_names) - 1, 0)
        known = [(name, blobs) for name, blobs in net.params.items() if name in self.base.params]
        return {"params": [[name, len(blobs)] for name, blobs in known]}, [blob.diff for _, blobs in known for blob in blobs]

    def do_weights(self, header, arrays):
        """Return a layer's weights."""
        return {}, [blob.data for blob in self.base.params[header["layer"]]]

    def _subnet(self, key):
        if key in self.subnets:
            self.used.remove(key)
            self.used.append(key)
        return self.subnets.get(key)

    def _fill(self, subnet, name, shape, array):
        blob = subnet["net"].blobs[name]
        if tuple(_shape(blob)) != shape:
            blob.reshape(*shape)
            subnet["fresh"] = True
        blob.data[...] = array

    def _net(self, text):
        folder = Folder()
        try:
            path = os.path.join(folder.path, "net.prototxt")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            net = self.caffe.Net(path, self.phase)
            net.zero_weights_reported = True  # who opened the network has said it; dreamopt's own Net need not
            return net
        finally:
            folder.remove()


class Folder:
    """A temporary folder, with a lock that tells later workers whether it is still in use: a killed one cannot remove it."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix=FOLDERS)
        self.lock = os.open(os.path.join(self.path, "lock"), os.O_RDWR | os.O_CREAT)
        if fcntl is not None:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self):
        """Delete it."""
        os.close(self.lock)
        shutil.rmtree(self.path, ignore_errors=True)


def clear_abandoned():
    """Delete the folders of this user's workers that were killed."""
    here = tempfile.gettempdir()
    for name in os.listdir(here) if fcntl is not None else ():
        path = os.path.join(here, name)
        if not name.startswith(FOLDERS) or os.path.islink(path):
            continue
        try:
            if os.stat(path).st_uid != os.getuid():
                continue
            with open(os.path.join(path, "lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # it is in use, or about to be, or gone
            pass


def version_of(caffe):
    """Return what a Caffe calls itself."""
    return str(getattr(caffe, "__version__", "of unknown version"))


def require_caffe_1_0(caffe):
    """Refuse a Caffe that lacks what is needed here."""
    lacking = [name for name in NEEDED_NAMES if not hasattr(caffe, name)]
    if not lacking:
        lacking = ["Net." + name for name in NEEDED_METHODS if not hasattr(caffe.Net, name)]
    if lacking:
        why = "it has no " + ", ".join(lacking)
    else:
        known = list(caffe.layer_type_list())
        lacking = [kind for kind in NEEDED_TYPES if kind not in known]
        why = "it lacks the layer types " + ", ".join(lacking)
    if lacking:
        raise RefusedError("old", "Caffe %s is too old: %s; Caffe 1.0 (2017) or newer is needed" % (version_of(caffe), why))


def fields_of(caffe):
    """Return the names of the fields that this Caffe's layers have, by message; None where it does not tell."""
    try:
        waiting = [importlib.import_module(caffe.__name__ + ".proto.caffe_pb2").LayerParameter.DESCRIPTOR]
    except (ImportError, AttributeError):
        return None
    fields = {}
    while waiting:
        message = waiting.pop()
        if message.name not in fields:
            fields[message.name] = [field.name for field in message.fields]
            waiting += [field.message_type for field in message.fields if field.message_type is not None]
    return fields


def described(error):
    """Return what an exception says, and the line it comes from where that is not in here."""
    here = traceback.extract_tb(sys.exc_info()[2])
    text = "%s: %s" % (type(error).__name__, error) if str(error) else type(error).__name__
    path, line, name = here[-1][:3]
    return text if len(here) < 2 or path == here[0][0] else "%s (%s:%d, in %s)" % (text, path, line, name)


def _blob(net, layer, side, k):
    names = net.bottom_names if side == "bottom" else net.top_names
    return net.blobs[names[layer][k]]


def _shape(blob):
    return [int(size) for size in blob.data.shape]


def _gpu_works(caffe, index):
    # Without one, or built for the CPU alone, Caffe aborts: only a child may try.
    child = os.fork()
    if child == 0:
        try:
            caffe.set_mode_gpu()
            caffe.set_device(index)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def pack(header, arrays):
    """Return the parts of a message."""
    arrays = [np.asarray(array, order="C") for array in arrays]  # ascontiguousarray makes a single number an array of one
    head = dict(header, arrays=[[array.dtype.str, list(array.shape)] for array in arrays])
    text = json.dumps(head).encode("ascii")
    return [struct.pack("<Q", len(text)) + text + struct.pack("<Q", sum(a.nbytes for a in arrays))] + [a.tobytes() for a in arrays]


def unpack(head, payload):
    """Return the header and the arrays of a message's two frames."""
    header = json.loads(head.decode("ascii"))
    arrays, at = [], 0
    for kind, shape in header.pop("arrays"):
        count = int(np.prod(shape, dtype=np.int64))
        array = np.frombuffer(payload, np.dtype(kind), count, at).reshape(shape)
        arrays.append(array)
        at += array.nbytes
    return header, arrays


def main():
    """Answer requests on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what Caffe and Python layers print must not fall into the answers
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the other side's to handle; this one ends with its pipe
    os.environ["GLOG_logtostderr"] = "1"
    os.environ["GLOG_minloglevel"] = "0"  # what it says while it makes a net tells which layer it dies of

    def send(header, arrays):
        for part in pack(header, arrays):
            answers.write(part)
        answers.flush()

    def note(name):
        os.write(2, (LAYER_MARK + name + "\n").encode("utf-8"))

    def receive():
        frames = []
        for _ in range(2):
            size = requests.read(8)
            if len(size) < 8:
                sys.exit()
            frames.append(requests.read(struct.unpack("<Q", size)[0]))
        return unpack(*frames)

    answers.write(MAGIC)
    answers.flush()
    worker = None
    while True:
        header, arrays = receive()
        try:
            if worker is None:
                try:
                    import caffe
                except (Exception, SystemExit) as problem:  # built for another numpy it raises anything
                    raise RefusedError("import", str(problem) if isinstance(problem, ImportError) else described(problem))
                worker = Worker(caffe, note)
            answer, blobs = worker.answer(header, arrays)
        except RefusedError as problem:
            answer, blobs = {"error": str(problem), "kind": problem.kind}, []
        except Exception as problem:
            answer, blobs = {"error": described(problem), "kind": "raised"}, []
        send(answer, blobs)


if __name__ == "__main__":
    main()
