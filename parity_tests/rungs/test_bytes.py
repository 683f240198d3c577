"""Parity test `bytes`: read Caffe's files and write them back, convert weights without loss, upgrade old formats."""

import numpy as np
import pytest

import caffemodel
from caffemodel import files
from caffemodel.schema import FAST
from lib.tolerances import EXACT
from rankiqa_convert import cli as convert
from sample_networks import converted, deploy_text, random_caffemodel

# A net with more layer types than ours and blobs of one to four axes
MIXED = """
name: "mixed"
input: "data" input_shape { dim: 2 dim: 4 dim: 9 dim: 7 }
input: "label" input_shape { dim: 2 dim: 3 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2 group: 2 weight_filler { type: "xavier" } } }
layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up"
  convolution_param { num_output: 2 kernel_size: 2 stride: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "fc no bias" type: "InnerProduct" bottom: "up" top: "fc"
  inner_product_param { num_output: 3 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "mixed.prototxt" base_lr: 0.001 lr_policy: "step" gamma: 0.1 stepsize: 2 momentum: 0.9 max_iter: 10
solver_mode: CPU random_seed: 5 snapshot_prefix: "snap"
"""


def _differ(ours, caffes):
    """Return the share of bytes that differ: 0.0 for equal byte strings, 1.0 for another length."""
    ours, caffes = np.frombuffer(ours, np.uint8), caffes.reshape(-1)
    if len(ours) != len(caffes):
        return 1.0
    return float((ours != caffes).mean())


@pytest.fixture(scope="module")
def written(caffe, tmp_path_factory):
    """Return ({name: path} of files that Caffe wrote, its whole answer)."""
    jobs = [{"name": "net", "kind": "forward", "net": "mixed.prototxt", "seed": 3}]
    jobs[0]["return"] = ["caffemodel", "hdf5", "params"]
    for name in ("binary", "hdf5"):
        jobs.append({"name": name, "kind": "solve", "solver": f"{name}.prototxt", "steps": 3, "set": {}})
        jobs[-1]["return"] = ["params", "snapshot"]
    prototxts = {"mixed.prototxt": MIXED, "binary.prototxt": SOLVER, "hdf5.prototxt": SOLVER + "snapshot_format: HDF5"}
    answer = caffe.ask("bytes/mixed", jobs, {}, prototxts)
    folder, paths = tmp_path_factory.mktemp("written"), {}
    for key in answer:
        name = key.split("/")[-1]
        if "/file/" in key or name in ("caffemodel", "hdf5"):
            paths[key] = folder / (name if "/file/" in key else f"saved.{name}")
            paths[key].write_bytes(answer.array(key).tobytes())
    return paths, answer


BINARY = ["net/caffemodel", "binary/file/snap_iter_3.caffemodel"]
ALL = [*BINARY, "net/hdf5", "hdf5/file/snap_iter_3.caffemodel.h5"]


@pytest.mark.parametrize("key", BINARY)
def test_a_model_comes_back_byte_for_byte(written, parity, tmp_path, key):
    paths, answer = written
    caffemodel.write(caffemodel.read(paths[key]), tmp_path / "again.caffemodel")
    again = (tmp_path / "again.caffemodel").read_bytes()
    parity.check("bytes", f"{key} read and written", _differ(again, answer.array(key)), EXACT)
    spoiled = bytearray(again)
    spoiled[len(spoiled) // 2] ^= 1
    parity.must_fail("bytes", f"wrong: one bit of {key}", _differ(bytes(spoiled), answer.array(key)), EXACT)


def test_a_solverstate_comes_back_byte_for_byte(written, parity, tmp_path):
    paths, answer = written
    key = "binary/file/snap_iter_3.solverstate"
    state = caffemodel.read_solverstate(paths[key])
    assert (state.iter, state.current_step, state.learned_net) == (3, 1, "snap_iter_3.caffemodel")
    caffemodel.write_solverstate(state, tmp_path / "again.solverstate")
    again = (tmp_path / "again.solverstate").read_bytes()
    parity.check("bytes", f"{key} read and written", _differ(again, answer.array(key)), EXACT)


def test_the_hdf5_state_says_the_same(written, parity):
    paths, _ = written
    binary = caffemodel.read_solverstate(paths["binary/file/snap_iter_3.solverstate"])
    hdf5 = caffemodel.read_solverstate(paths["hdf5/file/snap_iter_3.solverstate.h5"])
    assert (hdf5.iter, hdf5.current_step) == (binary.iter, binary.current_step)
    assert [b.shape for b in hdf5.history] == [b.shape for b in binary.history]
    worst = max(np.abs(a.data - b.data).max() for a, b in zip(hdf5.history, binary.history, strict=True))
    parity.check("bytes", "history of the HDF5 state", worst, EXACT)


@pytest.mark.parametrize("key", ALL)
def test_weights_are_caffes_own(written, parity, key):
    paths, answer = written
    job = key.split("/")[0]
    params = answer.keys_of(f"{job}/param/")
    layers = caffemodel.read(paths[key]).layers
    blobs = {f"{layer.name}/{k}": blob for layer in layers for k, blob in enumerate(layer.blobs)}
    assert set(blobs) == set(params)
    for name, param in params.items():
        parity.check("bytes", f"{key} {name}", answer.error(param, blobs[name].data), EXACT)
        one_ulp = blobs[name].data.copy()
        at = 0 if answer[param].at is None else answer[param].at[0]  # a recording holds only some of the values
        one_ulp.flat[at] = np.nextafter(one_ulp.flat[at], np.float32(np.inf))
        parity.must_fail("bytes", f"wrong: one ulp in {key} {name}", answer.error(param, one_ulp), EXACT)


def _v1(net, nested=False):
    """Return a hand-made message of an old model file: V1, or V0 with nested layers and a padding layer."""
    rng = np.random.default_rng(0)
    message = FAST["NetParameter"](name="old", input=["data"], input_dim=[1, 3, 8, 8], force_backward=True)

    def blob(target, *shape):
        for name, size in zip(("num", "channels", "height", "width"), shape, strict=True):
            setattr(target, name, size)
        target.data = rng.standard_normal(shape, np.float32).tobytes()

    rows = [("data0", "data", 5, [], ["x"]), ("pad1", "padding", None, ["data"], ["pad1"]),
            ("conv1", "conv", 4, ["pad1"], ["conv1"]), ("relu1", "relu", 18, ["conv1"], ["conv1"]),
            ("pool1", "pool", 17, ["conv1"], ["pool1"]), ("norm1", "lrn", 15, ["pool1"], ["norm1"]),
            ("drop1", "dropout", 6, ["norm1"], ["norm1"]), ("fc1", "innerproduct", 14, ["norm1"], ["fc1"]),
            ("loss", "softmax_loss", 21, ["fc1", "x"], [])]  # fmt: skip
    for name, old, number, bottoms, tops in rows:
        if number is None and not nested:
            continue
        if name == "conv1" and not nested:
            bottoms = ["data"]
        layer = message.layers.add(bottom=bottoms, top=tops)
        home = layer.layer if nested else layer
        home.name = name
        if nested:
            home.type = old
        else:
            home.type = number
        if name in ("conv1", "fc1"):
            blob(home.blobs.add(), *((4, 3, 3, 3) if name == "conv1" else (1, 1, 5, 64)))
            blob(home.blobs.add(), 1, 1, 1, 4 if name == "conv1" else 5)
            home.blobs_lr.extend([1.0, 2.0])
            home.weight_decay.extend([1.0, 0.0])
    if nested:
        by_name = {layer.layer.name: layer.layer for layer in message.layers}
        by_name["data0"].MergeFrom(
            FAST["V0LayerParameter"](source="db", batchsize=4, scale=0.5, cropsize=3, mirror=True)
        )
        by_name["pad1"].pad = 2
        by_name["conv1"].MergeFrom(
            FAST["V0LayerParameter"](num_output=4, kernelsize=3, stride=2, group=1, biasterm=True)
        )
        by_name["pool1"].MergeFrom(FAST["V0LayerParameter"](pool=1, kernelsize=2, stride=2))
        by_name["norm1"].MergeFrom(FAST["V0LayerParameter"](local_size=3, alpha=0.1, beta=0.5))
        by_name["drop1"].dropout_ratio = 0.25
        by_name["fc1"].num_output = 5
    else:
        by_name = {layer.name: layer for layer in message.layers}
        data = FAST["DataParameter"](source="db", scale=0.5, mean_file="mean", batch_size=4, crop_size=3, mirror=True)
        by_name["data0"].data_param = data.SerializeToString()
        by_name["conv1"].convolution_param = FAST["ConvolutionParameter"](num_output=4, pad=[2]).SerializeToString()
        by_name["conv1"].param.extend(["shared weight", "shared bias"])
        by_name["conv1"].blob_share_mode.extend([1, 0])
        by_name["loss"].loss_weight.append(0.5)
    return message


@pytest.mark.parametrize("version", ["V0", "V1"])
def test_old_files_are_upgraded_as_caffe_does(caffe, parity, tmp_path, version):
    path = tmp_path / "old.caffemodel"
    path.write_bytes(_v1(version, nested=version == "V0").SerializeToString())
    net = caffemodel.read(path)
    assert net.version == version
    answer = caffe.ask(f"bytes/{version}", [{"name": "old", "kind": "upgrade", "file": "old"}], {}, {"old": path})
    upgraded = caffemodel.upgrade(net)
    caffemodel.write(upgraded, tmp_path / "new.caffemodel")
    ours, caffes = (tmp_path / "new.caffemodel").read_bytes(), answer.array("old/upgraded")
    parity.check("bytes", f"{version} upgraded", _differ(ours, caffes), EXACT)
    parity.must_fail("bytes", f"wrong: {version} as it is", _differ(path.read_bytes(), caffes), EXACT)
    (tmp_path / "caffes.caffemodel").write_bytes(caffes.tobytes())
    theirs = caffemodel.read(tmp_path / "caffes.caffemodel")
    with_blobs = [(layer.name, layer.type) for layer in net.layers]
    assert with_blobs == [(layer.name, layer.type) for layer in theirs.layers if layer.type != "Input"]


@pytest.mark.parametrize(("arch", "like"), [("shallow", "live-rank"), ("shallow", "tid2013-ft")])
def test_there_and_back(caffe, parity, tmp_path, arch, like):
    """Convert caffemodel -> safetensors -> caffemodel, load it in Caffe, and compare every bit."""
    first = random_caffemodel(tmp_path / "first.caffemodel", arch, like)
    model = converted(first)
    back = tmp_path / "back.caffemodel"
    weights = str(first.with_suffix(".safetensors"))
    assert convert.main([weights, "--to", "caffemodel", "--like", like, "--out", str(back)]) == 0
    job = {"name": "net", "kind": "forward", "net": "net.prototxt", "weights": "back", "return": ["params"]}
    answer = caffe.ask(f"bytes/{arch}_{like}", [job], {}, {"net.prototxt": deploy_text(arch, like), "back": back})
    for name, key in answer.keys_of("net/param/").items():
        layer, k = name.split("/")
        values = model.state_dict()[f"{layer}.{('weight', 'bias')[int(k)]}"].numpy()
        parity.check("bytes", f"{arch} {like} {name}, there and back", answer.error(key, values), EXACT)
    again = tmp_path / "again.caffemodel"
    assert convert.main([weights, "--to", "caffemodel", "--like", str(first), "--out", str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert files.content_type(again) == "caffemodel"
