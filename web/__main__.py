"""``python -m web``: serve the pages over one data folder."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from appliance.errors import WaypostError
from appliance.wiring.settings import Options, load
from appliance.wiring.web import open_web_services
from web.server import bind, serve


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The data folder.")
@click.option("--web", default="127.0.0.1:8080", show_default=True, help="HOST:PORT; port 0: any.")
@click.option("--config", type=click.Path(path_type=Path), help="waypost.toml.")
@click.option("--ready-fd", type=int, help="Where to write HOST:PORT once pages are served.")
def main(data: Path, web: str, config: Path | None, ready_fd: int | None) -> None:
    """Serve Waypost's pages from DATA until they are told to stop."""
    try:
        load(Options(data=data, config=config))
        listener = bind(web)
    except WaypostError as error:
        click.echo(error.text, err=True)
        sys.exit(2)
    serve(partial(open_web_services, data, config), listener, ready_fd)


if __name__ == "__main__":
    main()
