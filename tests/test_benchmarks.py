"""The benchmark itself, in its smallest size: it drives a real daemon, and it fails where mail is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import company, end_to_end, reading, running
from benchmarks.figures import EMPTY, Figures, Load, table
from benchmarks.report import BEGIN, END, put_between_markers
from benchmarks.tools import perf_folder, shared_folder

GOOD = Load(
    store=EMPTY,
    concurrency=10,
    rate=0,
    mails=100,
    new=60,
    mails_per_second=300.0,
    p50=10.0,
    p99=20.0,
    missing=0,
    processor={"daemon": 2.0, "reading": 1.0},
    entries=100,
    tickets=60,
    quarantined=0,
)


@pytest.fixture(scope="module")
def perf() -> Path:
    try:
        return perf_folder(shared_folder())
    except FileNotFoundError as problem:
        pytest.skip(str(problem))


@pytest.mark.story
@pytest.mark.usefixtures("perf")
def test_a_small_run_on_an_empty_and_a_filled_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches: mails of the corpus not proven (their acknowledgements carry no word of theirs), a fill past the rules."""
    paper = tmp_path / "figures.md"
    paper.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    arguments = ["--quick", "--no-limits", "--mails", "80", "--timed-mails", "0", "--concurrency", "5"]
    ended = end_to_end.main(
        [*arguments, "--filled", str(tmp_path / "filled"), "--tickets", "60", "--write", str(paper)]
    )
    said = capsys.readouterr()
    assert ended == 0, said.err
    summary = json.loads(said.out.splitlines()[-1])
    assert [(load["store"], load["missing_acks"]) for load in summary["loads"]] == [(EMPTY, 0), ("60 tickets", 0)]
    assert all(load["mails_per_second"] > 0 and load["cpu_ms_by_process"]["reading"] > 0 for load in summary["loads"])
    assert "CPU per mail, filled over empty" in paper.read_text()
    assert paper.read_text().startswith("before\n")
    assert paper.read_text().endswith("after\n")
    assert "old" not in paper.read_text()


@pytest.mark.story
def test_a_lost_acknowledgement_is_seen(tmp_path: Path, perf: Path) -> None:
    """Catches: a benchmark that cannot fail. The ration lets each address have one automatic mail only."""
    with running.sinks(perf) as (customers, staff):
        folder = tmp_path / "rationed"
        running.prepare(folder, company.Relays(customers.port, staff.port))
        main = folder / "helpdesk.toml"
        main.write_text(main.read_text().replace("automatic_per_hour = 1000000", "automatic_per_hour = 1"))
        bench = end_to_end.Bench(perf, customers, staff, patience_seconds=2)
        with running.started(folder) as daemon:
            load = bench.load(daemon, EMPTY, 120, 5)
    assert load.missing > 0
    assert any("acknowledgements are missing" in line for line in load.failures())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (replace(GOOD, missing=2), "2 of 60 acknowledgements are missing"),
        (replace(GOOD, entries=99), "100 mails became 99 entries"),
        (replace(GOOD, quarantined=1), "1 mails are in quarantine"),
        (replace(GOOD, tickets=61), "60 new requests became 61 tickets"),
    ],
)
def test_what_makes_a_load_void(wrong: Load, words: str) -> None:
    assert GOOD.failures() == []
    assert any(words in line for line in wrong.failures())


def test_the_table_has_medians_spread_and_growth() -> None:
    figures = Figures(
        loads=[
            GOOD,
            replace(GOOD, mails_per_second=200.0),
            replace(GOOD, mails_per_second=310.0),
            replace(GOOD, store="7 tickets", processor={"daemon": 4.0, "reading": 0.5}),
        ],
        memory={EMPTY: [{"daemon": 90.0, "reading": 20.0}], "7 tickets": [{"daemon": 91.0}]},
    )
    written = table(figures)
    assert "| mails/s end to end, concurrency 10 | 300 [200-310] | 300 | 300 |" in written
    assert "| CPU per mail, filled over empty | 1.50 (concurrency 10) | ≤ 1.2 |" in written
    assert "| memory of all processes, PSS in MB | 110 | 91 | ≤ 150 |" in written


def test_a_paper_without_markers_is_not_written(tmp_path: Path) -> None:
    paper = tmp_path / "paper.md"
    paper.write_text("words")
    with pytest.raises(ValueError, match="has no lines"):
        put_between_markers(paper, "figures")
    assert paper.read_text() == "words"


def test_reading_is_measured_beside_the_email_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the project's own mails, and in sizes that take no time."""
    paper = tmp_path / "paper.md"
    paper.write_text(f"before\n{reading.BEGIN}\nold\n{reading.END}\nafter\n")
    monkeypatch.setattr(reading, "SIZES", (1000, 10_000))

    assert reading.main(["--shared", str(tmp_path), "--seconds", "0", "--write", str(paper)]) == 0

    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["mails"] >= 25
    assert figures["ratio"] == figures["ours_per_second"] / figures["package_per_second"] > 0
    assert all(taken > 0 for sizes in figures["milliseconds_by_size"].values() for _, taken in sizes)
    assert "| ms for a mail of | 1 KB | 10 KB |" in paper.read_text()
    assert "old" not in paper.read_text()
