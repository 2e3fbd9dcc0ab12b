"""The paper's tables as typed data: reported values, and the run and field that fill each cell.

The numbers stand in ``reported.yaml`` beside this module, transcribed once from the paper. The
file is part of the package, so a fault in it is ours: it raises pydantic's own ValidationError.
"""

from collections import Counter
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

ResultField = Literal[
    "before.miou",
    "after.miou",
    "before.near_miou",
    "after.near_miou",
    "train.images_per_second",
    "model.parameters",
    "model.field_of_view",
]
KeyValue = bool | int | str | list[int]
Kind = Literal["difference", "same", "ratio"]
CellName = tuple[str, str]  # (row id, column name)
# The two networks that figures 9 and 10b compare, by run.
COMPARED = {"aspp_l": "VGG-16", "resnet_msc_coco_aug_aspp": "ResNet-101"}
CLAIM_TOLERANCES = ("difference", "same", "ratio", "equal_speed")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Tolerance(_Strict):
    """How far a cell may lie from the paper's; ``within`` None: a cell of this kind is not judged.

    ``within`` is in the column's unit and inclusive.
    """

    within: Annotated[float, Field(ge=0)] | None
    reason: str


class Key(_Strict):
    """A column that says what a row is (kernel, policy, ...); nothing is measured in it."""

    name: str
    title: str


class Column(_Strict):
    """A measured column: where in a result JSON it is read and how it is printed and judged.

    Attributes:
        field: place in a seed's record (``before.miou``) or in the result (``model.parameters``).
        scale: the field times ``scale`` is in ``unit``.
        decimals: of the paper's print; ours is rounded to as many.
        tolerance: name in ``Reported.tolerances``.
        block: heading of the part of the printed table that holds this column.
        ratio: print each row's ratio to the first row instead of the difference from the paper.
    """

    name: str
    title: str
    unit: str
    decimals: Annotated[int, Field(ge=0, le=6)]
    field: ResultField
    scale: float = 1.0
    tolerance: str
    block: str
    ratio: bool = False


class Row(_Strict):
    """One row: ``id`` (the run's name unless two rows share a run), its keys and paper values.

    ``run`` is None for a system of others that the paper only quotes. ``fields`` overrides a
    column's field in this row (a table whose rows differ in a CRF flag). ``inferred`` names keys
    that the paper's table does not print: they follow from its text.
    """

    id: str = ""
    run: str | None
    keys: dict[str, KeyValue]
    inferred: list[str] = []
    reported: dict[str, float]
    fields: dict[str, ResultField] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_after_run(cls, values: dict[str, object]) -> dict[str, object]:
        return {"id": values.get("run"), **values}

    def field(self, column: Column) -> ResultField:
        """Return the place in a result that fills this row's cell of ``column``."""
        return self.fields.get(column.name, column.field)


class Effect(_Strict):
    """A signed difference that the paper's table shows: cell ``of`` minus cell ``over``."""

    id: str
    text: str
    of: CellName
    over: CellName


class Table(_Strict):
    """One table of the paper.

    ``test_set`` holds figures that the caption or text adds from the evaluation server, which no
    run here can fill. ``server`` is the evaluation server that alone can fill the table, as
    `replication submit` calls it.
    """

    number: int
    title: str
    setting: str
    keys: list[Key]
    columns: list[Column]
    rows: Annotated[list[Row], Field(min_length=1)]
    effects: list[Effect] = []
    test_set: dict[str, float] = {}
    server: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Table":
        keys, columns = {k.name for k in self.keys}, {c.name for c in self.columns}
        for row in self.rows:
            if (
                set(row.keys) != keys
                or set(row.reported) != columns
                or set(row.fields) - columns
                or set(row.inferred) - keys
            ):
                raise ValueError(f"row `{row.id}` of table {self.number} lacks or adds a column")
        twice = [name for name, count in Counter(r.id for r in self.rows).items() if count > 1]
        if twice:
            raise ValueError(f"table {self.number} has two rows named `{twice[0]}`")
        cells = {(row.id, column) for row in self.rows for column in columns}
        for effect in self.effects:
            if not {effect.of, effect.over} <= cells:
                raise ValueError(
                    f"effect `{effect.id}` names a cell that table {self.number} lacks"
                )
        return self

    def runs(self) -> list[str]:
        """Return the runs that fill the table, in row order, each once."""
        return list(dict.fromkeys(row.run for row in self.rows if row.run is not None))

    def find(self, cell: CellName) -> tuple[Row, Column]:
        """Return the row and the column of ``cell`` (row id, column name)."""
        row = next(row for row in self.rows if row.id == cell[0])
        return row, next(column for column in self.columns if column.name == cell[1])

    def reported(self, cell: CellName) -> float:
        """Return the paper's value of ``cell`` (row id, column name)."""
        return next(row.reported[cell[1]] for row in self.rows if row.id == cell[0])

    def reported_effect(self, effect: Effect) -> float:
        """Return the paper's difference of an effect, in the unit of its cells."""
        decimals = next(c.decimals for c in self.columns if c.name == effect.of[1])
        return round(self.reported(effect.of) - self.reported(effect.over), decimals)


class Ratio(_Strict):
    """Cell ``of`` divided by cell ``over``, both of one table."""

    table: str
    of: CellName
    over: CellName


class Across(_Strict):
    """Cell ``of`` minus cell ``over``, of two tables: (table, row id, column name)."""

    of: tuple[str, str, str]
    over: tuple[str, str, str]


class Near(_Strict):
    """Mean IOU near contours: (run, field) minus (run, field)."""

    of: tuple[str, ResultField]
    over: tuple[str, ResultField]


class Claim(_Strict):
    """What the paper says in words, and the numbers that it rests on.

    Attributes:
        source: where the paper shows it, such as ``table 1``.
        kind: ``difference`` (one thing beats another, or loses where the number is negative),
            ``same`` (no difference) or ``ratio``.
        effects: ids of differences in `Reported.tables`, all of which the claim is about.
        across: the two cells of a difference between tables.
        near: a difference near contours, for which the paper gives no number.
        ratio: the two cells of a claim of kind ``ratio``.
    """

    id: str
    source: Annotated[list[str], Field(min_length=1)]
    kind: Kind
    text: str
    effects: list[str] = []
    across: Across | None = None
    near: Near | None = None
    ratio: Ratio | None = None

    @model_validator(mode="after")
    def _one_way_to_be_measured(self) -> "Claim":
        if sum(map(bool, (self.effects, self.across, self.near, self.ratio))) != 1:
            raise ValueError(f"claim `{self.id}` must name one of effects, across, near, ratio")
        if self.near is not None and self.kind != "same":
            raise ValueError(f"claim `{self.id}` has no number near contours: its kind is `same`")
        if (self.kind == "ratio") != (self.ratio is not None):
            raise ValueError(f"claim `{self.id}` of kind {self.kind} does not fit its `ratio`")
        return self


class Reported(_Strict):
    """Everything that the paper reports and this package compares itself with."""

    format: Literal[1]
    source: str
    tolerances: dict[str, Tolerance]
    tables: dict[str, Table]
    claims: list[Claim] = []

    @model_validator(mode="after")
    def _claims_name_what_there_is(self) -> "Reported":
        effects = Counter(effect.id for table in self.tables.values() for effect in table.effects)
        claims = Counter(claim.id for claim in self.claims)
        for name, times in (effects + claims).items():
            if effects[name] > 1 or claims[name] > 1:
                raise ValueError(f"two effects or two claims are named `{name}` ({times})")
        for claim in self.claims:
            if unknown := set(claim.effects) - set(effects):
                raise ValueError(f"claim `{claim.id}`: no table has an effect `{min(unknown)}`")
            if claim.ratio is not None:
                table = self.tables[claim.ratio.table]
                cells = {(row.id, column.name) for row in table.rows for column in table.columns}
                if not {claim.ratio.of, claim.ratio.over} <= cells:
                    raise ValueError(f"claim `{claim.id}` names a cell that its table lacks")
            if claim.across is not None:
                for name, row_id, column_name in (claim.across.of, claim.across.over):
                    rows = {row.id: row.reported for row in self.tables[name].rows}
                    if column_name not in rows.get(row_id, {}):
                        raise ValueError(f"claim `{claim.id}` names a cell that {name} lacks")
        return self

    @model_validator(mode="after")
    def _tolerances_known(self) -> "Reported":
        named = {column.tolerance for table in self.tables.values() for column in table.columns}
        named |= set(CLAIM_TOLERANCES) if self.claims else set()
        if unknown := named - set(self.tolerances):
            raise ValueError(f"tolerance `{min(unknown)}` is not declared")
        return self

    def own_tables(self) -> list[Table]:
        """Return the tables that runs here fill: all but those of test servers."""
        return [table for table in self.tables.values() if table.server is None]

    def runs(self) -> list[str]:
        """Return every run that fills a cell, in the paper's order, each once."""
        return list(dict.fromkeys(run for table in self.tables.values() for run in table.runs()))

    def find(self, cell: tuple[str, str, str]) -> tuple[Row, Column]:
        """Return the row and the column of a cell (table, row id, column name)."""
        return self.tables[cell[0]].find(cell[1:])

    def effect(self, name: str) -> tuple[Table, Effect]:
        """Return the effect of an id, and its table."""
        return next(
            (table, effect)
            for table in self.tables.values()
            for effect in table.effects
            if effect.id == name
        )

    def within(self, column: Column) -> float | None:
        """Return the declared tolerance of a column's cells, None where they are not judged."""
        return self.tolerances[column.tolerance].within


@cache
def load() -> Reported:
    """Read and validate the package's ``reported.yaml``."""
    text = resources.files("replication.paper").joinpath("reported.yaml").read_text("utf-8")
    return Reported.model_validate(yaml.safe_load(text))
