"""`realm bench --profile`: where a step's time went, operation by operation."""

import json
import os
import re
import subprocess

import pytest

ROW = re.compile(
    r"^  (?P<name>\S+) +(?P<ms>[0-9.]+) ms +(?P<share>[0-9.]+) %"
    r"(?: +(?P<read>[0-9.]+) GB/s +(?P<multiply>[0-9.]+) GOPS +(?P<roofline>[0-9.]+) %)?$"
)


@pytest.fixture(scope="module")
def profiles():
    model = os.environ.get("REALM_MODEL_SMOLLM2")
    if not model:
        pytest.skip("REALM_MODEL_SMOLLM2 is not set")
    run = subprocess.run(
        [os.environ["REALM"], "bench", "-m", model, "--prefill", "64", "--decode", "4"]
        + ["--batch", "1", "--reps", "1", "--profile", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [json.loads(line)["test"] for line in run.stdout.splitlines()] == ["prefill", "decode"]
    parts = re.split(r"^  (prefill|decode) of .*:$", run.stderr, flags=re.M)
    return {
        test: {m["name"]: m for m in map(ROW.match, text.splitlines()) if m}
        for test, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_shares_are_of_the_whole(profiles):
    for test, rows in profiles.items():
        assert abs(sum(float(row["share"]) for row in rows.values()) - 100) < 2, test


def test_every_product_has_a_part_of_its_limit(profiles):
    products = {"blk.*.attn_output", "blk.*.ffn_down", "output"}
    for test, rows in profiles.items():
        assert products <= rows.keys(), (test, rows.keys())
        for name in products | {"blk.*.attention"}:
            assert float(rows[name]["roofline"]) > 0, (test, name)


def test_prefill_multiplies_more_for_each_byte_it_reads(profiles):
    bytes_each = {
        test: float(rows["blk.*.ffn_down"]["read"]) / float(rows["blk.*.ffn_down"]["multiply"])
        for test, rows in profiles.items()
    }
    assert bytes_each["prefill"] < bytes_each["decode"] / 16
