"""``helpdesk COMMAND``: finds the command, and turns faults into words on stderr and an exit code of sysexits(3).

 0  done                               69  a port or server cannot be had
64  a wrong command line               70  a fault of helpdesk itself
65  wrong data (CSV, mail, reference)  73  a file cannot be made
66  a file that is not there           75  try again later
                                       78  a setting must be mended
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from helpdesk import __version__
from helpdesk.cli import (
    account,
    check,
    demo,
    entitlement,
    explain,
    health,
    import_,
    ingest,
    outbox,
    quarantine,
    rules,
    say,
    serve,
    ticket,
)
from helpdesk.cli.terminal import Stopped, one_line, several_lines
from helpdesk.domain.errors import ConfigError, PermanentFailure, TemporaryFailure


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    "folder",
    metavar="DIR",
    envvar="HELPDESK_CONFIG",
    default="config",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="The configuration folder.",
)
@click.version_option(__version__, prog_name="helpdesk")
@click.pass_context
def helpdesk(context: click.Context, folder: Path) -> None:
    """A support desk that lives in email."""
    context.obj = folder


for _command in (
    serve.serve,
    check.check,
    ingest.ingest,
    explain.explain,
    import_.import_,
    ticket.ticket,
    entitlement.entitlement,
    outbox.outbox,
    health.health,
    quarantine.quarantine,
    account.account,
    rules.rules,
    demo.demo,
    say.say_,
):
    helpdesk.add_command(_command)


def main() -> NoReturn:
    """The entry point of the program ``helpdesk``."""
    _fill_closed_streams()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def _fill_closed_streams() -> None:
    """A descriptor that somebody closed would be the next file's that is opened, and our words would land in it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def run(arguments: Sequence[str]) -> int:
    """Run a command line (without the program's name); the exit code."""
    try:
        ended = helpdesk.main(list(arguments), prog_name="helpdesk", standalone_mode=False)
    except click.UsageError as problem:
        problem.show()
        return os.EX_USAGE
    except Stopped as problem:
        return _said(problem.message, problem.code)
    except click.ClickException as problem:
        return _said(problem.format_message(), problem.exit_code)
    except click.Abort:
        return _said("stopped", 130)
    except ConfigError as problem:
        return _said(str(problem), os.EX_CONFIG)
    except TemporaryFailure as problem:
        return _said(f"{problem}; try again later", os.EX_TEMPFAIL)
    except PermanentFailure as problem:
        return _said(str(problem), os.EX_UNAVAILABLE)
    except Exception as problem:  # noqa: BLE001 (the outermost edge of the program)
        click.echo(several_lines(traceback.format_exc()), err=True)
        return _said(f"a fault of helpdesk itself: {type(problem).__name__}: {problem}", os.EX_SOFTWARE)
    return ended if isinstance(ended, int) else 0


def _said(text: str, code: int) -> int:
    click.echo(f"helpdesk: {one_line(text)}", err=True)
    return code
