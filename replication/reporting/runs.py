"""The list of runs for the terminal: what the paper reports, and what a profile trains."""

from rich.console import Console
from rich.table import Table

from replication.paper import reported
from replication.plan import Settings


def print_runs(settings: Settings) -> None:
    """Print every run: its tables, its recipe as scaled, and the paper's mean IOU."""
    paper = reported.load()
    table = Table(title=f"profile {settings.name}: {settings.profile.about}")
    for column in ("run", "tables", "rates", "policy", "batch", "updates", "paper's mean IOU"):
        table.add_column(column)
    for name in settings.experiments.all_runs:
        plan = settings.plan(name)
        tables, numbers = [], []
        for title, one in paper.tables.items():
            for row in one.rows:
                if row.run == name:
                    tables.append(title.removeprefix("table"))
                    numbers += [
                        str(value)
                        for column, value in row.reported.items()
                        if "miou" in column and value is not None
                    ]
        table.add_row(
            name,
            ", ".join(tables),
            " ".join(map(str, plan.head.rates)),
            plan.recipe.policy,
            str(plan.recipe.batch_size),
            str(plan.recipe.iterations),
            " / ".join(dict.fromkeys(numbers)),
        )
    Console().print(table)
