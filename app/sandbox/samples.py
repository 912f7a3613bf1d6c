"""What the sandbox is rehearsed with: the samples of what Jebbit sends."""

from app.jebbit.samples import SAMPLES

__all__ = ["SAMPLES"]
