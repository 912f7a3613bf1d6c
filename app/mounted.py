"""Secrets in files, as Docker and Kubernetes mount them: NAME_FILE names the file of NAME."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

_LARGEST_FILE = 64 * 1024


class BadSettings(Exception):
    """Settings that cannot be used; the text has a line for each, with its name."""


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from the files that NAME_FILE names, as Docker and Kubernetes mount them."""

    def __init__(
        self,
        settings: type[BaseSettings],
        given: Sequence[PydanticBaseSettingsSource],
        names: Sequence[str],
    ) -> None:
        """Take where names are given, the first that counts first, and the secrets' names."""
        super().__init__(settings)
        self._names = names
        self._given = [each.env_vars for each in given if isinstance(each, EnvSettingsSource)]

    def get_field_value(self, field: object, field_name: str) -> tuple[object, str, bool]:
        """Return the secret if NAME_FILE is set where NAME itself would be looked for first."""
        for variables in self._given:
            value, file = variables.get(field_name), variables.get(f"{field_name}_file")
            if value and file:
                name = field_name.upper()
                raise BadSettings(f"{name} and {name}_FILE are both set; keep one of them")
            if file:
                return _content(field_name, Path(file)), field_name, False
            if value:
                break
        return None, field_name, False

    def __call__(self) -> dict[str, object]:
        """Return the secrets that are in files."""
        found = {name: self.get_field_value(None, name)[0] for name in self._names}
        return {name: value for name, value in found.items() if value is not None}


class Variables(Mapping[str, str]):
    """An environment in which NAME may also be in the file that NAME_FILE names."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __getitem__(self, name: str) -> str:
        """Return a variable; raises `BadSettings` if its file holds none."""
        file = self._environment.get(f"{name}_FILE")
        if file and self._environment.get(name):
            raise BadSettings(f"{name} and {name}_FILE are both set; keep one of them")
        return _content(name, Path(file)) if file else self._environment[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the environment."""
        return iter(self._environment)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._environment)


def _content(name: str, path: Path) -> str:
    """Return the line in a secret's file; what ends it does not belong to it."""
    setting = f"{name.upper()}_FILE"
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST_FILE).rstrip("\r\n")
    except UnicodeDecodeError:
        raise BadSettings(f"{setting}: {path} is not text") from None
    except OSError as error:
        raise BadSettings(f"{setting}: {path} cannot be read: {error.strerror}") from None
    if not text:
        raise BadSettings(f"{setting}: {path} is empty")
    return text
