"""Costs: whether a round of writes costs less one by one or as an atomic batch, as measured.

It depends on the servers: on their fsyncs, replicas and folders, and on the size of the round. A
batch of eight takes a third of eight single writes where batches are staged in memory, and eighty
times as long on a server that does not sync before it answers. So the writer measures both, by the
size of rounds, and mostly does what took less time.
"""

from typing import Final

SINGLES: Final = 3
"""Writes that are published one by one as long as nothing was measured."""
WEIGHT: Final = 0.2
"""Of the newest measurement in an average."""
MOST_ABOVE: Final = 4.0
"""How far a measurement counts above the average: a pause of the disk is no cost of a method."""
TRIALS: Final = (4, 12)
"""Rounds of a size in which the other method is tried, besides every `EVERY`th."""
EVERY: Final = 64
EVERY_HOPELESS: Final = 1024
"""As `EVERY`, for a method that took more than `HOPELESS` times as long."""
HOPELESS: Final = 4.0
TRIED: Final = 64
"""Writes that are tried one by one anyway; more only if half as many were not hopeless."""
SIZES: Final = 11
"""Classes of rounds; those of one class have less than twice as many writes as each other."""


class _Size:
    """What rounds of about one size took."""

    def __init__(self) -> None:
        self.rounds = 0
        self.seconds: dict[bool, float] = {}
        """Average for one write, as a batch (True) and one by one (False)."""

    def note(self, is_batch: bool, seconds: float) -> None:
        known = self.seconds.get(is_batch)
        if known is not None:
            seconds = known + WEIGHT * (min(seconds, MOST_ABOVE * known) - known)
        self.seconds[is_batch] = seconds

    def cheaper(self) -> bool | None:
        """Return which method took less; None if only one was tried."""
        if len(self.seconds) < 2:
            return None
        return self.seconds[True] < self.seconds[False]

    @property
    def is_trial(self) -> bool:
        """Whether this round is for the method that seems to cost more."""
        if self.rounds in TRIALS:
            return True
        return self.rounds % (EVERY_HOPELESS if self.is_hopeless else EVERY) == 0

    @property
    def is_hopeless(self) -> bool:
        """Whether the method that costs more costs much more."""
        both = self.seconds.values()
        return len(both) == 2 and max(both) > HOPELESS * min(both)


class Costs:
    """Decides for the writer of one stream."""

    def __init__(self) -> None:
        self._sizes = [_Size() for _ in range(SIZES)]

    def prefers_batch(self, count: int) -> bool:
        """Return whether writes that are sent together most likely cost less as a batch.

        Args:
            count: of writes.
        """
        if count < 2:
            return False
        cheaper = self._of(count).cheaper()
        return count > SINGLES if cheaper is None else cheaper

    def chooses_batch(self, count: int) -> bool:
        """Return whether a round is sent as a batch; now and then, the other method is tried."""
        prefers = self.prefers_batch(count)
        if count < 2:
            return False
        size = self._of(count)
        size.rounds += 1
        if size.is_trial and (not prefers or self._may_try_singles(count)):
            return not prefers
        return prefers

    def note(self, count: int, *, is_batch: bool, seconds: float) -> None:
        """Take a measurement.

        Args:
            count: of the writes of a round, which were all stored.
            is_batch: how they were sent.
            seconds: until all were acknowledged.
        """
        if count > 1:
            self._of(count).note(is_batch, seconds / count)

    def _may_try_singles(self, count: int) -> bool:
        """Return whether so many single writes are worth a trial."""
        if count <= TRIED:
            return True
        fewer = self._of(count // 2)
        cheaper = fewer.cheaper()
        return cheaper is False or (cheaper is True and not fewer.is_hopeless)

    def _of(self, count: int) -> _Size:
        return self._sizes[min(count.bit_length(), SIZES - 1)]
