"""The section of a platform that another package brings: what its adapter declares, as a model that checks itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, create_model

from adapters.base import Adapter, Setting

Section = TypeVar("Section", bound=BaseModel)


def section_model(adapter: type[Adapter], base: type[Section]) -> type[Section]:
    """`base` with the settings of this adapter; a setting cannot change the meaning of one that every platform has."""
    own = {s.name: s for s in adapter.own_settings if s.name not in base.model_fields}
    fields: dict[str, Any] = {name: (_type(s), ... if s.is_needed else s.default) for name, s in own.items()}
    return create_model(f"{adapter.name}_section", __base__=base, **fields)


def secret_names(adapter: type[Adapter]) -> tuple[str, ...]:
    """The settings that hold a reference to a secret and not a value."""
    return tuple(s.name for s in adapter.own_settings if s.is_secret)


def _type(setting: Setting) -> Any:
    if setting.choices:
        return Literal[setting.choices]
    kind = type(setting.default)
    if kind in (int, float):
        return Annotated[kind, Field(ge=setting.least, le=setting.most)]
    return Annotated[str, Field(min_length=1)] if setting.is_needed and kind is str else kind
