"""Fields of pydantic models, checked as the rest of the package checks its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from langchain_rerank.checks import real_number, shown, whole_number
from langchain_rerank.errors import ConfigurationError


def _whole(value: object, info: ValidationInfo) -> int:
    return whole_number(value, str(info.field_name))


def _real(value: object, info: ValidationInfo) -> float:
    number = real_number(value)
    if number is None:
        raise ConfigurationError(f"{info.field_name}={shown(value)}: it must be a number.")
    return number


# Before pydantic, which takes True for 1 and "1" for 1, and refuses NumPy's integers.
Count = Annotated[int, BeforeValidator(_whole)]
"""A whole number of at least 1."""
Real = Annotated[float, BeforeValidator(_real)]
"""A number, of whatever type but text and booleans."""


def told(error: ValidationError) -> str:
    """Return what a refusal of fields says, without what pydantic puts around it."""
    return "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())


class CheckedAssignment(BaseModel):
    """Checks what is assigned, to it or to a copy, and stays as it was where that is refused."""

    model_config = ConfigDict(validate_assignment=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with the settings of `update`, checked as any that are assigned.

        Raises:
            ConfigurationError: There is no such setting, or its value is impossible.
        """
        changed = dict(update or {})
        if unknown := sorted(map(shown, changed.keys() - type(self).model_fields.keys())):
            raise ConfigurationError(
                f"{type(self).__name__} has no setting {', '.join(unknown)}; it has "
                f"{', '.join(type(self).model_fields)}."
            )
        # All at once and then each: what is checked of one may depend on another.
        copied = super().model_copy(update=changed, deep=deep)
        try:
            for name, value in changed.items():
                setattr(copied, name, value)
        except ValidationError as error:
            raise ConfigurationError(told(error)) from error
        return copied

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign, or leave everything as it was where the value is refused."""
        if name not in type(self).model_fields:
            super().__setattr__(name, value)
            return
        before, known = dict(self.__dict__), set(self.__pydantic_fields_set__)
        try:
            super().__setattr__(name, value)
        except BaseException:
            # pydantic assigns before it asks the validators of the whole model.
            # At once: others may be reading.
            object.__setattr__(self, "__dict__", before)
            object.__setattr__(self, "__pydantic_fields_set__", known)
            raise
