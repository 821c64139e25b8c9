"""What others give us: checked where it is an argument, made safe where it is shown.

- `arguments`: arguments of the Python API; each function returns the value as it is used, or raises
  UsageError.
- `shown`: values that somebody else sent, as a message may show them.
- `visible`: text that somebody else made, as one line for a terminal or a log.

Everything may import this.
"""
