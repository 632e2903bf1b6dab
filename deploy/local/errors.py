"""What may go wrong on somebody's machine, told in one sentence."""


class PlatformError(Exception):
    """The sentence is for the person at the terminal; `exit_code` is what the command ends with."""

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code or 1
