"""A table of cases that is one test, which tells of every row that fails."""

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

Test = Callable[..., None]


def table(names: str | Sequence[str], rows: Iterable[Any]) -> Callable[[Test], Test]:
    """Do as `pytest.mark.parametrize` does, within one test: for pure functions.

    A test of its own would cost each row ten times what it does. Rows share the fixtures that the
    test asks for, which must keep nothing.
    """
    keys = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
    given = [dict(zip(keys, _values(row, len(keys)), strict=True)) for row in rows]
    assert given, "a table without a row shows nothing"

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        def each_row(**fixtures: Any) -> None:
            failures = [
                failure for row in given if (failure := _failure(test, row, fixtures)) is not None
            ]
            if failures:
                said = f"{len(failures)} of {len(given)} rows fail"
                raise BaseExceptionGroup(said, failures)

        asked = inspect.signature(test).parameters.values()
        left = [each for each in asked if each.name not in keys]
        each_row.__signature__ = inspect.Signature(left)  # type: ignore[attr-defined]
        return each_row

    return decorated


def _values(row: Any, number: int) -> Sequence[Any]:
    return (row,) if number == 1 else tuple(row)


def _failure(test: Test, row: dict[str, Any], fixtures: dict[str, Any]) -> BaseException | None:
    try:
        test(**row, **fixtures)
    except (Exception, pytest.fail.Exception) as failure:  # `pytest.raises` fails by the latter
        failure.add_note("in the row " + ", ".join(f"{key}={row[key]!r}" for key in row))
        return failure
    return None
