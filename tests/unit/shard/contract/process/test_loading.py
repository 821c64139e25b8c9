"""What a block of imports leaves behind, and what may be imported in it."""

from __future__ import annotations

from unmeasured import unmeasured


def test_a_block_leaves_the_interpreter_as_it_was() -> None:
    """Garbage is collected again, and what was left out can be imported: also after a block that failed."""
    code = """
import gc, sys
from shardwatch.shard.contract.process.loading import LEFT_OUT, Loading
threshold = gc.get_threshold()
with Loading():
    assert not gc.isenabled()
    for name in LEFT_OUT:
        try:
            __import__(name)
        except ImportError:
            continue
        raise SystemExit(f"{name} was imported")
try:
    with Loading():
        raise RuntimeError
except RuntimeError:
    pass
assert gc.isenabled() and gc.get_threshold() == threshold
assert not sys.modules.keys() & set(LEFT_OUT)
for name in LEFT_OUT:
    __import__(name)
"""
    unmeasured(code)


def test_what_is_there_already_stays() -> None:
    """A block takes nothing away from somebody who uses it."""
    code = """
import ssl, sys
from shardwatch.shard.contract.process.loading import Loading
with Loading():
    import ssl as again
    assert again is ssl
assert sys.modules["ssl"] is ssl
"""
    unmeasured(code)


def test_what_is_loaded_on_use_is_the_same_module() -> None:
    """It is loaded by the first attribute that is asked for, also after the block, and once."""
    code = """
import sys, types
from shardwatch.shard.contract.process.loading import ON_USE, Loading
before = list(sys.meta_path)
with Loading():
    import linecache, msgspec, urllib.parse
assert sys.meta_path == before
assert all(type(sys.modules[name]) is not types.ModuleType for name in ON_USE)
assert urllib.parse.urlsplit("http://[::1]/").hostname == "::1"
assert linecache.getline(msgspec.__file__, 1)
assert msgspec.json.schema(int) == {"type": "integer"}
assert all(type(sys.modules[name]) is types.ModuleType for name in ON_USE)
"""
    unmeasured(code)


def test_what_is_called_later_is_loaded_then() -> None:
    """By the call of a function that was imported in the block, also after it; what the block did not name is loaded in it."""
    code = """
import sys, types
from shardwatch.shard.contract.process.loading import Loading
with Loading({"html": ("escape",), "html.entities": (), "fractions": ("Fraction",), "colorsys": ()}):
    from html import escape
    import html.entities as entities
    from fractions import Fraction
    import colorsys
    assert colorsys.ONE_THIRD == 1 / 3 and type(sys.modules["colorsys"]) is types.ModuleType
    import colorsys as itself
    assert itself is not colorsys
assert not {"html", "html.entities", "fractions"} & sys.modules.keys()
assert escape("<", quote=False) == "&lt;" and "html" in sys.modules
assert Fraction(1, 2) + Fraction(1, 2) == 1
assert entities.name2codepoint["lt"] == 60
import html, html.entities
assert html.entities is not entities and html.escape is not escape
try:
    Fraction(1, 0)
except ZeroDivisionError:
    pass
else:
    raise SystemExit("an error of the function was lost")
"""
    unmeasured(code)


def test_what_was_loaded_before_a_block_is_not_replaced() -> None:
    code = """
import fractions, platform, sys
from shardwatch.shard.contract.process.loading import Loading
with Loading({"fractions": ("Fraction",)}):
    from fractions import Fraction
    import platform as again
assert Fraction is fractions.Fraction and again is platform is sys.modules["platform"]
"""
    unmeasured(code)


def test_the_machine_is_asked_without_a_module_for_it() -> None:
    """What uuid and supervisord ask while they are loaded is answered as `platform` would; whoever asks more gets that."""
    code = """
import sys
from shardwatch.shard.contract.process.loading import Loading
with Loading():
    import platform as quick
    asked = quick.system(), quick.node()
    import uuid
assert "platform" not in sys.modules and uuid.UUID(int=0).hex == "0" * 32
python = quick.python_implementation()
import platform
assert asked == (platform.system(), platform.node()) and python == platform.python_implementation()
"""
    unmeasured(code)


def test_digests_are_the_same_without_openssl() -> None:
    code = """
from shardwatch.shard.contract.process.loading import Loading
with Loading():
    import hashlib
ours = hashlib.sha256(b"x").hexdigest(), hashlib.new("sha1", b"x").hexdigest(), hashlib.md5(b"x").hexdigest()
import _hashlib
theirs = [getattr(_hashlib, f"openssl_{name}")(b"x").hexdigest() for name in ("sha256", "sha1", "md5")]
assert list(ours) == theirs
"""
    unmeasured(code)


def test_messages_are_the_same_without_what_is_left_out() -> None:
    """msgspec reads annotations with `typing` then: optional fields, defaults, bounds and unions of the wire are as ever."""
    code = """
import sys
from shardwatch.shard.contract.process.loading import Loading
with Loading():
    from shardwatch.shard.contract.wire.frames import Frame, Gone, Listing, decode_up, encode
    from shardwatch.shard.contract.errors import WireError
    from shardwatch.shard.contract.limits import WIRE_VERSION
assert "typing_extensions" not in sys.modules
frame = Frame(WIRE_VERSION, "s0", 1, 2, 3, [Gone(b"/a", 5), Listing(b"/b", 6, [], b"")], "me")
assert decode_up(encode(frame)) == frame
try:
    decode_up(encode(Frame(WIRE_VERSION, "s0", -1, 2, 3, [], "me")))
except WireError:
    pass
else:
    raise SystemExit("a bound is not kept")
"""
    unmeasured(code)
