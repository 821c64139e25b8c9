"""supervisord's own log is written as those of the programs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from supervisor.loggers import Handler, Logger

from shardwatch.supervisor.plugin.words import quieten, use_choice


def test_it_logs_as_the_settings_say(tmp_path: Path) -> None:
    """In either form, from the level that was asked for; what can't be read is as if it was not there."""
    stream: Any = io.StringIO()
    handler: Any = Handler()
    handler.stream = stream
    handler.setFormat("%(asctime)s %(levelname)s %(message)s\n")
    supervisord: Any = SimpleNamespace(options=SimpleNamespace(here=str(tmp_path), logger=Logger(20, [handler])))
    logger = supervisord.options.logger
    quieten(supervisord)
    assert use_choice(supervisord) == ("text", "info")
    logger.critical("Server 'x' running without any HTTP authentication checking")
    logger.info("one\ttwo")
    (tmp_path / "settings.json").write_text('{"log_format": "json", "log_level": "warning"}')
    (tmp_path / "run").mkdir()
    assert use_choice(supervisord) == ("json", "warning")
    logger.info("none")
    logger.warn('of "x"')
    (tmp_path / "run/log-levels.json").write_text('{"supervisord": "debug", "*": "error"}')
    use_choice(supervisord)
    logger.debug("d")
    (tmp_path / "settings.json").write_text("[")
    (tmp_path / "run/log-levels.json").write_text("{")
    assert use_choice(supervisord) == ("text", "info")
    logger.error("last")
    first, second, third, last = stream.getvalue().splitlines()
    assert first.endswith(" INFO one\ttwo") and last.endswith(" ERRO last")
    found = [json.loads(line) for line in (second, third)]
    assert [(one["level"], one["program"], one["message"]) for one in found] == [
        ("warning", "supervisord", 'of "x"'), ("debug", "supervisord", "d"),
    ]  # fmt: skip
