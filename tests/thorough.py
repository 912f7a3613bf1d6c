"""How much the tests try: `make test` a part, `make faults` all of it."""

import hypothesis
import pytest

# Examples take as long as they take: a busy machine is no defect.
hypothesis.settings.register_profile("usual", deadline=None)
hypothesis.settings.register_profile("many", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("usual")  # `--hypothesis-profile many` comes after it


def thorough() -> bool:
    """Whether all is to be tried: under the profile `many`."""
    return hypothesis.settings().max_examples > 100


def left_to_faults(why: str) -> pytest.MarkDecorator:
    """Leave a test to `make faults`, and say why."""
    return pytest.mark.skipif(not thorough(), reason=f"make faults plays it: {why}")
