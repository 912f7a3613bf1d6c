"""What each fork starts with: all that the commands load, first or last, and their routes, read."""

import gc

import aiosqlite  # noqa: F401
import alembic.command  # noqa: F401
import anyio._backends._asyncio  # noqa: F401
import asyncpg  # noqa: F401
import mako.ext.pygmentplugin
import mako.template  # noqa: F401
import uvicorn.lifespan.on
import uvicorn.loops.auto  # noqa: F401

import app.__main__  # noqa: F401
import tests.faults.stage  # noqa: F401
from app.main import create_app
from app.settings import Settings
from tests.routes import read_now, read_once

_reading = read_once()
_reading.__enter__()
read_now(create_app(Settings(_env_file=None)).routes)
gc.freeze()  # what is loaded stays: nobody needs to look through it for garbage
