"""The one exception for what a user did wrong."""


class InputError(ValueError):
    """A mistake in what was given; its message is one sentence that says what and what to do."""
