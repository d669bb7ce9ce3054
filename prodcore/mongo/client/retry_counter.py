"""Counting the commands that the driver sends again, by itself or because it is told to."""

from __future__ import annotations

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from prodcore.support.retries import note_failed, note_sent


class RetryCounter(CommandListener):
    """Says to whoever counts (``prodcore.support.retries``) that a command follows one that failed.

    Costs something for each command, so only drills listen. The driver calls it in the thread that sends.
    """

    def started(self, _event: CommandStartedEvent) -> None:
        """A command goes out."""
        note_sent()

    def succeeded(self, _event: CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, _event: CommandFailedEvent) -> None:
        """No answer, or a refusal such as one of a member that is no primary any more."""
        note_failed()
