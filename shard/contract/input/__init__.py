"""Input from others: arguments are checked, and text that is shown is made safe.

- `arguments`: checks arguments of the Python API; each function returns the value in the form in
  which it is used, or raises UsageError.
- `command_line`: reads the options of the programs that supervisord starts.
- `shown`: makes values that somebody else has sent fit to be quoted in a message.
- `visible`: makes text from others safe for a terminal or a log, as one line.

Everything may import this.
"""
