"""Why a sign-in can't go on, in one line for the person."""

from __future__ import annotations


class Refused(Exception):
    """It ends here: what is wrong, and what helps. `status` is the answer's."""

    def __init__(self, words: str, status: int = 403) -> None:
        super().__init__(words)
        self.status = status


class ProviderTrouble(Refused):
    """The OpenID provider doesn't answer, or not as it should: nothing that the person could mend."""

    def __init__(self, words: str) -> None:
        super().__init__(f"{words}; try again, or ask who runs this cluster", 503)


AGAIN = "run `makima login` again"
