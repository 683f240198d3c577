"""Optimizers, schedules, precision and regularisation beside Caffe's, and snapshots of such trainings."""

import functools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import rankiqa
from lib.backbone_trainings import RANK, TINY, trainer, write_images
from rankiqa.caffe.layers import Dropout
from rankiqa.caffe.random_stream import CaffeRandom
from rankiqa.models.backbones import build_backbone
from rankiqa.training import snapshots
from rankiqa.training.recipe import Recipe

pytest.importorskip("timm")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def same(path, other):
    """Tell whether two weights files have equal tensors."""
    ours, theirs = load_file(path), load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


RECIPES = {
    "adamw, cosine after a rise": Recipe("adamw", "cosine", warm_up=2, dropout=0.3, drop_path=0.3),
    "adamw, one cycle, bf16": Recipe("adamw", "onecycle", precision="bf16", channels_last=True, dropout=0.3),
    "sgd, steps": Recipe("sgd", freeze_batch_norm=True, dropout=0.3),
    "Caffe's, cosine": Recipe(schedule="cosine", dropout=0.3),
}


@pytest.mark.parametrize("name", RECIPES)
def test_resumed_and_interrupted_bit_for_bit(images, tmp_path, monkeypatch, name):
    """A run ends the same after resuming from a snapshot, and after Ctrl-C within an iteration.

    Batch-norm statistics and dropout masks are included.
    """
    recipe, preset = RECIPES[name], RANK.but(iter_size=2, clip_gradients=1.0)
    whole = trainer(images, recipe, tmp_path / "whole", preset)
    whole.run()
    end = tmp_path / "whole" / "live-rank_iter_6.safetensors"
    again = trainer(images, recipe, tmp_path / "again", preset)
    again.restore(tmp_path / "whole" / "live-rank_iter_2.safetensors")
    again.run()
    assert same(end, tmp_path / "again" / end.name)
    out, calls = tmp_path / "broken", []

    def interrupt(self, trainer, *_):
        calls.append(trainer.iteration)
        if len(calls) == 4:
            raise KeyboardInterrupt

    broken = trainer(images, recipe, out, preset)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rankiqa.training.callbacks.CaffeLog.on_loss", interrupt)
        broken.run()
    again = trainer(images, recipe, out, preset)
    again.restore(snapshots.latest(out, "live-rank"))
    assert again.iteration == 3
    again.run()
    assert same(end, out / end.name)
    broken.run()  # in the same process
    ours, theirs = broken.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_each_part_of_the_state_matters(images, tmp_path):
    """Negative controls: without the random state, the moments or the schedule's position a run ends differently."""
    recipe = RECIPES["adamw, cosine after a rise"]
    trainer(images, recipe, tmp_path).run()
    end = load_file(tmp_path / "live-rank_iter_6.safetensors")
    for spoil in (
        lambda run: run.forward.random.update(cpu=torch.Generator().manual_seed(99).get_state()),
        lambda run: [s["exp_avg"].zero_() for s in run.optimizer.optimizer.state.values()],
        lambda run: run.optimizer.scheduler.load_state_dict(trainer(images, recipe).optimizer.scheduler.state_dict()),
    ):
        again = trainer(images, recipe)
        again.restore(tmp_path / "live-rank_iter_2.safetensors")
        spoil(again)
        state = again.run().state_dict()
        assert not all(torch.equal(state[key], end[key]) for key in state)


def test_torchs_own_random_numbers_are_left_alone(images):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trainer(images, RECIPES["Caffe's, cosine"]).run(1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        (Recipe("sgd"), [1, 1, 1, 0.1, 0.1, 0.1]),
        (Recipe("sgd", "constant"), [1] * 6),
        (Recipe("adamw", "cosine"), [(1 + np.cos(np.pi * n / 6)) / 2 for n in range(6)]),
        (Recipe("adamw", "constant", warm_up=2), [0.01, 0.505, 1, 1, 1, 1]),
        (Recipe("adamw", "onecycle"), [0.04, None, None, None, None, 4e-6]),
        (Recipe(schedule="constant"), [1] * 6),
    ],
)
def test_schedules(images, recipe, expected):
    """Check the learning rate of each iteration, as a share of --lr."""
    run = trainer(images, recipe)
    rates = []
    run.optimizer.step, step = lambda: (rates.append(run.optimizer.rate() / 1e-3), step()), run.optimizer.step
    run.run()
    for rate, wanted in zip(rates, expected, strict=True):
        assert wanted is None or rate == pytest.approx(wanted, rel=1e-6), rates


def test_a_step_is_torchs_own(images):
    """Compare one clipped AdamW step with the mean gradient of two minibatches with a plain loop."""
    ours = trainer(images, Recipe("adamw", "constant"), preset=RANK.but(iter_size=2, clip_gradients=0.5))
    twin = trainer(images, Recipe("adamw", "constant"), preset=RANK.but(iter_size=2, clip_gradients=0.5))
    ours.run(1)
    model = twin.model.train()
    loss = sum(twin.task.loss(model(twin.batches.next("train")[0]).squeeze(1), None) for _ in range(2)) / 2
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    assert norm > 0.5
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 5e-4},
              {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0}]  # fmt: skip
    torch.optim.AdamW(groups, 1e-3).step()
    for actual, expected in zip(ours.model.parameters(), model.parameters(), strict=True):
        # Adam divides gradients by their size, which amplifies the rounding of tiny ones
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=2e-5)


def test_batch_norm_that_is_frozen(images):
    for freeze in (True, False):
        run = trainer(images, Recipe("adamw", freeze_batch_norm=freeze))
        before = {name: buffer.clone() for name, buffer in run.model.named_buffers()}
        run.run(2)
        kept = [torch.equal(buffer, before[name]) for name, buffer in run.model.named_buffers()]
        assert all(kept) if freeze else not any(kept)


def test_layout_compiler_and_precision_change_little(images, monkeypatch):
    """The losses of four iterations change little; memory is channels-last, and bfloat16 does change the losses."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    losses = {}
    for name, choice in {"plain": {}, "layout": {"channels_last": True}, "compiled": {"compile": True},
                         "bf16": {"precision": "bf16"}}.items():  # fmt: skip
        run = trainer(images, Recipe("sgd", freeze_batch_norm=True, **choice), preset=RANK.but(base_lr=1e-4))
        run.run(4)
        losses[name] = np.array(run.losses)
        if name == "layout":
            assert run.model.net.conv_stem.weight.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(losses["layout"], losses["plain"], rtol=1e-4)
    np.testing.assert_allclose(losses["compiled"], losses["plain"], rtol=1e-4)
    np.testing.assert_allclose(losses["bf16"], losses["plain"], rtol=3e-2)
    assert (losses["bf16"] != losses["plain"]).all()


def test_caffes_masks_in_a_compiled_network():
    x = torch.ones(4, 50)
    plain, compiled = (Dropout(0.5, CaffeRandom(1)).train() for _ in range(2))
    assert torch.equal(torch.compile(compiled, backend="eager")(x), plain(x))


def test_a_snapshot_says_what_it_was_made_with(images, tmp_path):
    """Resuming compares every choice, and max_iter if the rate depends on it."""
    path = tmp_path / "live-rank_iter_2.safetensors"
    trainer(images, Recipe("adamw", "cosine"), tmp_path).run(2)
    matters = {"optimizer": "sgd", "schedule": "constant", "warm_up": 1, "precision": "bf16",
               "freeze_batch_norm": True, "compile": True, "channels_last": True, "dropout": 0.1}  # fmt: skip
    for name, value in matters.items():
        recipe = Recipe(**{"optimizer": "adamw", "schedule": "cosine", name: value})
        with pytest.raises(ValueError, match=f"a run can only be resumed as it began; recipe {name}: expected"):
            trainer(images, recipe).restore(path)
    with pytest.raises(ValueError, match="max_iter: expected 7, got 6"):
        trainer(images, Recipe("adamw", "cosine"), preset=RANK.but(max_iter=7)).restore(path)
    # Without a recorded origin, the state itself is checked
    metadata, training, tensors = snapshots.read(path)
    del training["origin"]
    state = {key: tensor for key, tensor in tensors.items() if not key.startswith("solver.")}
    moments = {key: tensor for key, tensor in tensors.items() if key.startswith(snapshots.STATE)}
    for recipe, kept, words in (
        (Recipe("sgd", "cosine"), moments, "expected the state of SGD, got exp_avg"),
        (Recipe("adamw", "cosine"), dict(list(moments.items())[1:]), "got a part of one"),
        (Recipe("adamw", "cosine"), {key: tensor[..., None] for key, tensor in moments.items()}, "of shape"),
        (Recipe("adamw", "constant"), moments, "expected the state of the same schedule"),
        (Recipe(), moments, "missing solver.history"),
    ):
        snapshots.save(tmp_path / "s.safetensors", metadata, state, {}, training, None, kept)
        with pytest.raises(ValueError, match=words):
            trainer(images, recipe).restore(tmp_path / "s.safetensors")


def test_built_with_dropout():
    model = build_backbone(TINY, drop_rate=0.5)
    assert model.net.drop_rate == 0.5 and rankiqa.build(TINY).net.drop_rate == 0
