"""What a run of the benchmark found: figures of loads and limits, their table, and the lines that fail it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: Aims of the project: figure, and in words.
MAILS_PER_SECOND = 300.0
P99_MILLISECONDS = 40.0
GROWTH = 1.2
MEGABYTES = 150.0
HELP_SECONDS = 0.3

EMPTY = "empty store"


@dataclass(frozen=True, slots=True)
class Load:
    """One load on one daemon. ``rate`` is 0 where mails came as fast as they were taken; times in milliseconds."""

    store: str
    concurrency: int
    rate: float
    mails: int
    new: int
    mails_per_second: float
    p50: float
    p99: float
    missing: int
    processor: Mapping[str, float]
    entries: int
    tickets: int
    quarantined: int

    @property
    def processor_per_mail(self) -> float:
        return sum(self.processor.values())

    @property
    def joined(self) -> float:
        """The share of replies that found their ticket."""
        replies = self.mails - self.new
        return (self.mails - self.tickets) / replies if replies else 1.0

    def failures(self) -> list[str]:
        """What makes this load void: every mail must be an entry, every new ticket acknowledged."""
        where = f"{self.store}, {f'{self.rate:g} mails/s' if self.rate else f'concurrency {self.concurrency}'}"
        said = []
        if self.missing:
            said.append(f"{where}: {self.missing} of {self.new} acknowledgements are missing")
        if self.entries != self.mails:
            said.append(f"{where}: {self.mails} mails became {self.entries} entries")
        if self.quarantined:
            said.append(f"{where}: {self.quarantined} mails are in quarantine")
        if self.tickets != self.new:
            said.append(f"{where}: {self.new} new requests became {self.tickets} tickets")
        return said


@dataclass(slots=True)
class Figures:
    """Everything of one run; ``limits`` are figures of the machine by their words, ``absent`` those without one."""

    loads: list[Load] = field(default_factory=list)
    memory: dict[str, list[Mapping[str, float]]] = field(default_factory=dict)
    limits: dict[str, list[float]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    help_seconds: list[float] = field(default_factory=list)
    machine: str = ""

    def stores(self) -> list[str]:
        return list(dict.fromkeys(load.store for load in self.loads))

    def of(self, store: str, concurrency: int | None = None) -> list[Load]:
        """The loads at a concurrency, or without one those at a fixed rate."""
        return [
            load
            for load in self.loads
            if load.store == store and (load.rate > 0 if concurrency is None else load.concurrency == concurrency)
            if concurrency is None or not load.rate
        ]

    def concurrencies(self) -> list[int]:
        return sorted({load.concurrency for load in self.loads if not load.rate})

    def growth(self) -> list[float]:
        """Processor time per mail with a filled store over that with an empty one, at each concurrency."""
        filled = [store for store in self.stores() if store != EMPTY]
        if not filled or EMPTY not in self.stores():
            return []
        return [
            statistics.median(load.processor_per_mail for load in self.of(filled[0], concurrency))
            / statistics.median(load.processor_per_mail for load in self.of(EMPTY, concurrency))
            for concurrency in self.concurrencies()
        ]

    def failures(self) -> list[str]:
        return [line for load in self.loads for line in load.failures()]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """``median [min-max]``, or the one value."""
    if not values:
        return "-"
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} [{min(values):,.{digits}f}-{max(values):,.{digits}f}]"


def table(figures: Figures) -> str:
    """The figures as Markdown."""
    stores = figures.stores()
    rows: list[tuple[str, list[str], str]] = []
    for concurrency in figures.concurrencies():
        found = [spread([load.mails_per_second for load in figures.of(store, concurrency)]) for store in stores]
        aim = f"{MAILS_PER_SECOND:g}" if concurrency == 10 else ""
        rows.append((f"mails/s end to end, concurrency {concurrency}", found, aim))
    for concurrency in figures.concurrencies():
        found = [spread([load.processor_per_mail for load in figures.of(store, concurrency)], 2) for store in stores]
        rows.append((f"CPU ms per mail, concurrency {concurrency}", found, ""))
        found = [_split([load.processor for load in figures.of(store, concurrency)], 2) for store in stores]
        rows.append(("– daemon + reading process", found, ""))
    if any(figures.of(store) for store in stores):
        rate = next(load.rate for load in figures.loads if load.rate)
        for name, aim in (("p50", ""), ("p99", f"≤ {P99_MILLISECONDS:g}")):
            found = [spread([getattr(load, name) for load in figures.of(store)], 1) for store in stores]
            rows.append((f"DATA to acknowledgement at {rate:g} mails/s, {name}, ms", found, aim))
    found = [spread([sum(one.values()) for one in figures.memory[store]]) for store in stores]
    rows.append(("memory of all processes, PSS in MB", found, f"≤ {MEGABYTES:g}"))
    found = [_split(figures.memory[store], 0) for store in stores]
    rows.append(("– daemon + reading processes", found, ""))
    joined = [f"{100 * min(load.joined for load in figures.loads if load.store == store):.1f}" for store in stores]
    rows.append(("replies that found their ticket, %", joined, "100"))
    missing = [str(sum(load.missing for load in figures.loads if load.store == store)) for store in stores]
    rows.append(("acknowledgements missing", missing, "0"))
    lines = [f"| figure | {' | '.join(stores)} | aim |", "|---" * (len(stores) + 2) + "|"]
    lines += [f"| {name} | {' | '.join(values)} | {aim} |" for name, values, aim in rows]
    return "\n".join([*lines, "", *_others(figures)])


def _others(figures: Figures) -> list[str]:
    lines = ["| beside it, in the same run | figure | aim |", "|---|---|---|"]
    if growth := figures.growth():
        by_concurrency = zip(figures.concurrencies(), growth, strict=True)
        words = ", ".join(f"{one:.2f} (concurrency {concurrency})" for concurrency, one in by_concurrency)
        lines.append(f"| CPU per mail, filled over empty | {words} | ≤ {GROWTH:g} |")
    lines.append(f"| `helpdesk --help`, s | {spread(figures.help_seconds, 2)} | < {HELP_SECONDS:g} |")
    lines += [f"| {name} | {spread(values)} | |" for name, values in figures.limits.items()]
    lines += [f"| {name} | {why} | |" for name, why in figures.absent.items()]
    return [*lines, "", figures.machine]


def _split(found: Sequence[Mapping[str, float]], digits: int) -> str:
    kinds = [kind for kind in ("daemon", "reading") if found]
    return " + ".join(f"{statistics.median(one.get(kind, 0.0) for one in found):.{digits}f}" for kind in kinds)


def summary(figures: Figures) -> dict[str, object]:
    """The medians, for a machine to read."""

    def of(load: Load) -> dict[str, object]:
        return {
            "store": load.store,
            "concurrency": load.concurrency,
            "rate": load.rate,
            "mails": load.mails,
            "mails_per_second": load.mails_per_second,
            "p50_ms": load.p50,
            "p99_ms": load.p99,
            "cpu_ms_per_mail": round(load.processor_per_mail, 3),
            "cpu_ms_by_process": {kind: round(value, 3) for kind, value in load.processor.items()},
            "missing_acks": load.missing,
            "replies_joined": round(load.joined, 4),
        }

    return {
        "loads": [of(load) for load in figures.loads],
        "growth": dict(
            zip(map(str, figures.concurrencies()), (round(one, 3) for one in figures.growth()), strict=False)
        ),
        "pss_mb": {store: [round(sum(one.values()), 1) for one in found] for store, found in figures.memory.items()},
        "help_seconds": round(statistics.median(figures.help_seconds), 3) if figures.help_seconds else None,
        "limits": {name: round(statistics.median(values), 1) for name, values in figures.limits.items()},
        "failures": figures.failures(),
    }
