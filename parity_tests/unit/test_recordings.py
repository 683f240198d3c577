"""Recorded answers: saved, loaded and compared, without Caffe."""

import os

import numpy as np
import pytest

from caffe_client import SAMPLE, Answer, Array, Live, SampledError, question_digest
from lib import recordings
from lib.recordings import NotRecorded, Recorded, VerifiedLive, disagreements, save_recording


def _answer():
    rng = np.random.default_rng(0)
    arrays = {"n/small": rng.standard_normal((2, 3)), "n/large": rng.standard_normal((40, 50)).astype(np.float32)}
    arrays["n/file"] = np.frombuffer(os.urandom(4000), np.uint8)
    return arrays, Answer((key, Array.whole(array)) for key, array in arrays.items())


def test_a_recording_answers_the_same_question(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "FOLDER", tmp_path)
    arrays, answer = _answer()
    jobs = [{"name": "n", "kind": "forward"}]
    digest = question_digest(jobs, arrays, {"net": "text"})
    save_recording("folder/case", digest, answer)
    recorded = Recorded().ask("folder/case", jobs, arrays, {"net": "text"})
    for key, array in arrays.items():
        assert recorded.error(key, array) == 0
        assert recorded[key].largest == answer[key].largest
    assert (recorded.array("n/file") == arrays["n/file"]).all()
    assert recorded["n/large"].values.size == SAMPLE
    with pytest.raises(SampledError, match="only 512 of 2000"):
        recorded.array("n/large")
    off = arrays["n/large"].copy()
    off.flat[recorded["n/large"].at[7]] += 1
    assert recorded.error("n/large", off) > 0.1
    with pytest.raises(NotRecorded, match="another question"):
        Recorded().ask("folder/case", jobs, arrays, {"net": "other text"})
    with pytest.raises(NotRecorded, match="never recorded"):
        Recorded().ask("folder/none", jobs, arrays)


def test_the_same_question_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "FOLDER", tmp_path)
    _, answer = _answer()
    asked = []
    monkeypatch.setattr(Live, "ask", lambda self, case, *question: asked.append(case) or answer)
    live = VerifiedLive(None)
    for case in ("a", "b"):
        save_recording(case, question_digest([case], {}, {}), answer)
    for case in ("a", "a", "b", "a"):
        assert live.ask(case, [case]) is answer
    assert asked == ["a", "b"]
    with pytest.raises(NotRecorded, match="another question"):
        live.ask("a", ["other jobs"])
    monkeypatch.setattr(recordings, "SHARED_BYTES", 0)
    live.ask("a", ["a"])
    live.ask("a", ["a"])
    assert asked == ["a", "b", "a", "a"]
    live.unverified().ask("a", ["a"])
    assert len(asked) == 5


def test_a_recording_that_live_caffe_contradicts_is_named():
    arrays, answer = _answer()
    same = Answer((key, array.sampled()) for key, array in answer.items())
    assert disagreements(answer, same) == []
    for key, change in (("n/small", 1e-3), ("n/file", 1)):
        other = dict(arrays, **{key: arrays[key] + arrays[key].dtype.type(change)})
        other = Answer((k, Array.whole(array)) for k, array in other.items())
        assert disagreements(other, same) == [key]
    del same["n/small"]
    assert disagreements(answer, same) == ["n/small"]
