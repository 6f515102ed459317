"""A run that nobody watches."""


class Unwatched:
    """No progress bar."""

    is_watched = False

    def begin(self, phase: str, total: int | None) -> None:
        pass

    def advance(self, people: int) -> None:
        pass
