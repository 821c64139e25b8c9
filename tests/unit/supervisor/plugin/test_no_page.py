"""supervisord's server without its own web page."""

from __future__ import annotations

from unmeasured import unmeasured


def test_supervisord_loads_without_its_page() -> None:
    """Nor what it needs for that, nor another way to find what its configuration names; the names it has are found."""
    code = """
import sys
from shardwatch.supervisor import run
run._load()
from supervisor.web import supervisor_ui_handler
assert not supervisor_ui_handler(None).match(None)
heavy = {"html", "html.parser", "importlib.metadata", "supervisor.templating", "xml.etree.ElementTree", "zipfile", "_hashlib"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
from shardwatch.supervisor.plugin import hang_up, rpc, terms
options = terms._Options(terms.Terms(False, hang_up.HangUpHandler(hang_up.Reaction.RELOAD)))
assert options.import_spec("shardwatch.supervisor.plugin.rpc:make_rpc") is rpc.make_rpc
assert options.import_spec("supervisor.rpcinterface:SupervisorNamespaceRPCInterface.getState").__name__ == "getState"
for wrong, error in (("no.such:thing", ImportError), ("supervisor.http:none", AttributeError)):
    try:
        options.import_spec(wrong)
    except error:
        continue
    raise SystemExit(wrong)
"""
    unmeasured(code)
