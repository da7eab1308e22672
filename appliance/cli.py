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
from appliance.domain import AdmissionOutcome, ReadingState
from appliance.errors import WaypostError
from appliance.wiring.settings import Options, data_folder, software_version

if TYPE_CHECKING:
    from collections.abc import Sequence

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


if __name__ == "__main__":
    main()
