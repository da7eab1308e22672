"""The command line; each command says in a line what it does and calls the composition root.

What a command needs is imported when it is called: `waypost run` only watches processes and
should not carry their inference engine.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import terminal
from appliance.domain import AdmissionOutcome, Channel, ReadingState, ReferenceKind
from appliance.errors import WaypostError
from appliance.wiring.settings import Options, data_folder, software_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from appliance.calibrating import Question, Subject
    from appliance.domain import Reading

_EXIT_REFUSED, _EXIT_FAILED = 3, 4
_PATHS = click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
_DATA = click.option("--data", type=click.Path(path_type=Path), help="The data folder.")
_CONFIG = click.option("--config", type=click.Path(path_type=Path), help="waypost.toml.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")
_WEB = click.option("--web", metavar="HOST:PORT", help="Where the pages are.")
_DICOM = click.option("--dicom", metavar="HOST:PORT", help="Where the receiver listens.")
_AE_TITLE = click.option("--ae-title", metavar="AET", help="The box's AE title.")


class _Group(click.Group):
    """Prints an error of the appliance as one sentence, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except WaypostError as error:
            click.echo(f"waypost: {error.text}", err=True)
            ctx.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(software_version(), prog_name="waypost")
def main() -> None:
    """Waypost: the diagnostic appliance for the clinic at the end of the road."""


@main.command()
@_DATA
@_CONFIG
@_WEB
@_DICOM
@_AE_TITLE
def run(
    data: Path | None,
    config: Path | None,
    web: str | None,
    dicom: str | None,
    ae_title: str | None,
) -> None:
    """Run the whole appliance in the foreground, until Ctrl-C."""
    from appliance.processes.run import run_appliance

    options = Options(data, config, web, dicom, ae_title)
    run_appliance(
        options, lambda page, receiver: terminal.say(f"ready web={page} dicom={receiver}")
    )


@main.command()
@_PATHS
@_JSON
@click.option("--model", metavar="ID", help="The model to read with; the gates apply all the same.")
@click.option("--explain", metavar="DIR", type=click.Path(path_type=Path), help="Write overlays.")
@click.option("--research", is_flag=True, help="Print probabilities, also of abstained readings.")
@_CONFIG
def read(
    paths: tuple[Path, ...],
    model: str | None,
    explain: Path | None,
    config: Path | None,
    *,
    as_json: bool,
    research: bool,
) -> None:
    """Read DICOM, PNG or JPEG files, without a store."""
    from appliance.wiring.reading import read_files, write_overlay

    rows = []
    for path, reading, image in read_files(Options(config=config), paths, model):
        rows.append((path.name, reading))
        if explain is not None and image is not None:
            write_overlay(explain, path, reading, image)
        if as_json or research:
            terminal.say_reading(path, reading, image, research=research)
    if not (as_json or research):
        terminal.console().print(terminal.reading_table(rows))
    sys.exit(_exit_status([reading for _, reading in rows]))


def _exit_status(readings: Sequence[Reading]) -> int:
    states = {reading.state for reading in readings}
    if ReadingState.FAILED in states:
        return _EXIT_FAILED
    return _EXIT_REFUSED if ReadingState.REFUSED in states else 0


@main.command()
@_PATHS
@_DATA
@_CONFIG
def admit(paths: tuple[Path, ...], data: Path | None, config: Path | None) -> None:
    """Take files in durably; each line answers as C-STORE would (status, word, UID, file)."""
    from appliance.wiring.storage import admit_files

    outcomes = set()
    for path, admission in admit_files(Options(data, config), paths):
        outcomes.add(admission.outcome)
        terminal.say(terminal.admission_line(path, admission))
    if AdmissionOutcome.REJECTED in outcomes:
        sys.exit(_EXIT_FAILED)
    sys.exit(_EXIT_REFUSED if AdmissionOutcome.QUARANTINED in outcomes else 0)


@main.command()
@_JSON
@_DATA
@_CONFIG
def status(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Say what the box holds: cases by state, outbox by lane, disk, models, health."""
    from appliance.wiring.web import report_system

    report, overview = report_system(Options(data, config))
    if as_json:
        terminal.say_json(terminal.status_object(report, overview))
    else:
        terminal.console().print(terminal.status_table(report, overview))


@main.command()
@_JSON
@_DATA
@_CONFIG
def check(data: Path | None, config: Path | None, *, as_json: bool) -> None:
    """Test the box: golden vectors, database, disk, clock, backends."""
    from appliance.wiring.reading import self_test

    checks, backends = self_test(Options(data, config))
    well = all(item.ok for item in checks)
    if as_json:
        troubles = {name: why or "available" for name, why in backends.items()}
        rows = [asdict(item) for item in checks]
        terminal.say_json({"ok": well, "checks": rows, "backends": troubles})
    else:
        terminal.console().print(terminal.check_table(checks))
    sys.exit(0 if well else 1)


@main.group()
def models() -> None:
    """Model packages: what is here, and whether it is whole."""


@models.command("list")
@_JSON
@_DATA
def models_list(data: Path | None, *, as_json: bool) -> None:
    """List the model packages on this box."""
    from appliance.wiring.models import describe_models

    facts = describe_models(data_folder(Options(data)))
    if as_json:
        for fact in facts:
            terminal.say_json(fact)
    else:
        terminal.console().print(terminal.package_table(facts))


@models.command("verify")
@click.argument("package", required=False, type=click.Path(exists=True, path_type=Path))
@_DATA
def models_verify(package: Path | None, data: Path | None) -> None:
    """Verify a model package, or all on this box: every hash, then the golden vectors."""
    from appliance.wiring.reading import verify_models

    checks = verify_models(Options(data), package)
    terminal.console().print(terminal.check_table(checks))
    sys.exit(0 if checks and all(item.ok for item in checks) else 1)


@models.command("prove")
@click.argument("model_id", metavar="ID")
@click.argument("version", metavar="VERSION")
@click.option("--channel", type=click.Choice([str(c) for c in Channel]), default="digital")
@click.option("--against", metavar="VERSION", help="Held against this one, not the last before it.")
@click.option("--engine", metavar="NAME", help="On this engine; else on the one that reads here.")
@click.option(
    "--most-loss",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.05,
    help="Of what the old one called abnormal, at most this share may be missed.",
)
@click.option("--by", required=True, metavar="NAME", help="Who does this.")
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@_DATA
def models_prove(data: Path | None, channel: str, **asked: Any) -> None:
    """Map a version's threshold by a paired run over the stored images, and sign for it."""
    from appliance import site_terminal
    from appliance.wiring.proving import Proof, prove_model

    point, paired = prove_model(Options(data), Proof(channel=Channel(channel), **asked))
    terminal.say(site_terminal.paired_line(paired))
    terminal.say(site_terminal.chosen_line(point))


@main.group()
def calibrate() -> None:
    """Calibrate here: reference results, what they say, and a signed choice of threshold."""


_BY = click.option("--by", required=True, metavar="NAME", help="Who does this.")
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_ASKED = (
    click.option("--model", metavar="ID", help="Where more than one model looks for a finding."),
    click.option("--channel", type=click.Choice([str(c) for c in Channel]), default="digital"),
    click.option(
        "--kind",
        "kinds",
        multiple=True,
        type=click.Choice([str(kind) for kind in ReferenceKind]),
        help="Which reference tests count (more than one may be given); all when none is.",
    ),
    click.option("--sensitivity", type=_SHARE, default=0.90, help="What is wanted."),
    click.option("--specificity", type=_SHARE, default=0.70, help="What is expected."),
    click.option(
        "--half-width",
        type=click.FloatRange(0, 0.5, min_open=True),
        default=0.10,
        help="Both shall be known to within so much.",
    ),
    click.option("--prevalence", type=_SHARE, help="Share of positives among people to come."),
)


def _asked(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_ASKED):
        command = option(command)
    return command


def _question(data: Path | None, asked: dict[str, Any]) -> tuple[Subject, Question]:
    from appliance.calibrating import Question
    from appliance.site_calibration import Needs
    from appliance.wiring.site import subject_of

    kinds = tuple(ReferenceKind(kind) for kind in asked["kinds"]) or tuple(ReferenceKind)
    needs = Needs(asked["sensitivity"], asked["specificity"], asked["half_width"])
    subject = subject_of(Options(data), asked["model"], asked["channel"])
    return subject, Question(kinds, needs, asked["prevalence"])


@calibrate.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_BY
@click.option("--dry-run", is_flag=True, help="Look at every line and keep nothing.")
@_DATA
def calibrate_import(file: Path, by: str, data: Path | None, *, dry_run: bool) -> None:
    """Import reference results from a CSV file: all of them, or none."""
    from appliance import site_terminal
    from appliance.wiring.site import references

    with references(Options(data)) as door:
        imported = door.import_csv(file.read_bytes(), by, dry_run=dry_run)
    terminal.say(site_terminal.imported_line(imported))


@calibrate.command("report")
@_asked
@click.option("--cost-xray", type=click.FloatRange(0), help="Cost of one X-ray with its reading.")
@click.option("--cost-test", type=click.FloatRange(0), help="Cost of one confirmatory test.")
@_JSON
@_DATA
def calibrate_report(data: Path | None, *, as_json: bool, **asked: Any) -> None:
    """Show what the reference results say of a model along its threshold."""
    from appliance import site_terminal
    from appliance.wiring.site import report_site

    subject, question = _question(data, asked)
    costs = (asked["cost_xray"], asked["cost_test"])
    report = report_site(Options(data), subject, question, costs)
    if as_json:
        terminal.say_json(site_terminal.report_object(report))
    else:
        terminal.console().print(site_terminal.report_text(report))


@calibrate.command("choose")
@click.option("--threshold", type=_SHARE, help="From here on a score is called abnormal.")
@click.option("--as-shipped", is_flag=True, help="Go back to the threshold of the package.")
@_BY
@click.option("--reason", required=True, metavar="TEXT", help="Why.")
@_asked
@_DATA
def calibrate_choose(data: Path | None, *, as_shipped: bool, **asked: Any) -> None:
    """Choose an operating point for one model version and channel, and sign for it."""
    from appliance import site_terminal
    from appliance.wiring.site import site_calibration

    if (asked["threshold"] is None) is not as_shipped:
        raise click.UsageError("Give either --threshold or --as-shipped.")
    subject, question = _question(data, asked)
    with site_calibration(Options(data)) as site:
        if as_shipped:
            point = site.go_back(subject, asked["by"], asked["reason"])
        else:
            chosen = asked["threshold"]
            point = site.choose(subject, question, chosen, asked["by"], asked["reason"])
    terminal.say(site_terminal.chosen_line(point))


@calibrate.command("verify")
@_JSON
@_DATA
def calibrate_verify(data: Path | None, *, as_json: bool) -> None:
    """Verify the signed record of choices: any entry that was edited or deleted is found."""
    from appliance import site_terminal
    from appliance.wiring.site import site_calibration

    with site_calibration(Options(data)) as site:
        entries, troubles = site.verify()
    if as_json:
        told = [entry.content for entry in entries]
        terminal.say_json({"ok": not troubles, "troubles": troubles, "entries": told})
    else:
        terminal.console().print(site_terminal.record_text(entries, troubles))
    sys.exit(1 if troubles else 0)


@main.command()
@_JSON
@click.option("--summary", is_flag=True, help="The last seven days as one line of JSON.")
@click.option("--restart", metavar="STATION", help="Begin anew what is usual at a station.")
@click.option("--by", metavar="NAME", default="", help="With --restart: who.")
@click.option("--reason", metavar="TEXT", default="", help="With --restart: why.")
@_DATA
def drift(data: Path | None, *, as_json: bool, summary: bool, **asked: str | None) -> None:
    """Show the watch over the sending stations, and whether something has changed there."""
    from appliance import site_terminal
    from appliance.wiring.site import station_watch, weekly_summary

    if summary:
        terminal.say(weekly_summary(Options(data)))
        click.echo("waypost: not sent; no way out of the box carries it yet.", err=True)
        return
    with station_watch(Options(data)) as watch:
        if asked["restart"]:
            watch.restart(asked["restart"], asked["by"] or "", asked["reason"] or "")
        states = watch.states()
    if as_json:
        terminal.say_json([site_terminal.watched_object(state) for state in states])
    else:
        terminal.console().print(site_terminal.watch_text(states))


if __name__ == "__main__":
    main()
