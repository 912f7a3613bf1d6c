"""The command line."""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from pydantic import ValidationError

from app.cordial.sandbox import create_sandbox
from app.demo import run_demo
from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.ledger.database import Database
from app.ledger.vault import WrongSecretKey
from app.main import create_app, run_worker
from app.samples import SAMPLES
from app.serving import DrainingServer
from app.settings import MissingSecret, Settings, load_secrets
from app.telemetry import logs

cli = typer.Typer(
    help="Receives Jebbit's webhooks and keeps Cordial's contacts right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@cli.command()
def serve() -> None:
    """Serve webhooks and the ops API, and deliver (unless RUN_WORKER=false)."""
    settings = _settings()
    secrets = load_secrets(settings)
    for name, path in secrets.kept_in.items():
        typer.echo(f"{name} is in {path.resolve()}", err=True)
    typer.echo(f"Docs: http://{settings.host}:{settings.port}/docs", err=True)
    app = create_app(settings)
    DrainingServer(app, settings.host, settings.port, log_level=settings.log_level).run()


@cli.command()
def worker() -> None:
    """Deliver only; with PostgreSQL, as many as wanted."""
    settings = _settings()

    async def run() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await run_worker(settings, stop)

    asyncio.run(run())


@cli.command()
def migrate() -> None:
    """Bring the ledger's tables to the newest form; serve and worker do so too."""
    settings = _settings()

    async def run() -> None:
        database = Database(settings.database_url)
        await database.migrate()
        await database.close()

    asyncio.run(run())
    typer.echo("The ledger is up to date.")


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9100,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a local Cordial; its API key is `sandbox-key`, its controls are under /_sandbox."""
    logs.configure("console", "INFO")
    typer.echo(
        f"Cordial sandbox: http://{host}:{port} (account URL), API key sandbox-key", err=True
    )
    DrainingServer(create_sandbox(), host, port, log_level="WARNING").run()


@cli.command()
def send(
    url: Annotated[str, typer.Argument(help="The integration's webhook_url.")],
    secret: Annotated[str, typer.Option(envvar="WEBHOOK_SECRET", help="Its webhook secret.")],
    file: Annotated[Path | None, typer.Option(help="A body to send.")] = None,
    sample: Annotated[str, typer.Option(help=f"One of: {', '.join(SAMPLES)}.")] = "opted_in",
    test: Annotated[bool, typer.Option("--test", help="Send it as a test webhook.")] = False,
) -> None:
    """Post a signed webhook, as Jebbit would."""
    if sample not in SAMPLES:
        raise typer.BadParameter(f"no sample {sample!r}; there are: {', '.join(SAMPLES)}")
    body = file.read_bytes() if file else json.dumps(SAMPLES[sample]).encode()
    headers = {HEADER: sign(body=body, secret=secret, at=int(time.time()))}
    if test:
        headers[TEST_HEADER] = "true"
    try:
        answer = httpx.post(url, content=body, headers=headers)
    except httpx.TransportError as error:
        typer.echo(f"{url} does not answer: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{answer.status_code} {answer.text}")
    raise typer.Exit(0 if answer.is_success else 1)


@cli.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Exit after the table.")] = False,
) -> None:
    """Show every situation on a service and a sandbox of its own, over real HTTP."""
    logs.configure("console", "ERROR")
    raise typer.Exit(run_demo(once=once))


def _settings() -> Settings:
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    return settings


def main() -> None:
    """Run a command; what a person can mend is said in one line."""
    try:
        cli()
    except ValidationError as error:
        for each in error.errors(include_input=False):
            name = ".".join(map(str, each["loc"])).upper()
            print(f"{name}: {each['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        sys.exit(2)
    except (MissingSecret, WrongSecretKey, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
