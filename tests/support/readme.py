"""The README's tables, made from what they describe: `python -m tests.support.readme` writes them in."""

from collections.abc import Callable
from pathlib import Path

from model.bundle.manifest import MANIFEST_NAME, EvaluationResult, Manifest
from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SHIPPED = ROOT / "model" / "bundles" / "market1501"
_FIGURES = {"Rank-1": "rank1", "Rank-5": "rank5", "Rank-10": "rank10", "mAP": "map", "mINP": "minp"}


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "the shipped one" if name == "bundle" else _shown(default)
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {_plain(field.description or '')} |")
    return "\n".join(rows)


def results_table() -> str:
    """What the shipped bundle's manifest says that it scores: a table for each protocol and scorer."""
    text = (SHIPPED / MANIFEST_NAME).read_text(encoding="utf-8")
    results = Manifest.model_validate_json(text).evaluation
    if not results:
        return "The manifest holds no results."
    kinds = dict.fromkeys((r.protocol, r.scorer) for r in results)
    return "\n\n".join(
        _table(name, scorer, [r for r in results if (r.protocol, r.scorer) == (name, scorer)])
        for name, scorer in kinds
    )


TABLES: dict[str, Callable[[], str]] = {"settings": settings_table, "results": results_table}


def table_in_readme(name: str) -> str:
    return _around(README.read_text(encoding="utf-8"), name)[1].strip()


def _table(protocol: str, scorer: str, results: list[EvaluationResult]) -> str:
    """One row a variant; how Rank-1 depends on the down-sampling factor stands in columns of its own."""
    whole = [r for r in results if r.subset == "all"]
    subsets = list(dict.fromkeys(r.subset for r in results if r.subset != "all"))
    rank1 = {(r.variant, r.subset): f"{r.rank1:.1f}" for r in results}
    columns = ["variant", *_FIGURES, *(f"Rank-1, {subset}" for subset in subsets)]
    rows = [
        [r.variant, *(f"{getattr(r, name):.1f}" for name in _FIGURES.values())]
        + [rank1.get((r.variant, subset), "") for subset in subsets]
        for r in whole
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *rows]]
    return "\n".join([f"{protocol}, scorer `{scorer}`, {whole[0].probes:,} probes:", "", *lines])


def _shown(default: object) -> str:
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "&#124;")


def _around(text: str, name: str) -> tuple[str, str, str]:
    """What stands before, between and after the table's marks."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = text.partition(start)
    between, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"README.md lacks the marks of the table {name!r}")
    return before + start, between, end + after


def main() -> None:
    for name, table in TABLES.items():
        if name == "results" and not SHIPPED.exists():
            continue
        before, _, after = _around(README.read_text(encoding="utf-8"), name)
        README.write_text(f"{before}{table()}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
