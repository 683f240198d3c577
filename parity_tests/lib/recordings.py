"""What live Caffe answered: for machines without Docker, and held to live Caffe where there is one.

A file of parity_tests/recorded holds a digest of the question and, for each array of the answer, at most SAMPLE of
its values at fixed places, its shape and its largest magnitude.
"""

import copy
from pathlib import Path

import numpy as np

from caffe_client import Answer, Array, Live, question_digest, sample_places
from rankiqa.data.atomic_files import replacing

FOLDER = Path(__file__).resolve().parents[1] / "recorded"
RECORDED_RTOL = 1e-5  # float32 sums in the order of another processor


class NotRecorded(RuntimeError):
    """There is no recorded answer to this very question."""


def recording(case):
    """Where the answer to a question is kept."""
    return FOLDER / f"{case}.npz"


def save_recording(case, digest, answer):
    """Keep a sample of a live answer."""
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
    """The recorded answer to the question with this digest. Raises NotRecorded."""
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
    """Answers from the recordings, in the place of `caffe_client.Live`."""

    name = "recorded"

    def ask(self, case, jobs, arrays=None, files=None):
        """The recorded Answer. Raises NotRecorded."""
        return load_recording(case, question_digest(jobs, arrays or {}, files or {}))


class VerifiedLive(Live):
    """Live Caffe whose answers are held to the recordings, so that none stays that Caffe contradicts, or replace them.

    Args:
        keep: save every answer as its recording.
        verify: compare every answer with its recording; AssertionError where Caffe says something else.
        options: those of Live.
    """

    def __init__(self, client, keep=False, verify=True, **options):
        super().__init__(client, **options)
        self.keep, self.verify = keep, verify

    def unverified(self, keep=False):
        """The same Caffe for answers that depend on this machine: neither compared nor, unless `keep`, saved."""
        live = copy.copy(self)
        live.keep, live.verify = keep, False
        return live

    def ask(self, case, jobs, arrays=None, files=None):
        """As Live.ask."""
        answer = super().ask(case, jobs, arrays, files)
        if self.keep:
            save_recording(case, question_digest(jobs, arrays or {}, files or {}), answer)
        elif self.verify:
            stale = disagreements(answer, load_recording(case, question_digest(jobs, arrays or {}, files or {})))
            if stale:
                raise AssertionError(f"{case}: live Caffe no longer says what was recorded: {stale}")
        return answer


def disagreements(live, recorded):
    """Keys of two answers to one question that do not say the same.

    Files must be the same (but HDF5's, which hold the time); numbers typically equal to rounding: another processor may
    sum in another order, and a single gradient then goes to another of two equal values (test_gradients.py).
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
