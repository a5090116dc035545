"""Run the promises (checks) given on standard input: {"sources": [[module, text], …], "facts": {…}, "only": [name, …]}.

If the input contains the key "names", print only the names of the promises.

The modules are passed as text, so that all of them reach the machine in one message, and no file stays there.
"""

import json
import sys
import types

given = json.load(sys.stdin)
for name, text in given["sources"]:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), module.__dict__)
promises = sys.modules["promises"]
if "names" in given:
    print(json.dumps([made.name for made in promises.promises_of(given["facts"])]))
else:
    print(json.dumps(promises.look(given["facts"], given["only"])))
