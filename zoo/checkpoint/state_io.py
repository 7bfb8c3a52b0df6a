"""Lightning's way to a training's state: every checkpoint of a trainer goes through one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.fabric.plugins import TorchCheckpointIO

from zoo.checkpoint import state_file


class StateIO(TorchCheckpointIO):
    """Reads and writes a trainer's checkpoints as ``zoo.checkpoint.state_file`` does."""

    def __init__(self) -> None:
        self._errors: list[OSError] | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Writes beside ``path`` and renames, unless an error has been collected."""
        if self._errors:
            return
        try:
            state_file.write(checkpoint, path)
        except OSError as error:
            if self._errors is None:
                raise
            self._errors.append(error)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The state, on the CPU, whatever ``weights_only`` says: nothing is executed."""
        return state_file.read(path)

    @contextmanager
    def collecting_errors(self) -> Iterator[list[OSError]]:
        """Within, a file that cannot be written is an entry of the list instead of an error.

        The other processes wait for the first one after it has written: it must not leave them.
        """
        self._errors = []
        try:
            yield self._errors
        finally:
            self._errors = None
