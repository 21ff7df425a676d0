"""Forged payloads, drawn over the schemas that the app itself lists: a seeded share of `make fuzz`."""

from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.payloads import PATIENCE_S, Outcome, Payload, forbidden_host, payloads, send

COUNT = 100


@pytest.mark.slow
def test_whatever_is_sent_is_answered_without_a_fault_a_file_or_a_fetch(
    server: str, server_log: Path
) -> None:
    before = server_log.stat().st_size
    outcomes: list[Outcome] = []
    with forbidden_host() as (forbidden, asked), httpx.Client(base_url=server, timeout=PATIENCE_S) as http:

        @seed(23)
        @settings(
            max_examples=COUNT, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(payloads(http, forbidden))
        def answered(payload: Payload) -> None:
            outcome = send(http, payload)
            outcomes.append(outcome)
            assert not outcome.hung and not outcome.leaked and outcome.status < 500, payload

        answered()
    assert asked == [] and len(outcomes) >= COUNT
    assert len({outcome.status for outcome in outcomes}) > 1
    assert "Traceback" not in server_log.read_bytes()[before:].decode()
