"""How much the tests try: `make test` a part, `make faults` all of it."""

import hypothesis

# Examples take as long as they take: a busy machine is no defect.
hypothesis.settings.register_profile("usual", deadline=None)
hypothesis.settings.register_profile("many", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("usual")  # `--hypothesis-profile many` comes after it


def thorough() -> bool:
    """Whether all is to be tried: under the profile `many`."""
    return hypothesis.settings().max_examples > 100
