"""What `top` shows, and what keys do."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Protocol

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Label, Static, TabbedContent, TabPane

from shardwatch.shard.contract.errors import ShardwatchError

from ..search.find import FoundFile
from . import contents
from .contents import Cell, Sheet
from .rates import Rates, Status, rates_between

#: Seconds between two looks at the service; the index is searched for recent files, while they are shown, less often.
LOOK_S: Final = 2.0
RECENT_LOOK_S: Final = 6.0

_SHARDS, _GROUPS, _PROGRAMS, _NOT_WATCHED, _RECENT, _BUSIEST = "shards", "groups", "programs", "not-watched", "recent", "busiest"


class Watched(Protocol):
    """How `top` reaches the service (`service_link`). Each call blocks."""

    def look(self) -> dict[str, Any]: ...
    def recent(self) -> list[FoundFile]: ...
    def restart(self, program: str) -> None: ...


class Question(ModalScreen[bool]):
    """A question that is answered with y, or not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape", "answer(False)", "no"),
    ]
    CSS = "Question { align: center middle; } #question { padding: 1 2; border: round $warning; width: auto; height: auto; }"

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Label(Text(f"{self._text} (y/n)"), id="question")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class TopScreen(App[None]):
    """Looks at the service again and again, and shows what it saw."""

    TITLE = "shardwatch"
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = f"#table-{_SHARDS}"
    CSS = """
    Screen { overflow: hidden; }
    TabbedContent { height: 1fr; }
    #headline { text-style: bold; padding: 0 1; }
    #findings { padding: 0 1; max-height: 50%; overflow-y: auto; }
    #filter { display: none; }
    #filter.shown { display: block; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),  # as it ends every other command
        Binding("s", "sort", "sort by the next column"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("escape", "leave_filter", "show all", show=False),
        Binding("r", "restart", "restart the program"),
        Binding("1", f"show('{_SHARDS}')", "shards", show=False),
        Binding("2", f"show('{_GROUPS}')", "groups", show=False),
        Binding("3", f"show('{_PROGRAMS}')", "programs", show=False),
        Binding("4", f"show('{_NOT_WATCHED}')", "not watched", show=False),
        Binding("5", f"show('{_RECENT}')", "recent files", show=False),
        Binding("6", f"show('{_BUSIEST}')", "busiest directories", show=False),
    ]

    def __init__(self, link: Watched) -> None:
        super().__init__()
        self._link = link
        self._status: Status | None = None
        self._tables: dict[str, Sheet] = {}
        #: By tab: the column that the table is sorted by.
        self._sorted: dict[str, int | None] = {_SHARDS: 3}
        self._recent_at = -RECENT_LOOK_S

    def compose(self) -> ComposeResult:
        yield Static("looking at the service", id="headline", markup=False)
        yield Static("", id="findings", markup=False)
        yield Input(placeholder="show only rows with this text; Enter keeps it, Escape shows all", id="filter", disabled=True)
        with TabbedContent(initial=_SHARDS):
            for number, (tab, title) in enumerate(_TITLES.items(), 1):
                with TabPane(f"{number} {title}", id=tab), Vertical():
                    yield DataTable(id=f"table-{tab}", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):  # else the terminal would stay as it is now
            loop.add_signal_handler(number, self.exit)
        self.set_interval(LOOK_S, self._look)
        self._look()

    # Looking ----------------------------------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        """In a thread, because a service that does not answer takes seconds."""
        status = self._link.look()
        self.call_from_thread(self._take, status)
        if self._active() == _RECENT and time.monotonic() - self._recent_at >= RECENT_LOOK_S:
            self._recent_at = time.monotonic()
            try:
                found = self._link.recent()
            except (OSError, ShardwatchError) as error:
                self.call_from_thread(self.notify, str(error), severity="warning", markup=False)
                return
            self.call_from_thread(self._take_recent, found)

    def _take(self, status: Status) -> None:
        rates = rates_between(self._status, status)
        self._status = status
        self.query_one("#headline", Static).update(Text(contents.headline(status, rates)))
        self.query_one("#findings", Static).update(Text(contents.findings(status)))
        for tab, table_of in _CONTENTS.items():
            self._tables[tab] = table_of(status, rates)
            self._draw(tab)

    def _take_recent(self, found: Sequence[FoundFile]) -> None:
        self._tables[_RECENT] = contents.recent(found, time.time())
        self._draw(_RECENT)

    # Showing ----------------------------------------------------------------------------------------------------------

    def _draw(self, tab: str) -> None:
        """Puts the rows of a table on the screen; the cursor stays on its row."""
        table = self._tables.get(tab)
        if table is None:
            return
        shown = self.query_one(f"#table-{tab}", DataTable)
        column = self._sorted.get(tab)
        headers = [f"{header} *" if number == column else header for number, header in enumerate(table.headers)]
        chosen = self._chosen(shown)
        if [str(known.label) for known in shown.columns.values()] != headers:
            shown.clear(columns=True)
            shown.add_columns(*headers)
        else:
            shown.clear()
        rows = contents.arranged(table, column, self.query_one("#filter", Input).value)
        for row in rows:  # without keys: a path may be there twice, for two reasons
            shown.add_row(*map(_cell, row))
        names = [contents.shown(row[0]) for row in rows]
        if chosen in names:
            shown.move_cursor(row=names.index(chosen), scroll=False)

    def _chosen(self, table: DataTable[Text]) -> str | None:
        """The first cell of the row with the cursor."""
        if not table.is_valid_coordinate(table.cursor_coordinate):
            return None
        return table.get_row_at(table.cursor_coordinate.row)[0].plain

    def _active(self) -> str:
        return self.query_one(TabbedContent).active

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        if self._active() == _RECENT:
            self._look()

    # Keys -------------------------------------------------------------------------------------------------------------

    def action_show(self, tab: str) -> None:
        self.query_one(TabbedContent).active = tab
        self.call_after_refresh(self._focus_table)

    def _focus_table(self) -> None:
        """Once it is visible, since nothing else can have the focus."""
        self.query_one(f"#table-{self._active()}", DataTable).focus()

    def action_sort(self) -> None:
        """By the next column; after the last one in the order of the service."""
        tab = self._active()
        table = self._tables.get(tab)
        if table is not None:
            column = self._sorted.get(tab)
            following = 0 if column is None else column + 1
            self._sorted[tab] = following if following < len(table.headers) else None
            self._draw(tab)

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.disabled = False
        field.add_class("shown")
        field.focus()

    def action_leave_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("shown")
        field.disabled = True
        self._focus_table()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._draw(self._active())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._focus_table()

    def action_restart(self) -> None:
        """Of the program, or the shard, in whose row the cursor is."""
        tab = self._active()
        chosen = self._chosen(self.query_one(f"#table-{tab}", DataTable)) if tab in (_SHARDS, _PROGRAMS) else None
        if chosen is None:
            self.notify("choose a shard or a program first (keys 1 and 3)")
            return
        program = f"shards:{chosen}" if tab == _SHARDS else chosen

        def answered(yes: bool | None) -> None:
            if yes:
                self._restart(program)

        self.push_screen(Question(f"Restart {program}? No change is lost by it."), answered)

    @work(thread=True)
    def _restart(self, program: str) -> None:
        try:
            self._link.restart(program)
        except ShardwatchError as error:
            self.call_from_thread(self.notify, str(error), severity="error", markup=False)
            return
        self.call_from_thread(self.notify, f"{program} was restarted", markup=False)
        self._look()


_TITLES: Final = {
    _SHARDS: "Shards",
    _GROUPS: "Groups",
    _PROGRAMS: "Programs",
    _NOT_WATCHED: "Not watched",
    _RECENT: "Recent files",
    _BUSIEST: "Busiest directories",
}
_CONTENTS: Final[dict[str, Callable[[Status, Rates], Sheet]]] = {
    _SHARDS: contents.shards,
    _GROUPS: contents.groups,
    _PROGRAMS: lambda status, rates: contents.programs(status),
    _NOT_WATCHED: lambda status, rates: contents.not_watched(status),
    _BUSIEST: lambda status, rates: contents.busiest(status),
}


def _cell(cell: Cell) -> Text:
    return Text(contents.shown(cell), justify="left" if isinstance(cell, str) else "right")
