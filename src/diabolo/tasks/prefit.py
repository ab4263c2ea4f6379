"""What a task that is fitted on a `model` does where that is fitted already (`prefit`)."""

import copy
from typing import Any

from sklearn.utils.validation import check_is_fitted

from diabolo.errors import InputError
from diabolo.estimator import Estimator
from diabolo.hub import Pushed


class Prefit(Pushed):
    """Beside `Parameters` with a `model` and a `prefit`: a fitted model is taken as it is."""

    def __sklearn_clone__(self: Any) -> Any:
        twin = super().__sklearn_clone__()  # type: ignore[misc]
        if self.prefit:
            twin.model = self.model
        return twin

    def _as_it_is(self: Any) -> Estimator:
        """The fitted model, as it stays whatever its owner does with it."""
        if self.model is None:
            kind = type(self).__name__
            raise InputError(f"With prefit there must be a fitted model: give {kind}(model).")
        check_is_fitted(self.model)
        model: Estimator = copy.copy(self.model)
        return model
