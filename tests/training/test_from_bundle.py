"""An exported bundle is a place to start a training from: the same network again, and ready to learn."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typer.testing import CliRunner

from model.bundle.manifest import TrainingRecord
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Precision, Provider
from model.config import RCANConfig
from model.dgrl import DGRL
from model.rcan import RCAN
from model.weights import WeightsError, load_dgrl
from tests.support.tiny_networks import TINY_MODEL, tiny_crops
from tests.training.lookalike import make_market1501
from tests.training.test_runs import DGRL_TOML, IDENTITIES, command
from training.cli import app
from training.export.bundle import export_bundle
from training.export.config import ExportConfig, Networks
from training.pair_store import Pairs
from training.settle import first_of_each, imprinted, settle
from training.start import Start, from_weights, super_resolver

MODEL = dataclasses.replace(TINY_MODEL, identities=IDENTITIES, non_local=True, side_branches=False)
RCANS = RCANConfig(scales=(2, 3, 4), groups=2, blocks=1, features=8, reduction=4, image_skip=True)
RECORD = TrainingRecord(data="noise", terms="any", recipe="none", started_from="nothing", device="cpu")
CPU = torch.device("cpu")


def pairs() -> Pairs:
    """Four alike pairs of each of six people."""
    random = np.random.default_rng(0)
    people = np.stack([np.asarray(crop.resize((32, 64))) for crop in tiny_crops(IDENTITIES)])
    labels = [identity for identity in range(IDENTITIES) for _ in range(4)]
    hr = (people[labels] + random.normal(0, 8, (len(labels), 64, 32, 3))).clip(0, 255).astype(np.uint8)
    return Pairs(hr, np.roll(hr, 1, axis=1), labels)


def trained() -> DGRL:
    """Norms with statistics, scales and shifts of their own, as after a training; non-local blocks do something."""
    torch.manual_seed(0)
    network = DGRL(MODEL)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.2)
    images = normalised(pairs().hr)
    with torch.no_grad():
        for _ in range(8):
            network.train()(images, images)
    return network.eval()


def normalised(pixels: np.ndarray) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((torch.from_numpy(pixels) / 255 - mean) / std).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def rcan() -> RCAN:
    torch.manual_seed(1)
    return RCAN(RCANS).eval()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, rcan: RCAN) -> Path:
    """In float32, cut into small files, so that what comes back is what went in."""
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    config = ExportConfig("tiny", "float32", hr_reference=(64, 32), file_limit=16 * 1024)
    export_bundle(Networks(trained().embedder, (rcan,)), tiny_crops(), out, RECORD, config)
    return out


def vectors(network: DGRL, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        return {
            "hr": network.eval().embedder(images, "hr"),
            "sr": network.eval().embedder(images, "sr"),
        }


def test_the_networks_come_back_as_they_went_in(bundle: Path, rcan: RCAN) -> None:
    start, images = from_weights(MODEL, 0, bundle), normalised(pairs().hr)
    assert start.lacks_statistics and start.lacks_classes
    assert start.source.startswith(f"bundle tiny {Bundle.load(bundle).manifest.bundle_id} (")
    expected = vectors(trained(), images)
    for branch, found in vectors(start.network, images).items():
        assert torch.allclose(found, expected[branch], atol=1e-5), branch
    back = super_resolver(bundle)
    assert back.config == RCANS
    assert all(torch.equal(t, rcan.state_dict()[n]) for n, t in back.state_dict().items())


def test_settling_changes_nothing_but_makes_training_possible(bundle: Path) -> None:
    start, data = from_weights(MODEL, 0, bundle), pairs()
    hr, sr = normalised(data.hr), normalised(data.sr)
    neutral = from_weights(MODEL, 0, bundle).network.train()
    before = vectors(start.network, hr)
    settle(start, data, CPU, "float32")
    for branch, found in vectors(start.network, hr).items():
        assert torch.allclose(found, before[branch], atol=1e-5), branch
    with (
        torch.no_grad()
    ):  # a training step on what the norms were settled on sees the network that was exported
        at_rest = start.network.eval()(hr, sr).branches[0].feature
        in_training = start.network.train()(hr, sr).branches[0].feature
        unsettled = neutral(hr, sr).branches[0].feature
    assert torch.allclose(in_training, at_rest, atol=1e-3)
    assert not torch.allclose(unsettled, at_rest, atol=0.1)


def test_a_new_classifier_knows_the_people_from_the_first_step(bundle: Path) -> None:
    start, data = from_weights(MODEL, 0, bundle), pairs()
    settle(start, data, CPU, "float32")
    with torch.no_grad():
        hr, _ = start.network.eval()(normalised(data.hr), normalised(data.sr)).branches[0].logits.chunk(2)
    assert torch.equal(hr.argmax(1), torch.tensor(data.labels))
    with torch.no_grad():
        of_noise = from_weights(MODEL, 0, bundle).network.eval()(normalised(data.hr), normalised(data.sr))
    assert not torch.equal(of_noise.branches[0].logits[: len(hr)].argmax(1), torch.tensor(data.labels))


def test_a_new_classifier_is_neither_unsure_nor_too_sure() -> None:
    """Either gives the embedder a large gradient at the first step."""
    random = torch.Generator().manual_seed(0)
    identities, labels = 50, torch.arange(50).repeat(8)
    people = torch.randn(identities, 64, generator=random)
    for size in (1.0, 30.0):
        features = size * (people[labels] + 0.5 * torch.randn(len(labels), 64, generator=random))
        sure = F.softmax(features @ imprinted(features, labels, identities).T, dim=1)
        right = sure.gather(1, labels.unsqueeze(1))
        assert 0.6 < right.mean() < 0.97, size


def test_features_that_do_not_tell_people_apart_make_no_sure_classifier() -> None:
    features, labels = torch.ones(24, 16), torch.arange(6).repeat(4)
    weight = imprinted(features, labels, 6)
    assert weight.isfinite().all() and weight.norm(dim=1).max() <= 1 + 1e-6


def test_a_checkpoint_with_the_same_classes_is_left_as_it_is() -> None:
    network = trained()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle(Start(network, "itself"), pairs(), CPU, "float32")
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_the_first_pairs_of_each_label() -> None:
    assert first_of_each([5, 5, 7, 5, 7, 9], 2) == [0, 1, 2, 4, 5]


def test_training_goes_on_from_a_bundle_by_one_command(bundle: Path, tmp_path: Path) -> None:
    market = make_market1501(tmp_path / "market", train=IDENTITIES)
    text = DGRL_TOML + "side_branches = false\nnon_local = true\n[losses]\nmutual = 0.0\n"
    (tmp_path / "tiny.toml").write_text(text)
    words = ["dgrl", market, "--rcan", bundle, "--start-from", bundle, "--recipe", tmp_path / "tiny.toml"]
    common = ["--cache", tmp_path / "cache", "--no-strict-counts", "--device", "cpu"]
    command(*words, "--out", tmp_path / "run", *common)
    record = json.loads((tmp_path / "run/record.json").read_text())
    identity = Bundle.load(bundle).manifest.bundle_id
    assert identity in record["started_from"] and record["details"]["rcan"] == identity
    export = ["export", "--dgrl", tmp_path / "run/dgrl.safetensors", "--rcan", bundle]
    crops = tmp_path / "crops"
    crops.mkdir()
    for i, crop in enumerate(tiny_crops()):
        crop.save(crops / f"{i}.png")
    export += ["--crops", crops, "--record", tmp_path / "run/record.json", "--out", tmp_path / "next"]
    command(*export)
    runtime = Runtime(Bundle.load(tmp_path / "next"), Provider.CPU, precision=Precision.FLOAT32)
    network = load_dgrl(tmp_path / "run/dgrl.safetensors")
    found = runtime.embed(pairs().hr, "hr")
    expected = vectors(network, normalised(pairs().hr))["hr"].numpy()
    assert (np.sum(found * expected, axis=1) > 0.999).all()


def test_what_is_not_a_whole_bundle_is_refused(bundle: Path, tmp_path: Path) -> None:
    words = ["dgrl", str(tmp_path), "--dataset", "own", "--bilinear", "--start-from", str(tmp_path / "none")]
    (tmp_path / "none").mkdir()
    with pytest.raises(WeightsError, match="no bundle in"):
        from_weights(MODEL, 0, tmp_path / "none")
    assert CliRunner().invoke(app, words).exit_code == 2
    other = dataclasses.replace(MODEL, dimension=32)
    with pytest.raises(WeightsError, match="another embedder than the recipe's"):
        from_weights(other, 0, bundle)


def test_super_resolvers_with_bodies_of_their_own_are_refused(tmp_path: Path) -> None:
    torch.manual_seed(2)
    of_each = tuple(RCAN(dataclasses.replace(RCANS, scales=(scale,))).eval() for scale in (2, 4))
    config = ExportConfig("tiny", "float32", hr_reference=(64, 32))
    export_bundle(Networks(trained().embedder, of_each), tiny_crops(), tmp_path / "two", RECORD, config)
    with pytest.raises(WeightsError, match="each scale has a network of its own"):
        super_resolver(tmp_path / "two")
