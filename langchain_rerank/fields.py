"""Fields of pydantic models, checked as the rest of the package checks its arguments."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

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


class CheckedAssignment(BaseModel):
    """Checks what is assigned, and stays as it was where that is refused."""

    model_config = ConfigDict(validate_assignment=True)

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
