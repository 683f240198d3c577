"""save_pretrained and from_pretrained, and torch.hub: a folder that is damaged, mixed up or of another network."""

import json
from pathlib import Path

import pytest
import torch

import rankiqa
from rankiqa.models.network import Network
from rankiqa.models.score_meaning import MEANINGS

PORT = Path(__file__).resolve().parents[2] / "port"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of save_pretrained."""
    monkeypatch.chdir(tmp_path)
    model = rankiqa.build("shallow")
    model.meaning = MEANINGS["live-rank"]
    model.save_pretrained("folder")
    return Path("folder")


CALLS = [rankiqa.load, Network.from_pretrained]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("content", [None, "whole", "foreign", "with a mark"])
def test_the_weights_say_all_that_is_needed(folder, call, content):
    config = folder / "config.json"
    text = config.read_bytes()
    if content is None:
        config.unlink()
    else:
        foreign = b'{"model_type": "other", "crops": null, "crop": 227}'
        config.write_bytes({"whole": text, "foreign": foreign, "with a mark": b"\xef\xbb\xbf" + text}[content])
    assert call(folder).meaning == MEANINGS["live-rank"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("content", [b"", b'{"arch": "sh', b"[1]", b"3", b"null", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_damaged_config_is_named(folder, call, content):
    """huggingface_hub's errors were an AttributeError, a RecursionError, or did not say which file."""
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^folder/config\.json: expected .*JSON.*, got [^\n]*$"):
        call(folder)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("key", "value"),
    [("version", "2"), ("arch", "vgg16"), ("fc", '["fc1"]'), ("lower_is_better", "false"), ("crops", "5")],
)
def test_a_config_of_other_weights_is_named(folder, call, key, value):
    """It was ignored: the folder said one direction of the score, and the model had the other."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(ValueError, match=rf"config\.json: expected what model\.safetensors says, got {key} '"):
        call(folder)


@pytest.mark.parametrize("spoil", ["half", "double", "nan"])
def test_what_could_not_be_loaded_is_not_saved(folder, spoil):
    before = (folder / "model.safetensors").read_bytes()
    model = rankiqa.load(folder)
    if spoil == "nan":
        model.conv1.bias.data[3] = float("nan")
    else:
        model = getattr(model, spoil)()
    with pytest.raises(ValueError, match=r"conv1\.bias: expected .*(finite values|float32), got"):
        model.save_pretrained(folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert rankiqa.load(folder).meaning == MEANINGS["live-rank"]


@pytest.mark.parametrize("name", ["./none", "/none", "~/none", "folder/model.safetensors", None, 3])
def test_what_is_no_folder_is_not_looked_for_on_the_hub(folder, name):
    with pytest.raises(ValueError, match="expected a folder"):
        Network.from_pretrained(name)


def test_the_hubs_network_is_the_one_asked_for(folder):
    for arch in (None, "shallow"):
        net = torch.hub.load(str(PORT), "rankiqa_network", arch, path="folder", source="local")
        assert net.arch == "shallow"
    with pytest.raises(ValueError, match="expected alexnet, got shallow"):
        torch.hub.load(str(PORT), "rankiqa_network", "alexnet", path="folder", source="local")
