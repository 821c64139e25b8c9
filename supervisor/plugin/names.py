"""Names that supervisord and the programs which talk to it share."""

from __future__ import annotations

from typing import Final

#: Group of the shards.
GROUP: Final = "shards"
#: Group of the commands that run for what changes.
EXEC: Final = "exec"
#: The program that ships what changes, and its group.
SHIP: Final = "ship"
#: The program that serves the web page, and its group.
WEB: Final = "web"
