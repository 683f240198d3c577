"""The client that asks the original Caffe, tested without Caffe."""

import numpy as np
import pytest

from caffe_client import AT_ONCE, CUDA_CACHE, Array, CaffeError, Live, own_words


def test_an_error_says_where():
    caffe = Array.whole(np.array([[1.0, 2.0], [3.0, -4.0]], np.float32))
    error = caffe.error(np.array([[1.0, 2.0], [3.0, -3.0]], np.float32))
    assert error == 0.25
    assert "(1, 1)" in error.detail and "ours -3" in error.detail and "Caffe -4" in error.detail
    assert np.isinf(caffe.error(np.zeros((2, 3))))
    assert np.isnan(caffe.error(np.full((2, 2), np.nan)))


def test_an_error_in_any_part_of_a_large_array():
    caffe, ours = np.ones(AT_ONCE * 2 + 5, np.float32), np.ones(AT_ONCE * 2 + 5, np.float32)
    ours[AT_ONCE + 3], ours[7] = 2, 1.5
    error = Array.whole(caffe).error(ours)
    assert error == 1 and f"({AT_ONCE + 3},)" in error.detail
    ours[-1] = np.nan
    error = Array.whole(caffe).error(ours)
    assert np.isnan(error) and f"({AT_ONCE * 2 + 4},)" in error.detail


def test_caffes_own_words_are_found():
    log = ["I1123 net.cpp:58] layer", "F1123 blob.cpp:32] Check failed: shape[i] >= 0 (-107 vs. 0) ", "*** trace ***"]
    assert own_words(log) == log[1]
    assert own_words(["one", "", "two"]) == "one\ntwo"


@pytest.mark.parametrize("gpu", [False, True])
def test_what_a_gpu_compiles_outlives_the_container(gpu, tmp_path, monkeypatch):
    created = []

    class Client:
        def info(self):
            return {}

        @property
        def containers(self):
            return self

        def create(self, *_, **options):
            created.append(options)
            raise CaffeError("enough")

    with pytest.raises(CaffeError, match="enough"):
        Live(Client(), gpu=gpu).run(["true"], tmp_path)
    (options,) = created
    volumes = {volume["bind"]: name for name, volume in options["volumes"].items()}
    assert volumes == {"/work": str(tmp_path)} | ({"/cuda_cache": CUDA_CACHE} if gpu else {})
    assert bool(options["device_requests"]) is gpu
