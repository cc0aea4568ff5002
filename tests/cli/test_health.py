"""``helpdesk health`` without a daemon, ``check`` on alarms, and the unit for systemd; the rest is in the stories."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpdesk.cli import main as command_line
from helpdesk.domain.health import PartState, Report, as_mapping
from helpdesk.jobs.parts import write_report
from tests.servers.ports import free_port
from tests.servers.sink import Sink
from tests.stories.company import Company

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, sink: Sink) -> Path:
    replace(Company(), relay_port=sink.port).write(tmp_path)
    (tmp_path / "offset").write_text("0")
    return tmp_path


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = command_line.run(["--config", str(folder), *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def report(*parts: PartState, age: timedelta = timedelta(0)) -> Report:
    return Report(datetime.now(UTC) - age, parts)


def test_no_report_means_that_no_daemon_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, capsys, "health") == (69, "", "helpdesk: the daemon does not run\n")


def test_old_report_means_that_it_hangs_or_was_killed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_report(folder / "health.json", report(PartState("watch"), age=timedelta(seconds=31))) == ""

    code, _, complaint = run(folder, capsys, "health")
    assert code == 69
    assert "the daemon hangs or was killed: its last word is of 20" in complaint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "yesterday"}', '{"at": 3}', '["at"]'])
def test_report_that_is_none_is_told(folder: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (folder / "health.json").write_text(text)

    assert run(folder, capsys, "health")[0] == 69


def test_troubles_come_first_with_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    since = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
    write_report(
        folder / "health.json",
        report(
            PartState("door", advice="never shown"), PartState("relay main", "is away \x1b[31m", since, "see to it")
        ),
    )

    code, table, _ = run(folder, capsys, "health")
    as_json = run(folder, capsys, "health", "--json")

    assert code == 1
    assert table.splitlines()[1].split("  ")[0] == "relay main"
    assert "2026-03-02T10:00:00Z" in table
    assert "relay main: see to it" in table
    assert "never shown" not in table
    assert "\x1b" not in table
    assert as_json[0] == 1
    assert [part["name"] for part in json.loads(as_json[1])["parts"]] == ["door", "relay main"]


def test_all_well_ends_with_0(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_report(folder / "health.json", report(PartState("door")))

    assert run(folder, capsys, "health")[0] == 0


def test_report_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "health.json"
    write_report(file, report(PartState("door")))
    before = file.read_text()

    assert (
        write_report(tmp_path / "nowhere" / "health.json", report()) == "cannot be written: No such file or directory"
    )
    assert file.read_text() == before
    assert [one.name for one in tmp_path.iterdir()] == ["health.json"]
    assert set(json.loads(before)) == {*as_mapping(report()), "pid"}


# check


def test_check_warns_without_a_second_channel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no second channel" in run(folder, capsys, "check")[2]
    with (folder / "helpdesk.toml").open("a") as file:
        file.write('[[alarm]]\ncommand = ["/bin/true"]\n')

    code, _, complaint = run(folder, capsys, "check")
    assert (code, complaint) == (0, "")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ('command = ["/no/such/page"]', "alarm.1.command: /no/such/page cannot be run"),
        ('webhook = "https://hooks.example/x"\npassword_env = "NOT_SET_ANYWHERE"', "NOT_SET_ANYWHERE: is not set"),
        ('webhook = "https://hooks.example/x"\npassword_file = "none"', "password_file"),
    ],
)
def test_check_names_an_alarm_that_cannot_work(
    folder: Path, capsys: pytest.CaptureFixture[str], section: str, complaint: str
) -> None:
    with (folder / "helpdesk.toml").open("a") as file:
        file.write(f"[[alarm]]\n{section}\n")

    code, _, said = run(folder, capsys, "check")
    assert code == 78
    assert complaint in said


def test_alarm_can_be_tried(folder: Path, capsys: pytest.CaptureFixture[str], sink: Sink) -> None:
    with (folder / "helpdesk.toml").open("a") as file:
        file.write(f"""
[[alarm]]
command = ["/bin/sh", "-c", "cat > '{folder / "pager"}'"]
[[alarm]]
host = "127.0.0.1"
port = {sink.port}
tls = "none"
to = "oncall@acme.example"
""")

    code, said, _ = run(folder, capsys, "check", "--try-alarm")

    assert code == 0
    assert "alarm by command sh: sent" in said
    assert "alarm by relay 127.0.0.1: sent" in said
    assert "this is only a test" in (folder / "pager").read_text()
    assert sink.deliveries[0].recipients == ("oncall@acme.example",)


def test_alarm_that_fails_the_trial_is_a_problem(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / "helpdesk.toml").open("a") as file:
        file.write(f'[[alarm]]\nwebhook = "http://127.0.0.1:{free_port()}/"\n')

    code, _, complaint = run(folder, capsys, "check", "--try-alarm")
    assert code == 78
    assert "alarm by webhook 127.0.0.1: cannot be reached: Connection refused" in complaint


# systemd


def test_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing")
    program = tmp_path / "helpdesk"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "helpdesk.service"
    unit.write_text((ROOT / "config" / "helpdesk.service").read_text().replace("/usr/bin/helpdesk", str(program)))

    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )

    complaints = [line for line in done.stderr.splitlines() if "helpdesk.service" in line]
    assert complaints == []
