"""The end of a campaign, for people and for scripts.

In:    a CampaignResult of zsfuzz/campaign/loop.py.
Out:   lines of text; the JSON object of `zsfuzz run --json`, in which only "seconds" depends on time.
Never: a decision.
Next:  printed by zsfuzz/cli/run.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zsfuzz.campaign.findings import KeptFinding
from zsfuzz.campaign.loop import CampaignResult, Team
from zsfuzz.campaign.tally import by_name
from zsfuzz.report.columns import table


def run_json(result: CampaignResult, fault: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the object that `run --json` prints. fault: what went wrong in the harness, if anything did."""
    settings, tally = result.settings, result.tally
    document: dict[str, Any] = {
        "engine": settings.engine,
        "seed": settings.seed,
        "targets": [settings.reference, settings.candidate],
        "faults": list(settings.faults),
        "geometry": settings.geometry,
        "workers": 1 if result.team is None else len(result.team.figures),
        "seconds": round(result.seconds, 3),
        "stopped": result.stopped,
        "programs": tally.programs,
        "operations": tally.operations,
        "no_ops": tally.no_ops,
        "concurrent_cases": tally.concurrent_cases,
        "findings": [kept.as_json() for kept in result.findings],
        "expected_differences": by_name(tally.expected),
        "parted": by_name(tally.parted),
        "checks": by_name(tally.checks),
        "engine_statistics": {name: result.engine[name] for name in sorted(result.engine)},
    }
    if result.team is not None:
        document |= _team_json(result.team)
    if fault is not None:
        document["fault"] = dict(fault)
    return document


def _team_json(team: Team) -> dict[str, Any]:
    """Return the further keys of a campaign of several workers."""
    culprits = [{"reason": each.reason, "program": str(each.path)} for each in team.culprits]
    extra: dict[str, Any] = {
        "worker_figures": [dict(figures) for figures in team.figures],
        "worker_deaths": team.deaths,
        "quarantined": culprits,
    }
    return extra | ({"fault": culprits[0]} if culprits else {})


def run_lines(result: CampaignResult) -> Iterator[str]:
    """Yield the summary of a campaign as text: what ran, how fast, what was checked, what was found."""
    settings, tally = result.settings, result.tally
    seconds = max(result.seconds, 1e-9)
    rows = [
        ("targets", f"{settings.reference} | {settings.candidate}{_faults(settings.faults)}"),
        ("engine", f"{settings.engine}, seed {settings.seed}, geometry {settings.geometry or 'mixed'}"),
        ("time", f"{result.seconds:.1f} s; stopped: {result.stopped}"),
        ("programs", f"{tally.programs:,} ({tally.programs / seconds:,.0f}/s)"),
        ("operations", f"{tally.operations:,} effective ({tally.operations / seconds:,.0f}/s)"),
        ("no-ops", f"{tally.no_ops:,}"),
        ("in lanes", f"{tally.concurrent_cases:,} concurrent cases"),
        ("engine counts", _counts(result.engine)),
        ("checks", _counts(by_name(tally.checks))),
        ("expected", _counts(by_name(tally.expected))),
        ("parted", _counts(by_name(tally.parted))),
    ]
    if result.team is not None:
        rows += _team_rows(result.team)
    yield from table(rows, (0, 100))
    yield ""
    if not result.findings:
        yield "no finding"
        return
    yield f"{len(result.findings)} finding{'s' if len(result.findings) > 1 else ''}"
    for kept in result.findings:
        yield from _finding(kept)


def _team_rows(team: Team) -> list[tuple[str, str]]:
    programs = ", ".join(f"{figures['programs']:,}" for figures in team.figures)
    rows = [("workers", f"{len(team.figures)}; programs of each: {programs}; died: {team.deaths}")]
    if team.culprits:
        rows.append(("quarantined", f"{len(team.culprits)}; the first: {team.culprits[0].path}"))
    return rows


def _finding(kept: KeptFinding) -> Iterator[str]:
    described = kept.as_json()
    yield ""
    yield f"  {kept.finding.id}  {kept.finding.target}: {kept.finding.message}"
    yield f"    signature  {kept.finding.signature}"
    yield f"    hits       {kept.hits}; steps of the shortest program: {kept.program.operations_count}"
    yield f"    replay     {described['replay']}"


def _faults(faults: tuple[str, ...]) -> str:
    return f", planted: {' '.join(faults)}" if faults else ""


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {counts[name]:,}" for name in sorted(counts)) or "none"
