"""The README's table of settings is what service/settings.py says."""

from pathlib import Path

from service.settings import PREFIX, Settings

README = Path(__file__).parents[1] / "README.md"
BUNDLE = "the shipped one"


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = BUNDLE if name == "bundle" else _shown(field.get_default(call_default_factory=True))
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {_plain(field.description)} |")
    return "\n".join(rows)


def _shown(default: object) -> str:
    if default is None:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _plain(text: str | None) -> str:
    return (text or "").replace("<", "&lt;").replace("|", "&#124;")


def test_the_table_is_complete_and_current() -> None:
    text = README.read_text(encoding="utf-8")
    _, _, after = text.partition("<!-- settings:")
    table = after.partition("-->\n")[2].partition("<!-- /settings -->")[0].strip()
    assert table == settings_table(), f"put this between the README's marks:\n{settings_table()}"


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
