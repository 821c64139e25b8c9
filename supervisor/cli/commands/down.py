"""Stop the service, and return when its processes, sockets and locks are gone. Its state is kept, so `up` resumes."""

from __future__ import annotations

import argparse

from ..options import add_config_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.state.layout import Layout

    from ...service import service
    from ..link.place import not_running, state_dir_of

    state_dir = state_dir_of(options)
    if not service.stop(Layout(state_dir)):  # also what does not answer any more, or is only half there
        raise not_running(f"no service runs in {state_dir}")
    return 0
