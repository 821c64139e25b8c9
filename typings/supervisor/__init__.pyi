# The part of PyPI's supervisor 4.3 that shardwatch uses. Without it mypy takes ./supervisor for it.
