"""The host's side of the reference: questions to the original Caffe in its container, or to what it once answered.

    reference = Live(client)            # docker SDK client; the image caffe_ref must be there (docker/build.py)
    answer = reference.ask("layers/shallow", jobs, arrays, files)      # jobs: caffe_ref/record.py describes them
    answer.error("net/top/conv1/0", ours)      # max|ours - caffe| / max|caffe|

`Recorded` answers the same questions from parity_tests/recorded, where a file holds, for each array, at most SAMPLE
of its values at fixed places, its shape and its largest magnitude. It refuses a question other than the recorded one.
"""

import copy
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import docker
import numpy as np

from caffemodel.files import replacing

IMAGE = "caffe_ref"
IMAGE_USER = 1000  # who runs inside when the caller is root
RECORDED_RTOL = 1e-5  # float32 sums in the order of another processor
SAMPLE = 512  # values kept of an array in a recording
RECORDED = Path(__file__).resolve().parents[1] / "parity_tests" / "recorded"


class CaffeError(RuntimeError):
    """Caffe refused or failed; the message is its own."""


class NotRecorded(RuntimeError):
    """There is no recorded answer to this very question."""


def places(size):
    """Which values of a flattened array of `size` a recording keeps: all, or SAMPLE of them; int array."""
    if size <= SAMPLE:
        return np.arange(size)
    return np.sort(np.random.RandomState(size % 2**32).choice(size, SAMPLE, replace=False))


class Array:
    """One array of an answer, whole or sampled. `values` and `at` are flat; `at` None means whole."""

    def __init__(self, values, at, shape, largest):
        self.values, self.at, self.shape, self.largest = values, at, tuple(int(n) for n in shape), float(largest)

    @classmethod
    def whole(cls, array):
        largest = np.abs(array, dtype=np.float64).max() if array.size else 0.0
        return cls(array.reshape(-1), None, array.shape, largest)

    def sampled(self):
        if self.values.dtype == np.uint8:  # a file: whole or nothing
            return self
        at = places(self.values.size)
        return Array(self.values[at], at, self.shape, self.largest)

    def error(self, ours):
        """max|ours - caffe| / max|caffe| as a Difference (the plain difference where Caffe has only zeros)."""
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
        """The whole array; NotRecorded when only a sample was kept."""
        if self.at is not None:
            raise NotRecorded(f"only {self.values.size} of {np.prod(self.shape)} values were recorded")
        return self.values.reshape(self.shape)


class Difference(float):
    """An error relative to Caffe's largest value; `detail` says where it is largest and both values there."""

    def __new__(cls, error, detail):
        found = super().__new__(cls, error)
        found.detail = detail
        return found


class Answer(dict):
    """{key of record.py: Array}."""

    def error(self, key, ours):
        found = self[key].error(ours)
        return Difference(found, f"{key}: {found.detail}")

    def array(self, key):
        return self[key].array()

    def keys_of(self, prefix):
        """{the rest of the key: key} of the arrays below NAME/kind/."""
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


def recording(case):
    return RECORDED / f"{case}.npz"


def save_recording(case, digest, answer):
    """Keep a sample of a live answer (a temporary file, then renamed)."""
    target = recording(case)
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = {"question": np.array(digest)}
    for key, array in answer.items():
        kept[f"{key}|values"] = array.sampled().values
        kept[f"{key}|shape"] = np.array(array.shape, np.int64)
        kept[f"{key}|largest"] = np.array(array.largest)
    with replacing(target) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **kept)


def load_recording(case, digest):
    """The recorded answer to this very question, or NotRecorded."""
    try:
        with np.load(recording(case), allow_pickle=False) as kept:
            if str(kept["question"]) != digest:
                raise NotRecorded(f"{case}: what was recorded answers another question; record again with live Caffe")
            keys = [name[: -len("|values")] for name in kept.files if name.endswith("|values")]
            answer = Answer()
            for key in keys:
                shape = kept[f"{key}|shape"]
                values, size = kept[f"{key}|values"], int(np.prod(shape))
                at = None if values.size == size else places(size)
                answer[key] = Array(values, at, shape, kept[f"{key}|largest"])
            return answer
    except FileNotFoundError:
        raise NotRecorded(f"{case}: live Caffe's answer was never recorded") from None


class Recorded:
    """What live Caffe answered when the recordings were made."""

    name = "recorded"

    def ask(self, case, jobs, arrays=None, files=None):
        """-> Answer; raises NotRecorded."""
        return load_recording(case, question_digest(jobs, arrays or {}, files or {}))


class Live:
    """The original Caffe, in a container without network, as an ordinary user, with one folder of the host."""

    name = "live"

    def __init__(self, client, keep=False, verify=False, environment=None, image=IMAGE, gpu=False):
        """client: docker SDK client. keep: save every answer under parity_tests/recorded; verify: hold it to what is
        recorded there, so that no recording outlives what it says. environment: variables of every container.
        gpu: give the container the machine's GPUs, and compute on the first."""
        self.client, self.keep, self.verify, self.image, self.gpu = client, keep, verify, image, gpu
        core = os.environ.get("OPENBLAS_CORETYPE")
        self.environment = {**({"OPENBLAS_CORETYPE": core} if core else {}), **(environment or {})}

    def unverified(self, keep=False):
        """The same Caffe, for answers that depend on this machine: not held to a recording, nor kept unless told."""
        live = copy.copy(self)
        live.keep, live.verify = keep, False
        return live

    def run(self, command, folder, on_line=None):
        """Run a command in the image with `folder` as /work; returns its output. Raises CaffeError with its own words.

        on_line: called with each line as it comes.
        """
        folder = Path(folder).resolve()
        user = f"{os.getuid()}:{os.getgid()}"
        if os.getuid() == 0:
            user = f"{IMAGE_USER}:{IMAGE_USER}"
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, IMAGE_USER, IMAGE_USER, follow_symlinks=False)
        gpus = [docker.types.DeviceRequest(count=-1, capabilities=[["gpu"]])] if self.gpu else None
        container = self.client.containers.create(
            self.image,
            command,
            working_dir="/work",
            network_mode="none",
            user=user,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            volumes={str(folder): {"bind": "/work", "mode": "rw"}},
            environment=self.environment,
            device_requests=gpus,
        )
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
            container.remove(force=True)
        if status:
            raise CaffeError(f"{' '.join(map(str, command))}: exit status {status}\n{own_words(lines)}")
        return "\n".join(lines)

    def ask(self, case, jobs, arrays=None, files=None):
        """-> Answer of record.py to these jobs.

        arrays: {name: numpy array} that the jobs refer to; files: {name in the job's folder: text, or a Path to copy}.
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
            with np.load(Path(folder, "answer.npz"), allow_pickle=False) as found:
                answer = Answer((key, Array.whole(found[key])) for key in found.files)
        if self.keep:
            save_recording(case, question_digest(jobs, arrays, files), answer)
        elif self.verify:
            stale = disagreements(answer, load_recording(case, question_digest(jobs, arrays, files)))
            if stale:
                raise AssertionError(f"{case}: live Caffe no longer says what was recorded: {stale}")
        return answer


def disagreements(live, recorded):
    """Keys of two answers to one question that do not say the same.

    Files must be the same (but HDF5's, which hold the time); numbers typically equal to rounding: another processor may
    sum in another order, and a single gradient then goes to another of two equal values (test_gradients.py).
    """
    found = sorted(set(live) ^ set(recorded))
    for key in set(live) & set(recorded):
        old, new = recorded[key], live[key]
        new = new if old.at is None else new.sampled()
        if new.shape != old.shape:
            found += [] if "h5" in key or "hdf5" in key else [key]
        elif new.values.dtype == np.uint8:
            found += [] if "h5" in key or "hdf5" in key or (new.values == old.values).all() else [key]
        elif new.values.size:
            apart = np.median(np.abs(new.values.astype(np.float64) - old.values))
            found += [] if apart <= RECORDED_RTOL * (old.largest or 1.0) else [key]
    return sorted(found)


def own_words(lines, most=12):
    """What Caffe or Python said of a failure: its fatal lines, or the last ones."""
    fatal = [line for line in lines if line.startswith("F") or "Error" in line or line.startswith("record.py:")]
    return "\n".join((fatal or [line for line in lines if line.strip()])[-most:])
