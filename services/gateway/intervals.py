"""What a rate may be, given how few cases it rests on."""


def interval(successes: str, uses: str) -> str:
    """SQL of the 95 % Wilson score interval (E. B. Wilson, 1927; z = 1.96), null without uses."""
    middle = f"{successes} + 1.96 ^ 2 / 2"
    spread = f"1.96 * sqrt({successes}::double precision * ({uses} - {successes}) / {uses} + 1.96 ^ 2 / 4)"
    low, high = f"greatest(0, {middle} - {spread})", f"least({uses} + 1.96 ^ 2, {middle} + {spread})"
    scaled = ", ".join(f"({bound} / ({uses} + 1.96 ^ 2))::double precision" for bound in (low, high))
    return f"case when {uses} > 0 then array[{scaled}] end"
