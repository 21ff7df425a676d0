"""Two processes that train one model take the step that one process takes with both batches."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training import together

SCRIPT = Path(__file__).with_name("one_of_two.py")
spec = importlib.util.spec_from_file_location("one_of_two", SCRIPT)
one_of_two = importlib.util.module_from_spec(spec)
spec.loader.exec_module(one_of_two)


@pytest.mark.slow
def test_two_processes_step_as_one_with_both_batches(tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    settings = {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, SCRIPT, tmp_path], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (torch.load(tmp_path / f"rank{r}.pt", weights_only=True) for r in (0, 1))
    assert first["steps"] == second["steps"] == one_of_two.STEPS
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)

    alone = one_of_two.toy()
    for step in range(one_of_two.STEPS):
        batches = (one_of_two.batch(step, rank) for rank in (0, 1))
        losses = [(alone(x) - y).square().mean() for x, y in batches]
        alone.zero_grad()
        (sum(losses) / 2).backward()
        with torch.no_grad():
            for p in alone.parameters():
                p -= 0.1 * p.grad
    torch.testing.assert_close(first["weights"], dict(alone.state_dict()))
    lines = (tmp_path / "toy.jsonl").read_text().splitlines()
    assert len(lines) == one_of_two.STEPS // 2 + 1, "process 0 alone writes the log"


def test_a_process_alone_changes_nothing() -> None:
    model = one_of_two.toy()
    model(torch.ones(1, 4)).sum().backward()
    before = model.weight.grad.clone()
    together.average_gradients(model)
    assert torch.equal(model.weight.grad, before)
    assert together.agreed(0.25) == 0.25
    assert together.is_first()
