"""Run the original Caffe in its container, from the host.

    caffe = Live(client)            # docker SDK client; the image caffe_ref must exist (docker/build.py)
    answer = caffe.ask("layers/shallow", jobs, arrays, files)      # jobs: caffe_ref/record.py describes them
    answer.error("net/top/conv1/0", ours)      # max|ours - caffe| / max|caffe|

Tests, benchmarks, the reproduction and the GPU check use it. Recorded answers are handled in
parity_tests/lib/recordings.py, not here.
"""

import contextlib
import functools
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
CUDA_CACHE = "rankiqa_cuda_cache"  # a volume for the code that is compiled at first use on GPUs newer than the library
SAMPLE = 512  # number of values that `Array.sampled` keeps
AT_ONCE = 1 << 18  # values that are compared at once: their differences stay in a core's cache


class CaffeError(RuntimeError):
    """Caffe refused a request or failed; the message is Caffe's."""


class SampledError(RuntimeError):
    """The whole array was requested, but the answer has only a sample of it."""


@functools.cache  # choosing from the millions of weights of a layer takes seconds
def sample_places(size):
    """Return the indices of a flattened array that a sample keeps, as an int array; the same for each call.

    Args:
        size: The size of the array. Up to SAMPLE values, all are kept; otherwise SAMPLE of them.
    """
    if size <= SAMPLE:
        places = np.arange(size)
    else:
        places = np.sort(np.random.RandomState(size % 2**32).choice(size, SAMPLE, replace=False))
    places.flags.writeable = False  # the next call returns the same array
    return places


class Array:
    """One array of an answer, whole or sampled.

    Attributes:
        values: The values that are kept, flat.
        at: Their indices in the flattened array; None if all are kept.
        shape: The shape of the whole array.
        largest: The largest magnitude in the whole array.
    """

    def __init__(self, values, at, shape, largest):
        self.values, self.at, self.shape, self.largest = values, at, tuple(int(n) for n in shape), float(largest)

    @classmethod
    def whole(cls, array):
        """Return an Array with all values of a numpy array."""
        largest = max(float(array.max()), -float(array.min())) if array.size else 0.0
        return cls(array.reshape(-1), None, array.shape, largest)

    def sampled(self):
        """Return a copy with at most SAMPLE values; an array of uint8 is a file and is returned unchanged."""
        if self.values.dtype == np.uint8:
            return self
        at = sample_places(self.values.size)
        return Array(self.values[at], at, self.shape, self.largest)

    def error(self, ours):
        """Compare an array of ours with Caffe's.

        Args:
            ours: An array of Caffe's shape; for another shape the error is infinite.

        Returns:
            Difference: max|ours - caffe| / max|caffe|, or max|ours - caffe| if Caffe has only zeros.
        """
        ours = np.asarray(ours)
        if ours.shape != self.shape:
            return Difference(np.inf, f"expected Caffe's shape {self.shape}, got {ours.shape}")
        ours = ours.reshape(-1) if self.at is None else ours.reshape(-1)[self.at]
        if not ours.size:
            return Difference(0.0, "no values")
        worst = _worst(ours, self.values)
        value, caffe = float(ours[worst]), float(self.values[worst])
        distance = abs(value - caffe)
        where = tuple(int(n) for n in np.unravel_index(worst if self.at is None else self.at[worst], self.shape))
        detail = f"at {where}: ours {value:.9g}, Caffe {caffe:.9g}, difference {distance:.3g}"
        return Difference(distance / (self.largest or 1.0), detail)

    def array(self):
        """Return the whole array in its shape.

        Raises:
            SampledError: If only a sample was kept.
        """
        if self.at is not None:
            raise SampledError(f"only {self.values.size} of {np.prod(self.shape)} values were recorded")
        return self.values.reshape(self.shape)


def _worst(ours, caffes):
    """Return the index at which two flat arrays differ most; a NaN differs more than any number."""
    worst, largest = 0, -1.0
    for first in range(0, ours.size, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        distance = np.abs(np.subtract(ours[part], caffes[part], dtype=np.float64))
        distance[np.isnan(distance)] = np.inf
        k = int(distance.argmax())
        if distance[k] > largest:
            worst, largest = first + k, distance[k]
    return worst


class Difference(float):
    """An error relative to Caffe's largest value; `detail` states where it is largest, and both values there."""

    def __new__(cls, error, detail):
        difference = super().__new__(cls, error)
        difference.detail = detail
        return difference


class Answer(dict):
    """{key of record.py: Array}."""

    def error(self, key, ours):
        """Return Array.error of the array `key`; the detail also states the key."""
        difference = self[key].error(ours)
        return Difference(difference, f"{key}: {difference.detail}")

    def array(self, key):
        """Return Array.array of the array `key`."""
        return self[key].array()

    def keys_of(self, prefix):
        """Return {key without the prefix: key} of the arrays whose key begins with `prefix`."""
        return {key[len(prefix) :]: key for key in self if key.startswith(prefix)}


def question_digest(jobs, arrays, files):
    """Return the SHA-256 over everything that determines the answer."""
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
        client: Docker SDK client of the engine that has the image.
        environment: Environment variables of every container.
        image: The name of the image.
        gpu: Give the container the machine's GPUs and compute on the first; compiled code is cached in a volume.
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
            command: A list of words.
            folder: A folder of the host. It is mounted as /work and is the command's working folder.
            on_line: Called with each line of output as soon as it is written.

        Returns:
            str: The output, stdout and stderr together.

        Raises:
            CaffeError: If the exit status is not 0; the message is the command's.
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
        """Kill the containers that other threads run with this object; their calls raise an error."""
        for container in tuple(self._running):
            with contextlib.suppress(docker.errors.APIError):
                container.kill()

    def ask(self, case, jobs, arrays=None, files=None):
        """Run jobs in Caffe and return the answer.

        Args:
            case: The name of the request; recordings (parity_tests/lib/recordings.py) are stored by it.
            jobs: A list of dictionaries, as caffe_ref/record.py describes them.
            arrays: {name: numpy array} that the jobs refer to.
            files: {name in the jobs' folder: text, or a Path to copy}.

        Returns:
            Answer

        Raises:
            CaffeError: If Caffe refuses or fails; the message is Caffe's.
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
    """Return the message of Caffe or Python about a failure: the fatal lines, or else the last lines."""
    fatal = [line for line in lines if line.startswith("F") or "Error" in line or line.startswith("record.py:")]
    return "\n".join((fatal or [line for line in lines if line.strip()])[-most:])
