"""``helpdesk demo``: a day at a support desk, played on the real daemon; then it waits for the visitor's own mail."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpdesk.cli.terminal import Stopped, say, several_lines

if TYPE_CHECKING:
    from helpdesk.demo.stage import Stage
    from helpdesk.demo.story import Beat


@click.command()
@click.option("--fast", is_flag=True, help="Make no pauses and end after the story; 0 only if all of it came true.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, one object a line.")
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path), help="Use this new folder and leave it there.")
@click.option("--pace", metavar="SECONDS", type=click.FloatRange(0, 10), default=0.2, show_default=True, help="Pause.")
def demo(fast: bool, as_json: bool, keep: Path | None, pace: float) -> None:
    """Play a customer, an agent and the clock against a really started desk, and show every mail as its reader sees it.

    Everything happens in a scratch folder and on free ports of 127.0.0.1. Afterwards it stays up, so that you can write
    mail too: helpdesk say, or any mail program. Ctrl+C ends it and removes the folder.
    """
    from helpdesk.cli.screen import as_json as line_of
    from helpdesk.cli.screen import show
    from helpdesk.demo.stage import Broken, Stage

    def show_json(beat: Beat) -> None:
        click.echo(line_of(beat))

    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    ends = fast or as_json
    with _folder(keep) as folder, Stage(folder) as stage:
        try:
            _play(stage, show_json if as_json else show, 0 if ends else pace)
            if not ends:
                with suppress(KeyboardInterrupt):
                    _stay(stage, show)
                say("\nThe desk closes.")
        except Broken as problem:
            click.echo(several_lines(stage.log_tail()), err=True)
            raise Stopped(f"the story went wrong: {problem}", os.EX_SOFTWARE) from problem
        if fast and not as_json:
            say("\nAll of it came true: every mail was read from its reader's Maildir.")


def _interrupt(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        try:
            keep.mkdir(parents=True)
        except OSError as problem:
            raise Stopped(f"{keep} cannot be made: {problem.strerror}", os.EX_CANTCREAT) from None
        yield keep.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="helpdesk-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play(stage: Stage, show: Callable[[Beat], None], pace: float) -> None:
    from helpdesk.demo.story import play

    for beat in play(stage):
        show(beat)
        sys.stdout.flush()
        time.sleep(pace)


def _stay(stage: Stage, show: Callable[[Beat], None]) -> None:
    """Say how to write, and show what the desk sends until somebody ends it."""
    from helpdesk.demo import running
    from helpdesk.demo.company import BOB, DESK
    from helpdesk.demo.story import arrived

    seen = {mail.key for mail in stage.mails()}
    here = running.Running(os.getpid(), stage.port, str(stage.folder))
    running.announce(here)
    try:
        say(f"""
Now you: the desk stays up until Ctrl+C, and shows here what it sends.

  write as Bob       ./run say bob "my text"
  answer as Bob      ./run say bob --reply "my text"
  answer as Anna     ./run say anna --reply "my answer"
  any mail program   SMTP 127.0.0.1 port {stage.port}, to {DESK}
  read the mail      mutt -f {stage.mail / BOB.address}
  look behind it     ./run --config {stage.folder} ticket list
""")
        while True:
            stage.must_run()
            for mail in stage.mails():
                if mail.key not in seen:
                    seen.add(mail.key)
                    show(arrived(stage, mail))
            sys.stdout.flush()
            time.sleep(0.3)
    finally:
        running.withdraw(here)
