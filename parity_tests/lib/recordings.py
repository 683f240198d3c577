"""Recorded answers of live Caffe: for machines without Docker, and compared with live Caffe where Docker runs.

A file in parity_tests/recorded holds a digest of the question and, for each array of the answer, its shape, its
largest magnitude and at most SAMPLE of its values at fixed places.
"""

import copy
from pathlib import Path

import numpy as np

from caffe_client import Answer, Array, Live, question_digest, sample_places
from rankiqa.data.atomic_files import replacing

FOLDER = Path(__file__).resolve().parents[1] / "recorded"
RECORDED_RTOL = 1e-5  # another processor adds float32 values in another order
# An idle thread of OpenBLAS sleeps after 2^12 instead of 2^26 clock ticks, which the other processes of tests can use
THREADS_SLEEP = {"OPENBLAS_THREAD_TIMEOUT": "12"}
SHARED_BYTES = 600 << 20  # of live answers, kept because tests that follow each other ask the same question


class NotRecorded(RuntimeError):
    """There is no recorded answer to exactly this question."""


def recording(case):
    """Return the path of the recorded answer to a question."""
    return FOLDER / f"{case}.npz"


def save_recording(case, digest, answer):
    """Save a sample of a live answer."""
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
    """Return the recorded answer to the question with this digest; raise NotRecorded if there is none."""
    try:
        with np.load(recording(case), allow_pickle=False) as kept:
            if str(kept["question"]) != digest:
                raise NotRecorded(f"{case}: the recording answers another question; record again with live Caffe")
            keys = [name[: -len("|values")] for name in kept.files if name.endswith("|values")]
            answer = Answer()
            for key in keys:
                shape = kept[f"{key}|shape"]
                values, size = kept[f"{key}|values"], int(np.prod(shape))
                at = None if values.size == size else sample_places(size)
                answer[key] = Array(values, at, shape, kept[f"{key}|largest"])
            return answer
    except FileNotFoundError:
        raise NotRecorded(f"{case}: live Caffe's answer was never recorded") from None


class Recorded:
    """Answer from the recordings; a replacement for `caffe_client.Live`."""

    name = "recorded"

    def ask(self, case, jobs, arrays=None, files=None):
        """Return the recorded Answer; raise NotRecorded if there is none."""
        return load_recording(case, question_digest(jobs, arrays or {}, files or {}))


class VerifiedLive(Live):
    """Live Caffe whose answers are compared with the recordings, or replace them; the same question is asked once.

    Args:
        keep: save every answer as the new recording.
        verify: compare every answer with its recording; raise AssertionError if they differ.
        environment: as Live's.
        options: those of Live.
    """

    def __init__(self, client, keep=False, verify=True, environment=None, **options):
        super().__init__(client, environment={**THREADS_SLEEP, **(environment or {})}, **options)
        self.keep, self.verify = keep, verify
        self._answers = {}  # {(case, digest): Answer}, the last question last

    def unverified(self, keep=False):
        """Return the same Caffe for answers that depend on this machine: not compared, and saved only if `keep`."""
        live = copy.copy(self)
        live.keep, live.verify = keep, False
        return live

    def ask(self, case, jobs, arrays=None, files=None):
        """Ask as Live.ask does, then compare or save the answer. Callers must not change its arrays."""
        if not (self.keep or self.verify):
            return super().ask(case, jobs, arrays, files)
        digest = question_digest(jobs, arrays or {}, files or {})
        if (case, digest) not in self._answers:
            answer = super().ask(case, jobs, arrays, files)
            if self.keep:
                save_recording(case, digest, answer)
            else:
                stale = disagreements(answer, load_recording(case, digest))
                if stale:
                    raise AssertionError(f"{case}: live Caffe's answer differs from the recording in {stale}")
            self._answers[case, digest] = answer
        answer = self._answers[case, digest] = self._answers.pop((case, digest))
        while sum(map(_bytes, self._answers.values())) > SHARED_BYTES:
            del self._answers[next(iter(self._answers))]
        return answer


def _bytes(answer):
    return sum(array.values.nbytes for array in answer.values())


def disagreements(live, recorded):
    """Return the keys in which two answers to one question disagree.

    Files must be equal, except HDF5 files, which contain the time. The median difference of numbers must be within
    rounding: another processor may add in another order, and single gradients then go to the other of two equal values
    (test_gradients.py).
    """
    stale = sorted(set(live) ^ set(recorded))
    for key in set(live) & set(recorded):
        old, new = recorded[key], live[key]
        new = new if old.at is None else new.sampled()
        if new.shape != old.shape:
            stale += [] if "h5" in key or "hdf5" in key else [key]
        elif new.values.dtype == np.uint8:
            stale += [] if "h5" in key or "hdf5" in key or (new.values == old.values).all() else [key]
        elif new.values.size:
            apart = np.median(np.abs(new.values.astype(np.float64) - old.values))
            stale += [] if apart <= RECORDED_RTOL * (old.largest or 1.0) else [key]
    return sorted(stale)
