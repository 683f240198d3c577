"""The host's side of the reference: questions to the original Caffe in its container.

    caffe = Live(client)            # docker SDK client; the image caffe_ref must exist (docker/build.py)
    answer = caffe.ask("layers/shallow", jobs, arrays, files)      # jobs: caffe_ref/record.py describes them
    answer.error("net/top/conv1/0", ours)      # max|ours - caffe| / max|caffe|

Tests, benchmarks, the reproduction and the GPU check use it. It knows nothing of recorded answers: those are in
parity_tests/lib/recordings.py.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import docker
import numpy as np

import containers

IMAGE = "caffe_ref"
CUDA_CACHE = "rankiqa_cuda_cache"  # a volume: what GPUs newer than the library compile when it first runs
SAMPLE = 512  # values kept of an array by `Array.sampled`


class CaffeError(RuntimeError):
    """Caffe refused or failed; the message is its own."""


class SampledError(RuntimeError):
    """The whole array was asked of an answer that holds a sample of it."""


def sample_places(size):
    """Which values of a flattened array a sample keeps: int array, all of `size` or SAMPLE of them, always the same."""
    if size <= SAMPLE:
        return np.arange(size)
    return np.sort(np.random.RandomState(size % 2**32).choice(size, SAMPLE, replace=False))


class Array:
    """One array of an answer, whole or sampled.

    Attributes:
        values: the values kept, flat.
        at: their places in the flattened array; None where all are kept.
        shape: of the whole array.
        largest: largest magnitude of the whole array.
    """

    def __init__(self, values, at, shape, largest):
        self.values, self.at, self.shape, self.largest = values, at, tuple(int(n) for n in shape), float(largest)

    @classmethod
    def whole(cls, array):
        """All of a numpy array."""
        largest = np.abs(array, dtype=np.float64).max() if array.size else 0.0
        return cls(array.reshape(-1), None, array.shape, largest)

    def sampled(self):
        """At most SAMPLE of its values; itself where the array is a file (uint8), which is kept whole."""
        if self.values.dtype == np.uint8:
            return self
        at = sample_places(self.values.size)
        return Array(self.values[at], at, self.shape, self.largest)

    def error(self, ours):
        """How far an array of ours is from Caffe's.

        Args:
            ours: array of Caffe's shape; another shape gives an infinite error.

        Returns:
            Difference: max|ours - caffe| / max|caffe|; where Caffe has only zeros, max|ours - caffe|.
        """
        ours = np.asarray(ours)
        if ours.shape != self.shape:
            return Difference(np.inf, f"expected Caffe's shape {self.shape}, got {ours.shape}")
        at = np.arange(ours.size) if self.at is None else self.at
        ours, caffe = ours.reshape(-1)[at].astype(np.float64), self.values.astype(np.float64)
        if not ours.size:
            return Difference(0.0, "no values")
        distance = np.abs(ours - caffe)
        worst = int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))
        where = tuple(int(n) for n in np.unravel_index(at[worst], self.shape))
        detail = f"at {where}: ours {ours[worst]:.9g}, Caffe {caffe[worst]:.9g}, difference {distance[worst]:.3g}"
        return Difference(distance[worst] / (self.largest or 1.0), detail)

    def array(self):
        """The whole array in its shape. Raises SampledError where only a sample was kept."""
        if self.at is not None:
            raise SampledError(f"only {self.values.size} of {np.prod(self.shape)} values were recorded")
        return self.values.reshape(self.shape)


class Difference(float):
    """An error relative to Caffe's largest value; `detail` says where it is largest and both values there."""

    def __new__(cls, error, detail):
        difference = super().__new__(cls, error)
        difference.detail = detail
        return difference


class Answer(dict):
    """{key of record.py: Array}."""

    def error(self, key, ours):
        """Array.error of the array named `key`; the detail names it, too."""
        difference = self[key].error(ours)
        return Difference(difference, f"{key}: {difference.detail}")

    def array(self, key):
        """Array.array of the array named `key`."""
        return self[key].array()

    def keys_of(self, prefix):
        """{what follows `prefix` in the key: key} of the arrays whose key begins with it."""
        return {key[len(prefix) :]: key for key in self if key.startswith(prefix)}


def question_digest(jobs, arrays, files):
    """SHA-256 over everything that determines the answer."""
    digest = hashlib.sha256(json.dumps(jobs, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode() + np.ascontiguousarray(array).tobytes())
    for name, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else Path(content).read_bytes()
        digest.update(f"\n{name}\n".encode() + hashlib.sha256(data).digest())
    return digest.hexdigest()


class Live:
    """The original Caffe, in a container without network, as an ordinary user, with one folder of the host.

    Args:
        client: docker SDK client of the engine that has the image.
        environment: variables of every container.
        image: name of the image.
        gpu: give the container the machine's GPUs, and compute on the first; what it compiles is kept in a volume.
    """

    name = "live"

    def __init__(self, client, environment=None, image=IMAGE, gpu=False):
        self.client, self.image, self.gpu = client, image, gpu
        self._running = set()
        core = os.environ.get("OPENBLAS_CORETYPE")
        self.environment = {**({"OPENBLAS_CORETYPE": core} if core else {}), **(environment or {})}

    def run(self, command, folder, on_line=None):
        """Run a command in the image.

        Args:
            command: list of words.
            folder: folder of the host, mounted as /work, where the command starts and may write.
            on_line: called with each line of output as it comes.

        Returns:
            str: its output, stdout and stderr together.

        Raises:
            CaffeError: the exit status was not 0; the message is the command's own.
        """
        folder = Path(folder).resolve()
        gpus = [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])] if self.gpu else None
        options = containers.mount_options(containers.traits(self.client), folder)
        if self.gpu:
            options["volumes"][CUDA_CACHE] = {"bind": "/cuda_cache", "mode": "rw"}
        container = self.client.containers.create(
            self.image,
            command,
            working_dir="/work",
            network_mode="none",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment=self.environment,
            device_requests=gpus,
            **options,
        )
        self._running.add(container)
        try:
            container.start()
            lines, rest = [], b""
            for piece in container.logs(stream=True, follow=True):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    lines.append(line.decode(errors="replace"))
                    if on_line:
                        on_line(lines[-1])
            lines.append(rest.decode(errors="replace"))
            status = container.wait()["StatusCode"]
        finally:
            self._running.discard(container)
            container.remove(force=True)
        if status:
            raise CaffeError(f"{' '.join(map(str, command))}: exit status {status}\n{own_words(lines)}")
        return "\n".join(lines)

    def stop(self):
        """End what other threads have this object run, each with CaffeError or an error of the engine's."""
        for container in tuple(self._running):
            with contextlib.suppress(docker.errors.APIError):
                container.kill()

    def ask(self, case, jobs, arrays=None, files=None):
        """Have Caffe answer questions.

        Args:
            case: name of the question; what keeps answers (parity_tests/lib/recordings.py) files them by it.
            jobs: list of dictionaries, as caffe_ref/record.py describes them.
            arrays: {name: numpy array} that the jobs refer to.
            files: {name in the jobs' folder: text, or a Path to copy}.

        Returns:
            Answer

        Raises:
            CaffeError: Caffe refused or failed; the message is its own.
        """
        arrays, files = arrays or {}, files or {}
        with tempfile.TemporaryDirectory(prefix="rankiqa-") as folder:
            for name, content in files.items():
                if isinstance(content, str):
                    Path(folder, name).write_text(content)
                else:
                    shutil.copyfile(content, Path(folder, name))
            if arrays:
                np.savez(Path(folder, "arrays.npz"), **arrays)
            device = {"device": "gpu"} if self.gpu else {}
            request = {"version": 1, **device, "arrays": "arrays.npz" if arrays else None, "jobs": jobs}
            Path(folder, "request.json").write_text(json.dumps(request))
            self.run(["python3", "/opt/caffe_ref/record.py", "request.json", "answer.npz"], folder)
            with np.load(Path(folder, "answer.npz"), allow_pickle=False) as answer:
                return Answer((key, Array.whole(answer[key])) for key in answer.files)


def own_words(lines, most=12):
    """What Caffe or Python said of a failure: its fatal lines, or the last ones."""
    fatal = [line for line in lines if line.startswith("F") or "Error" in line or line.startswith("record.py:")]
    return "\n".join((fatal or [line for line in lines if line.strip()])[-most:])
