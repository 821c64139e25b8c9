"""The state directory: the names of its files, how it is opened, and the plain data that is stored
there.

- `layout`: the names of all files in a state directory. Pure.
- `directory`: opens the directory once as a descriptor, and everything in it through this
  descriptor.
- `contents`: what lies in it, and whether a directory holds anything else.
- `claim`: who may use it: one service at a time, or whoever prepares it for one.
- `trust`: decides which files are trusted, wherever they are.
- `options`: the definition of every option of a service.
- `settings`: the effective settings of one service.
- `triggers`: commands that supervisord runs for what changes.
- `ship_section`: what the service ships, and where to.
- `web_section`: where it has its web page served.
- `section_file`: either of these sections as a file.
- `sources`: what the settings come from, so that they can be read again.
- `planfile`: the plan: which shard owns which directory.
- `passing`: how a shard that runs gets from one plan to the next. Pure.

The rooms above it (`filter`, `wire`, `process`), the rest of the shard, and the other houses may
import this.
"""
