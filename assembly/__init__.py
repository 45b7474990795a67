"""The one place where the parts meet: assemble() makes the whole product out of settings and edges."""

from assembly.house import Edges, Sendonce, assemble

__all__ = ["Edges", "Sendonce", "assemble"]
