"""Two processes train as one on the joint batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.weights import save_weights
from tests.training.lookalike import make_market1501
from tests.training.of_two import ONE_STEP, gradients
from tests.training.test_runs import CPU, DGRL_TOML, IDENTITIES, assert_same, network, pairs, weights
from training.checkpoint import STATE_NAME
from training.config import ConfigError
from training.distributed import Ranks, refuse_processes
from training.sampler import PKSampler
from training.train_dgrl import WEIGHTS_NAME, train_dgrl

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes leave: the environment is the one that torchrun gives them."""
    folder = tmp_path_factory.mktemp("two")
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.training.of_two", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        )
        for rank in "01"
    ]
    for process in processes:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    return folder


def test_the_gradients_are_those_of_one_process_on_the_joint_batch(of_two: Path, tmp_path: Path) -> None:
    alone = network()
    train_dgrl(ONE_STEP, alone, pairs(), tmp_path, CPU)
    expected = gradients(alone)
    first, second = (load_file(of_two / f"gradients {rank}.safetensors") for rank in (0, 1))
    assert_same(first, second)
    assert first.keys() == expected.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(first[name], gradient, rtol=0, atol=1e-3 * scale + 1e-6, msg=name)


def test_batch_statistics_are_those_of_the_joint_batch(of_two: Path, tmp_path: Path) -> None:
    train_dgrl(ONE_STEP, network(), pairs(), tmp_path, CPU)
    two, one = load_file(of_two / "rank 0" / STATE_NAME), load_file(tmp_path / STATE_NAME)
    statistics = [name for name in one if "running_" in name or "num_batches" in name]
    assert statistics
    for name in statistics:
        torch.testing.assert_close(two[name], one[name], rtol=1e-4, atol=1e-5, msg=name)


def test_only_the_main_rank_writes(of_two: Path) -> None:
    assert {STATE_NAME, WEIGHTS_NAME} < {file.name for file in (of_two / "rank 0").iterdir()}
    assert not list((of_two / "rank 1").iterdir())


def test_two_processes_resume_to_the_last_bit(of_two: Path) -> None:
    assert [(of_two / f"forwards {rank}").read_text() for rank in (0, 1)] == ["2", "2"]  # the last of 4
    assert_same(weights(of_two / "whole" / WEIGHTS_NAME), weights(of_two / "resumed" / WEIGHTS_NAME))
    assert_same(*(load_file(of_two / run / STATE_NAME) for run in ("whole", "resumed")))


@pytest.mark.long
def test_torchrun_starts_the_command_line(tmp_path: Path) -> None:
    market = make_market1501(tmp_path / "market", train=IDENTITIES)
    recipe = DGRL_TOML.replace("identities_per_batch = 3", "identities_per_batch = 4")
    (tmp_path / "dgrl.toml").write_text(recipe)
    save_weights(tmp_path / "start.safetensors", network())
    words = [
        *(
            "torch.distributed.run",
            "--nproc-per-node",
            "2",
            "--master-port",
            str(free_port()),
            "-m",
            "training",
        ),
        *("dgrl", market, "--bilinear", "--start-from", tmp_path / "start.safetensors", "--device", "cpu"),
        *("--recipe", tmp_path / "dgrl.toml", "--out", tmp_path / "out", "--cache", tmp_path / "cache"),
        "--no-strict-counts",
    ]
    command = [sys.executable, "-m", *map(str, words)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("started from") == 1
    assert {"record.json", WEIGHTS_NAME, STATE_NAME} < {file.name for file in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_ranks_parts_make_the_batch_and_split_no_identity(world: int) -> None:
    labels = np.repeat(np.arange(11), 5)
    sampler = PKSampler(labels.tolist(), identities_per_batch=8, per_identity=3, seed=0)
    for step in range(5):
        batch = sampler.batch(step)
        parts = [batch[Ranks(rank, world).part(sampler.identities, 3)] for rank in range(world)]
        assert np.concatenate(parts).tolist() == batch.tolist()
        held = [set(labels[part].tolist()) for part in parts]
        assert all(len(identities) == 8 // world for identities in held)
        assert len(set.union(*held)) == 8


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 identities cannot be shared by 3 processes"):
        Ranks(0, 3).part(16, 3)


def test_commands_for_one_process_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_processes("dgrl-train rcan")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="`dgrl-train rcan` runs in one process"):
        refuse_processes("dgrl-train rcan")
