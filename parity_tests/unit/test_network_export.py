"""Networks in torch.export and ONNX: crops in any number, whole images of any size."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import rankiqa
from lib.rated_inputs import pictures
from rankiqa.models.score_meaning import MEANINGS
from rankiqa.models.weights import describe
from rankiqa.scoring import torch_to_onnx
from rankiqa.scoring.dense import dense_forward

ONNX_RTOL = 1e-4  # the other library adds in another order


@pytest.fixture(scope="module")
def images(photograph):
    return pictures(photograph)


def crops_of(model, images, n):
    offsets = rankiqa.crop_offsets(*images[0].shape[:2], model.crop, n, np.random.RandomState(0))
    return rankiqa.take_crops(images[0], offsets, model.input_spec)


def test_torch_export_with_any_batch(weights, images):
    model = rankiqa.load(weights)
    program = torch.export.export(
        model, (crops_of(model, images, 2),), dynamic_shapes=({0: torch.export.Dim("N")},)
    ).module()
    for n in (1, 5):
        crops = crops_of(model, images, n)
        torch.testing.assert_close(program(crops), model(crops), rtol=1e-5, atol=1e-5)


def run_onnx(path, crops):
    session = pytest.importorskip("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"data": crops.numpy()})[0], session.get_outputs()[0].name


@pytest.mark.parametrize("arch", ["shallow", "alexnet", pytest.param("vgg16", marks=pytest.mark.slow)])
def test_onnx(arch, images, tmp_path):
    pytest.importorskip("onnxscript")
    if torch.__version__ < torch_to_onnx.OLDEST:
        pytest.skip("this PyTorch cannot export live networks")
    torch.manual_seed(0)
    model = rankiqa.build(arch).train()
    model.meaning = MEANINGS["live-rank"]
    path = tmp_path / "m.onnx"
    rankiqa.export_onnx(model, path)
    assert model.training and os.listdir(tmp_path) == ["m.onnx"]
    model.eval()
    for n in (1, 3):
        crops = crops_of(model, images, n)
        output, name = run_onnx(path, crops)
        with torch.no_grad():
            expected = model(crops).numpy()
        assert output.shape == (n, 1) and name == model.head
        assert np.abs(output - expected).max() <= ONNX_RTOL * np.abs(expected).max()
        with torch.no_grad():
            turned = model(crops.flip(1)).numpy()
        assert np.abs(output - turned).max() > ONNX_RTOL * np.abs(expected).max()
    import onnx

    assert {prop.key: prop.value for prop in onnx.load(path).metadata_props} == describe(model)
    if importlib.util.find_spec("openvino"):
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        assert np.abs(compiled(crops.numpy())[0] - expected).max() <= ONNX_RTOL * np.abs(expected).max()


def test_dense_onnx_of_any_size(tmp_path):
    """Batch and size are free: a single score, a row of scores, and a map with partial pooling windows."""
    pytest.importorskip("onnxscript")
    if torch.__version__ < torch_to_onnx.OLDEST_DENSE:
        pytest.skip("this PyTorch cannot export with sizes left open")
    torch.manual_seed(0)
    model = rankiqa.build("shallow").train()
    path = tmp_path / "dense.onnx"
    rankiqa.export_onnx(model, path, dense=True)
    assert model.training
    model.eval()
    engines = [lambda x: run_onnx(path, x)[0]]
    if importlib.util.find_spec("openvino"):
        import openvino

        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        engines.append(lambda x: compiled(x.numpy())[0])
    random = torch.Generator().manual_seed(0)
    for n, height, width in ((1, model.crop, model.crop), (2, model.crop + 101, model.crop + 5), (1, 300, 403)):
        images = torch.rand(n, 3, height, width, generator=random) * 255
        with torch.no_grad():
            expected = dense_forward(model, images).numpy()
        for engine in engines:
            output = engine(images)
            assert output.shape == expected.shape
            assert np.abs(output - expected).max() <= ONNX_RTOL * np.abs(expected).max()


def test_torch_export_of_any_size(weights):
    """Batch and size are free for maps of at least two rows and columns (torch.export specialises a size of 1)."""
    if torch.__version__ < torch_to_onnx.OLDEST_DENSE:
        pytest.skip("this PyTorch cannot export with sizes left open")
    model = rankiqa.load(weights).eval()
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    example = torch.zeros(2, 3, 300, 290)
    program = torch.export.export(torch_to_onnx.WholeImages(model).eval(), (example,), dynamic_shapes=(sizes,)).module()
    for n, height, width in ((1, 263, 300), (3, 401, 262)):
        images = torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
        torch.testing.assert_close(program(images), dense_forward(model, images), rtol=1e-4, atol=1e-4)


def test_export_onnx_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"expected a network from rankiqa\.load, got Linear"):
        rankiqa.export_onnx(torch.nn.Linear(2, 1), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="dense: expected vgg16, alexnet or shallow, got Linear"):
        torch_to_onnx.WholeImages(torch.nn.Linear(2, 1))
    for network in (rankiqa.build("shallow").half(), rankiqa.build("shallow").to("meta")):
        with pytest.raises(ValueError, match="expected float32 values, got torch"):
            rankiqa.export_onnx(network, tmp_path / "m.onnx")
    no = tmp_path / "no" / "m.onnx"
    for path, message in ((None, "got NoneType"), (tmp_path, "got a folder"), (no, "no such folder")):
        with pytest.raises(ValueError, match=message):
            rankiqa.export_onnx(rankiqa.build("shallow"), path)
    assert list(Path(tmp_path).iterdir()) == []
