"""The host's side of the reference, and getting an engine, without either Caffe or an engine."""

import os
import subprocess
import sys

import numpy as np
import pytest

import caffe_client as reference
import engine

NO_ENGINE = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}


def _answer():
    rng = np.random.default_rng(0)
    arrays = {"n/small": rng.standard_normal((2, 3)), "n/large": rng.standard_normal((40, 50)).astype(np.float32)}
    arrays["n/file"] = np.frombuffer(os.urandom(4000), np.uint8)
    return arrays, reference.Answer((key, reference.Array.whole(array)) for key, array in arrays.items())


def test_a_recording_answers_the_same_question(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "RECORDED", tmp_path)
    arrays, answer = _answer()
    jobs = [{"name": "n", "kind": "forward"}]
    digest = reference.question_digest(jobs, arrays, {"net": "text"})
    reference.save_recording("folder/case", digest, answer)
    found = reference.Recorded().ask("folder/case", jobs, arrays, {"net": "text"})
    for key, array in arrays.items():
        assert found.error(key, array) == 0
        assert found[key].largest == answer[key].largest
    assert (found.array("n/file") == arrays["n/file"]).all()
    assert found["n/large"].values.size == reference.SAMPLE
    with pytest.raises(reference.NotRecorded, match="only 512 of 2000"):
        found.array("n/large")
    off = arrays["n/large"].copy()
    off.flat[found["n/large"].at[7]] += 1
    assert found.error("n/large", off) > 0.1
    with pytest.raises(reference.NotRecorded, match="another question"):
        reference.Recorded().ask("folder/case", jobs, arrays, {"net": "other text"})
    with pytest.raises(reference.NotRecorded, match="never recorded"):
        reference.Recorded().ask("folder/none", jobs, arrays)


def test_a_recording_that_live_caffe_contradicts_is_named():
    arrays, answer = _answer()
    same = reference.Answer((key, array.sampled()) for key, array in answer.items())
    assert reference.disagreements(answer, same) == []
    for key, change in (("n/small", 1e-3), ("n/file", 1)):
        other = dict(arrays, **{key: arrays[key] + arrays[key].dtype.type(change)})
        other = reference.Answer((k, reference.Array.whole(array)) for k, array in other.items())
        assert reference.disagreements(other, same) == [key]
    del same["n/small"]
    assert reference.disagreements(answer, same) == ["n/small"]


def test_an_error_says_where():
    caffe = reference.Array.whole(np.array([[1.0, 2.0], [3.0, -4.0]], np.float32))
    error = caffe.error(np.array([[1.0, 2.0], [3.0, -3.0]], np.float32))
    assert error == 0.25
    assert "(1, 1)" in error.detail and "ours -3" in error.detail and "Caffe -4" in error.detail
    assert np.isinf(caffe.error(np.zeros((2, 3))))
    assert np.isnan(caffe.error(np.full((2, 2), np.nan)))


def test_caffes_own_words_are_found():
    log = ["I1123 net.cpp:58] layer", "F1123 blob.cpp:32] Check failed: shape[i] >= 0 (-107 vs. 0) ", "*** trace ***"]
    assert reference.own_words(log) == log[1]
    assert reference.own_words(["one", "", "two"]) == "one\ntwo"


def test_a_dead_pid_file_goes_and_a_living_one_stays(tmp_path, monkeypatch):
    file = tmp_path / "docker.pid"
    monkeypatch.setattr(engine, "PID_FILE", file)
    engine.forget_dead_pid()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    file.write_text(str(gone.pid))
    engine.forget_dead_pid()
    assert not file.exists()
    file.write_text(str(os.getpid()))
    engine.forget_dead_pid()
    assert file.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("ID=debian\n", True), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True), ("ID=fedora\n", False)],
)
def test_debian_and_its_kin(tmp_path, text, expected):
    (tmp_path / "os-release").write_text(text)
    assert engine.is_debian(tmp_path / "os-release") is expected


def test_without_an_engine_and_without_leave_to_install():
    command = [sys.executable, engine.__file__, "--no-install", "--", sys.executable, "-c", "print('ran')"]
    done = subprocess.run(command, env=NO_ENGINE, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert "no engine answers" in done.stderr and len(done.stderr.splitlines()) == 1
    command.insert(2, "--optional")
    done = subprocess.run(command, env=NO_ENGINE, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "ran\n"
