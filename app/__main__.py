"""The command line."""

import sys

from app import ending

if __name__ == "__main__":  # before what takes a second to load
    ending.end_on_signals(sys.argv[1:])

import asyncio
import getpass
import json
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeVar

import httpx
import structlog
import typer
from starlette.applications import Starlette

from app.children import LEDGER_AWAY, NoParent, Parent, how_many, keep_standard_places
from app.jebbit.signature import HEADER, TEST_HEADER, sign
from app.ledger.database import UNAVAILABLE, Database
from app.ledger.fitness import Unfit
from app.ledger.rotation import rotate
from app.ledger.vault import Vault, WrongSecretKey
from app.mounted import BadSettings, Variables
from app.operations import config_as_code
from app.operations.callers import Caller, Role
from app.operations.checking import CheckFailed
from app.operations.comparing import LAST, MOST, Comparison, Outcome
from app.operations.context import Context
from app.parts import open_context, open_database, open_ledger, run_child, run_worker
from app.sandbox.samples import SAMPLES
from app.serving import CannotListen, DrainingServer, run, try_to_listen
from app.settings import (
    MissingSecret,
    Settings,
    load_secrets,
    misspelt,
    read_settings,
)
from app.telemetry import logs

T = TypeVar("T")

log = structlog.get_logger("deliver")

cli = typer.Typer(
    help="Receives Jebbit's webhooks and keeps Cordial's contacts right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@cli.command()
def serve() -> None:
    """Serve webhooks and the ops API, and deliver (unless RUN_WORKER=false)."""
    keep_standard_places()
    settings = _settings()
    try_to_listen(settings.host, settings.port)
    secrets = load_secrets(settings)
    processes = asyncio.run(_try_ledger(settings))
    for name, path in secrets.kept_in.items():
        typer.echo(f"{name} is in {path.resolve()}", err=True)
    if settings.console:
        here = _address(settings.host, settings.port)
        typer.echo(f"Console: {here}/console", err=True)
        typer.echo(f"Docs: {here}/docs", err=True)
    from app.main import create_app  # a process that only delivers loads no web framework

    app = create_app(settings, processes=processes)
    _serve(app, settings, settings.port)


@cli.command()
def worker() -> None:
    """Deliver only; with PostgreSQL, as many as wanted. WORKER_PORT shows probes and metrics."""
    settings = _settings()
    if settings.worker_port is not None:
        try_to_listen(settings.host, settings.worker_port, "WORKER_PORT")
        asyncio.run(_try_ledger(settings))
        from app.main import create_worker_app

        _serve(create_worker_app(settings), settings, settings.worker_port)
        return
    run(run_worker(settings))


@cli.command(hidden=True)
def deliver() -> None:
    """Deliver for the `serve` that has started this process, and end with it."""
    parent = Parent()
    settings = parent.settings()
    logs.configure(settings.log_format, settings.log_level)
    try:
        run(run_child(settings, parent))
    except UNAVAILABLE as error:
        if getattr(error, "filename", None) is not None:
            raise  # a file of ours, as on a full disk, is no ledger that is away
        log.warning("ledger_unavailable", error=logs.place_of(error))
        raise typer.Exit(LEDGER_AWAY) from None


@cli.command()
def migrate() -> None:
    """Bring the ledger's tables to the newest form; serve and worker do so too."""
    settings = _settings()

    async def run() -> None:
        database = open_database(settings)
        await database.migrate()
        await database.close()

    asyncio.run(run())
    typer.echo("The ledger is up to date.")


@cli.command()
def export(
    file: Annotated[
        Path | None, typer.Option(help="Where to write; else shown.", dir_okay=False)
    ] = None,
) -> None:
    """Write all integrations as YAML, secrets as references to environment variables."""
    text, variables = _run(_settings(), config_as_code.export_all)
    if file:
        _write(file, text)
    else:
        typer.echo(text, nl=False)
    if variables:
        typer.echo("Set for `apply`: " + ", ".join(variables), err=True)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:  # it is no fault of the ledger
        typer.echo(f"{file} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(1) from None


@cli.command()
def apply(
    file: Annotated[
        Path, typer.Argument(help="YAML, as `export` writes it.", exists=True, dir_okay=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what differs, no more.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Resume also with errors in the check.")
    ] = False,
    compare: Annotated[
        int | None,
        typer.Option(
            help=f"Compare over so many of the newest submissions; with --dry-run {LAST}.",
            min=1,
            max=MOST,
        ),
    ] = None,
    refuse_newly_subscribed: Annotated[
        bool,
        typer.Option(
            "--refuse-newly-subscribed",
            help="Apply nothing if people would be subscribed who are not today.",
        ),
    ] = False,
) -> None:
    """Make integrations as a file says; what it does not list stays as it is.

    One that is active, or is to be, is checked against its Cordial account first. With errors it
    stays as it is, or paused; they are shown, and the exit code is 1. It is 1 as well if people
    would be newly subscribed and you refuse that.
    """
    settings = _settings()
    logs.configure(settings.log_format, "ERROR")  # what is done is told below, and in the ledger
    wanted = config_as_code.read(
        config_as_code.text_of(file.read_bytes()),
        Variables(os.environ),
        settings.cordial_extra_hosts,
    )
    changes = _run(settings, lambda context: config_as_code.compare(context, wanted))
    if not changes:
        typer.echo("Nothing to change.")
        return
    typer.echo(config_as_code.diff(changes, file.name))
    if compare or dry_run or refuse_newly_subscribed:
        found = _run(
            settings, lambda context: config_as_code.compare_all(context, changes, compare or LAST)
        )
        for integration_id, each in found:
            _show_comparison(integration_id, each)
        if refuse_newly_subscribed and any(each.newly_subscribed for _, each in found):
            typer.echo("Nothing is applied: people would be newly subscribed.", err=True)
            raise typer.Exit(1)
    if dry_run:
        return
    if not yes:
        typer.confirm(f"Apply to {len(changes)} of {len(wanted)} integrations?", abort=True)

    async def apply_all(context: Context) -> list[bool]:
        return [await _apply(context, each, force=force) for each in changes]

    if not all(_run(settings, apply_all)):
        typer.echo("Mend them and apply the file again, or add --force.", err=True)
        raise typer.Exit(1)


def _show_comparison(integration_id: str, found: Comparison) -> None:
    """Say what a change would do with what came in, and what is not known."""
    unread = f", {found.not_compared} more cannot be read" if found.not_compared else ""
    typer.echo(f"{integration_id}: compared over {found.compared} submissions{unread}")
    if found.newly_subscribed:
        typer.echo(f"  NEWLY SUBSCRIBED: {found.newly_subscribed}")
    for change in found.changes:
        typer.echo(f"  {change.count:>6}  {_outcome(change.before)} -> {_outcome(change.after)}")
    for field in found.fields:
        counts = {"added": field.added, "changed": field.changed, "no longer sent": field.removed}
        said = ", ".join(f"{word} {number}" for word, number in counts.items() if number)
        typer.echo(f"  field {field.field}: {said}")
    if not found.changes and not found.fields:
        typer.echo("  nothing changes" if found.compared else "  nothing came in to compare with")


def _outcome(outcome: Outcome) -> str:
    if outcome.outcome == "skip":
        return f"skipped ({outcome.reason})"
    said = f"sent (email {outcome.email or 'left alone'}, sms {outcome.sms or 'left alone'})"
    return f"{said}, forced" if outcome.force else said


async def _apply(context: Context, change: config_as_code.Change, *, force: bool) -> bool:
    """Apply one change and say what became of it; False where it was to be resumed and is not."""
    done = f"{change.wanted.id}: {'changed' if change.before else 'created'}"
    refused = f"{done}, stays paused" if change.resumes else f"{change.wanted.id}: not changed"
    try:
        await config_as_code.apply(context, _operator(), change, force=force)
    except CheckFailed as error:
        typer.echo(f"{refused}: the check finds errors", err=True)
        for each in error.places:
            typer.echo(f"  {each.place}: {each.detail}", err=True)
        return False
    typer.echo(f"{done}, {'paused' if change.paused else 'active'}")
    return True


@cli.command()
def rotate_secrets() -> None:
    """Encrypt the ledger's secrets anew with the first key of SECRET_KEY."""
    settings = _settings()
    counts = _on_ledger(settings, rotate)
    parts = ", ".join(f"{count} in {table}" for table, count in counts.items())
    typer.echo(f"Encrypted with the first key of SECRET_KEY: {parts}.")
    if len(settings.secret_keys) > 1:
        typer.echo("The other keys can be dropped from SECRET_KEY.")


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9100,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a local Cordial; its API key is `sandbox-key`, its controls are under /_sandbox."""
    logs.configure("console", "INFO")
    typer.echo(
        f"Cordial sandbox: {_address(host, port)} (account URL), API key sandbox-key", err=True
    )
    from app.sandbox.server import create_sandbox  # not loaded where the service only serves

    DrainingServer(create_sandbox(), host, port, log_level="WARNING").run()


@cli.command()
def send(
    url: Annotated[str, typer.Argument(help="The integration's webhook_url.")],
    secret: Annotated[str, typer.Option(envvar="WEBHOOK_SECRET", help="Its webhook secret.")],
    file: Annotated[
        Path | None, typer.Option(help="A body to send.", exists=True, dir_okay=False)
    ] = None,
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
    except (httpx.TransportError, httpx.InvalidURL) as error:
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
    from app.demo import run_demo  # not loaded where the service only serves

    if once:
        raise typer.Exit(run_demo(once=True))
    with suppress(KeyboardInterrupt), ending.on_signals(ending.interrupt):
        raise typer.Exit(run_demo(once=False))


def _address(host: str, port: int) -> str:
    """Return where a server is reached from this machine, to be opened as it stands."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(app: Starlette, settings: Settings, port: int) -> None:
    DrainingServer(
        app,
        settings.host,
        port,
        log_level=settings.log_level,
        keep_alive=settings.keep_alive_seconds,
        proxies=settings.forwarded_allow_ips,
    ).run()


def _operator() -> Caller:
    """Return who runs the command: whoever has the ledger's secrets may do everything."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user needs no name
        name = str(os.getuid())
    return Caller(name[:40], Role.ADMIN, "command line")


def _run(settings: Settings, operation: Callable[[Context], Coroutine[None, None, T]]) -> T:
    async def run() -> T:
        async with open_context(settings) as context:
            return await operation(context)

    return asyncio.run(run())


def _on_ledger(settings: Settings, use: Callable[[Database, Vault], Coroutine[None, None, T]]) -> T:
    async def run() -> T:
        async with open_ledger(settings) as (database, vault):
            return await use(database, vault)

    return asyncio.run(run())


def _settings() -> Settings:
    settings = read_settings()
    for line in misspelt():
        typer.echo(line, err=True)
    logs.configure(settings.log_format, settings.log_level)
    return settings


async def _try_ledger(settings: Settings) -> int:
    """Open the ledger once, since what a server's start raises is shown as a traceback.

    Return how many processes it is for.
    """
    async with open_ledger(settings) as (database, _):
        return how_many(settings, database)


def main() -> None:
    """Run a command; what a person can mend is said in one line."""
    try:
        cli()
    except (BadSettings, MissingSecret, NoParent, WrongSecretKey, Unfit, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except CannotListen as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except UNAVAILABLE as error:
        said = str(error).partition("\n")[0] or type(error).__name__
        print(f"The ledger cannot be reached, look at DATABASE_URL: {said}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    logs.keep_loggers()
    main()
