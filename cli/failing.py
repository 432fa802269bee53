"""What a command ends with when it can't be done."""


class Failed(Exception):
    """What went wrong, in one line with the fix. `status` is the answer's, 0 when there was none."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status
