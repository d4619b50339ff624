"""Known-bad variants, one file each: each swaps one named part, production code carries no switch."""

from collections.abc import Mapping

from drill.planted.plant import Plant

PLANTS: Mapping[str, Plant] = {}
